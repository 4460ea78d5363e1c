"""Each accepted ledger's dossier and reports, made once for all tests."""

import functools

import pytest

from replab.report import handed_in
from replab.report.handed_in.dossier import gather


@functools.cache
def _made(paper, profile):
    dossier = gather(paper, profile)
    files = {}
    for name in handed_in.FORMATS:
        # The archive is a second copy of the crate, which one test looks at.
        composed = handed_in.compose(dossier, [name]) if name != "ro-crate" else _crate(dossier)
        files |= composed
    return dossier, files


def _crate(dossier):
    return {f"ro-crate/{k}": v for k, v in handed_in.ro_crate.files(dossier).items()}


@pytest.fixture(scope="session")
def made():
    """A function of paper and profile: its dossier, and the files of all its reports."""
    return _made


@pytest.fixture(scope="session")
def own():
    """A function that takes the files of one format out of all, by their names inside it."""

    def select(files, name):
        return {
            k.removeprefix(f"{name}/"): v for k, v in files.items() if k.startswith(f"{name}/")
        }

    return select

"""Reports to hand in, from a paper's accepted ledger: one function a format, nothing invented."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from replab.errors import UserError
from replab.report.handed_in import (
    mlrc,
    mlrc_check,
    model_index,
    model_index_check,
    rescience,
    rescience_check,
    ro_crate,
    ro_crate_check,
)
from replab.report.handed_in.dossier import Dossier

Files = Mapping[str, bytes]


def _mlrc(dossier: Dossier) -> Files:
    return {
        "mlrc/report.md": mlrc.markdown(dossier).encode(),
        "mlrc/report.tex": mlrc.latex(dossier).encode(),
    }


def _rescience(dossier: Dossier) -> Files:
    return {
        "rescience/metadata.yaml": rescience.metadata(dossier).encode(),
        f"rescience/{rescience.BIBLIOGRAPHY}": rescience.bibliography(dossier).encode(),
    }


def _model_index(dossier: Dossier) -> Files:
    cards = model_index.cards(dossier)
    return {f"model-index/{name}.md": text.encode() for name, text in cards.items()}


def _ro_crate(dossier: Dossier) -> Files:
    crate = ro_crate.files(dossier)
    return {
        **{f"ro-crate/{name}": content for name, content in crate.items()},
        "ro-crate.zip": ro_crate.zipped(dossier, crate),
    }


# Format → the files of its report, by their path below the folder of all reports.
FORMATS: Mapping[str, Callable[[Dossier], Files]] = MappingProxyType(
    {
        "mlrc": _mlrc,
        "rescience": _rescience,
        "model-index": _model_index,
        "ro-crate": _ro_crate,
    }
)
ALL = "all"


def require_formats(name: str) -> Sequence[str]:
    """The formats that a name on the command line means: one, or all of them.

    Raises:
        UserError: there is no such format.
    """
    if name == ALL:
        return tuple(FORMATS)
    if name not in FORMATS:
        raise UserError(f"no report format '{name}'; there are: {', '.join(FORMATS)}, {ALL}")
    return (name,)


def compose(dossier: Dossier, formats: Sequence[str]) -> dict[str, bytes]:
    """The files of some formats' reports: equal bytes for an equal ledger.

    Returns:
        Path below the folder of all reports → content.
    """
    return {path: data for name in formats for path, data in FORMATS[name](dossier).items()}


def problems(dossier: Dossier, formats: Sequence[str], files: Files) -> list[str]:
    """What is wrong with some formats' reports: their form, and their numbers beside the ledger's.

    Args:
        files: path below the folder of all reports → content, as `compose` gives it or as it was
            read from a disk, perhaps with the blanks filled in.

    Returns:
        A line for each problem; empty if all is well.
    """
    found = []
    for name in formats:
        own = {
            path.removeprefix(f"{name}/"): data
            for path, data in files.items()
            if path.startswith(f"{name}/")
        }
        found += [f"{name}: {problem}" for problem in _CHECKS[name](dossier, own)]
    return found


_CHECKS: Mapping[str, Callable[[Dossier, Files], list[str]]] = MappingProxyType(
    {
        "mlrc": mlrc_check.problems,
        "rescience": rescience_check.problems,
        "model-index": model_index_check.problems,
        "ro-crate": ro_crate_check.problems,
    }
)

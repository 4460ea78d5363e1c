"""Whether git's history confirms that a registration was there before its runs."""

import functools
import re
import subprocess
from pathlib import Path

from replab import paths
from replab.errors import UserError
from replab.runs.record import Record
from replab.runs.registration import FOLDER, digest_of, parse_yaml

CONFIRMED, UNVERIFIABLE, CONTRADICTED = "confirmed", "unverifiable", "contradicted"


def state(record: Record) -> str:
    """Whether the commit of a registered run holds the registration that the run names.

    Returns:
        `confirmed`; `unverifiable` where the commit is not in this checkout's history (a shallow
        clone, rewritten history, no git); `contradicted` where it is, without the registration.
    """
    commit = str(record.provenance["commit"])
    digests = _digests(paths.root(), record.paper, commit)
    if digests is None:
        return UNVERIFIABLE
    return CONFIRMED if record.registration in digests else CONTRADICTED


@functools.cache
def _digests(root: Path, paper: str, commit: str) -> frozenset[str] | None:
    """Digests of a paper's registrations at a commit; None if it is no ancestor of HEAD."""
    if not re.fullmatch("[0-9a-f]{40}", commit):
        return None
    if _git(root, "merge-base", "--is-ancestor", commit, "HEAD") is None:
        return None
    folder = f"replications/{paper}/{FOLDER}"
    # Relative to the root, which may be a folder of a larger repository.
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", folder)
    found = set()
    for file in filter(None, (listed or "").split("\0")):
        text = _git(root, "show", f"{commit}:./{file}")
        try:
            found.add(digest_of(parse_yaml(text or "", Path(file))))
        # A file that was broken then registers nothing.
        except (UserError, TypeError, AttributeError, ValueError, OverflowError, RecursionError):
            continue
    return frozenset(found)


def _git(root: Path, *words: str) -> str | None:
    """What git says; None if it refuses or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout

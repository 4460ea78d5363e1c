"""Clean checkouts of single commits, in which runs are done while the main one is edited."""

import contextlib
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from replab.errors import UserError
from replab.files import make_folder


def resolve_commit(root: Path, name: str = "HEAD") -> str:
    """The 40 hexadecimal digits of a commit.

    Raises:
        UserError: the folder is no git checkout, or there is no such commit.
    """
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{root} has no commit {name}; registered runs need a git checkout with that commit"
        ) from error


def ensure_worktree(root: Path, commit: str, folder: Path) -> Path:
    """A clean checkout of a commit under `folder`, made if it is not there or was changed.

    Args:
        root: a checkout of the same repository.
        commit: 40 hexadecimal digits.

    Raises:
        UserError: the commit is not there, or the folder cannot be written.
    """
    path = folder / commit[:12]
    if _is_clean(path, commit):
        return path
    shutil.rmtree(path, ignore_errors=True)
    make_folder(folder)
    resolve_commit(root, commit)
    try:
        _git(root, "worktree", "prune")
        _git(root, "worktree", "add", "--force", "--detach", str(path), commit)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or error
        reason = " ".join(str(said).split())
        raise UserError(f"cannot check out {commit[:12]} at {path}: {reason}") from error
    return path


def remove_others(root: Path, folder: Path, keep: Collection[str]) -> None:
    """Remove the checkouts under a folder whose commits nobody needs any more.

    Args:
        root: a checkout of the same repository.
        keep: commits, 40 hexadecimal digits each.
    """
    names = {commit[:12] for commit in keep}
    for path in folder.glob("*"):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        _git(root, "worktree", "prune")


def _is_clean(path: Path, commit: str) -> bool:
    if not (path / ".git").is_file():
        return False
    try:
        at = _git(path, "rev-parse", "HEAD")
        return at == commit and not _git(path, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return False


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.strip()

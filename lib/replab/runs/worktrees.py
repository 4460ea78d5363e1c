"""Clean checkouts of single commits, in which runs are done while the main one is edited."""

import contextlib
import shutil
import subprocess
from collections.abc import Collection, Iterator
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

    Processes that ask at the same time get the same one, whole.

    Args:
        root: a checkout of the same repository, or a folder in it.
        commit: 40 hexadecimal digits.

    Returns:
        The folder in the new checkout that `root` is in its own.

    Raises:
        UserError: the commit is not there, or the folder cannot be written.
    """
    path = folder / commit[:12]
    with _alone(folder):
        if not _is_clean(path, commit):
            resolve_commit(root, commit)
            shutil.rmtree(path, ignore_errors=True)
            try:
                # Twice: also where a kill left the place registered and locked.
                _git(root, "worktree", "add", "--force", "--force", "--detach", str(path), commit)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", "") or error
                reason = " ".join(str(said).split())
                raise UserError(f"cannot check out {commit[:12]} at {path}: {reason}") from error
    return path / _git(root, "rev-parse", "--show-prefix")


def remove_others(root: Path, folder: Path, keep: Collection[str]) -> None:
    """Remove the checkouts under a folder whose commits nobody needs any more.

    Args:
        root: a checkout of the same repository.
        keep: commits, 40 hexadecimal digits each.
    """
    names = {commit[:12] for commit in keep}
    with _alone(folder):
        for path in folder.glob("[0-9a-f]*"):
            if path.name not in names:
                # Of git's list only these: others may be on a disk that is away.
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    _git(root, "worktree", "remove", "--force", "--force", str(path))
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(make_folder(folder) / ".lock"):
        yield


def _is_clean(path: Path, commit: str) -> bool:
    if not (path / ".git").is_file():
        return False
    try:
        top = Path(_git(path, "rev-parse", "--show-toplevel"))
        at = _git(path, "rev-parse", "HEAD")
        changed = _git(path, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return False
    return top.resolve() == path.resolve() and at == commit and not changed


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.strip()

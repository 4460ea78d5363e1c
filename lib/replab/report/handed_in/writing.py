"""Reports on a disk: written, read back and verified; what a person filled in is kept."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab import paths
from replab.errors import CheckFailed, UserError
from replab.files import read_json, sha256_bytes, sha256_file, write_bytes, write_json
from replab.report import handed_in
from replab.report.handed_in import blanks
from replab.report.handed_in.dossier import Dossier, gather

# Which files this command wrote, with their digests: what differs was changed by a person.
_MANIFEST = ".written.json"


@dataclass(frozen=True)
class HandedIn:
    """What was written.

    Attributes:
        folder: where.
        formats: which reports.
        files: path below the folder → its size in bytes.
        blanks: what is left to a person, by file.
    """

    paper: str
    profile: str
    folder: Path
    formats: Sequence[str]
    files: dict[str, int]
    blanks: dict[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for `--json`."""
        return {
            "paper": self.paper,
            "profile": self.profile,
            "folder": str(self.folder),
            "formats": list(self.formats),
            "files": self.files,
            "blanks": self.blanks,
        }

    def as_text(self) -> str:
        """A line a format, then what is left to fill in."""
        lines = []
        for name in self.formats:
            own = [size for path, size in self.files.items() if path.startswith(name)]
            size = f"{sum(own) / 1e6:.1f} MB" if sum(own) >= 1e5 else f"{sum(own) / 1e3:.0f} kB"
            lines.append(f"{name}: {len(own)} files, {size}, verified: {self.folder / name}")
        # The report in LaTeX has the blanks of the one in Markdown.
        shown = {path: wanted for path, wanted in self.blanks.items() if path[-4:] != ".tex"}
        count = sum(map(len, shown.values()))
        places = "1 place is" if count == 1 else f"{count} places are"
        lines.append(f"{places} yours to fill in" + (":" if count else ""))
        lines += [f"  {path}: {', '.join(wanted)}" for path, wanted in shown.items()]
        return "\n".join(lines)


def hand_in(
    paper: str,
    profile: str,
    formats: str = handed_in.ALL,
    out: Path | None = None,
    *,
    code_url: str = "",
    force: bool = False,
) -> HandedIn:
    """Write the reports of a paper's accepted ledger and verify what was written.

    Args:
        formats: one of `handed_in.FORMATS`, or `all`.
        out: the folder; `reports/<paper>/<profile>` in the checkout if not given.
        code_url: where this suite is published; `repository-code` of `CITATION.cff` if empty.
        force: also over files that a person changed, whose text is lost.

    Raises:
        CheckFailed: what was written does not say what the ledger says.
        UserError: the paper, profile or format is unknown, nothing was accepted, a file was
            changed by a person, or the folder cannot be written.
    """
    names = handed_in.require_formats(formats)
    if code_url and not code_url.startswith(("https://", "http://")):
        raise UserError(f"--code {code_url}: give an address that begins with https://")
    dossier = gather(paper, profile, code_url=code_url)
    folder = paths.root() / "reports" / paper / profile if out is None else out
    composed = handed_in.compose(dossier, names)
    _write(folder, names, composed, force=force)
    written = _read(folder, composed)
    problems = handed_in.problems(dossier, names, written)
    if problems:
        raise CheckFailed(
            f"{len(problems)} problems in the reports under {folder}: {'; '.join(problems[:5])}"
        )
    sizes = {path: len(data) for path, data in written.items()}
    return HandedIn(paper, profile, folder, names, sizes, blanks.places(written))


def run(options: Namespace) -> HandedIn:
    """`report`, given its parsed options; raises what `hand_in` raises."""
    return hand_in(
        *(options.paper, options.profile, options.format, options.out),
        code_url=options.code,
        force=options.force,
    )


def problems(dossier: Dossier, folder: Path, formats: Sequence[str]) -> list[str]:
    """What is wrong with the reports of a folder, perhaps filled in by a person since.

    Raises:
        UserError: a file cannot be read.
    """
    there = {
        path.relative_to(folder).as_posix(): b"" for path in folder.rglob("*") if path.is_file()
    }
    there.pop(_MANIFEST, None)
    return handed_in.problems(dossier, formats, _read(folder, there))


def _read(folder: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    try:
        return {path: (folder / path).read_bytes() for path in files}
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}; write the reports again"
        ) from error


def _write(folder: Path, formats: Sequence[str], files: dict[str, bytes], *, force: bool) -> None:
    """Write files, remove those of an earlier call that are none any more; all or nothing.

    The list of what was written comes first and holds old and new digests together until the end,
    so that a call that was interrupted can be repeated.
    """
    before = _manifest(folder)
    digests = {path: [sha256_bytes(data)] for path, data in files.items()}
    changed = sorted(
        path
        for path in {*files, *_of(formats, before)}
        if (folder / path).is_file()
        and sha256_file(folder / path) not in {*before.get(path, []), *digests.get(path, [])}
    )
    if changed and not force:
        raise UserError(
            f"{folder / changed[0]} was changed since it was written"
            + (f", and {len(changed) - 1} more" if changed[1:] else "")
            + "; choose another folder by --out, or give --force to lose the changes"
        )
    both = {
        path: [*before.get(path, []), *digests.get(path, [])] for path in {**before, **digests}
    }
    write_json(folder / _MANIFEST, dict(sorted(both.items())))
    for path, data in files.items():
        write_bytes(folder / path, data)
    for path in _of(formats, before):
        if path not in files:
            (folder / path).unlink(missing_ok=True)
    kept = {path: known for path, known in before.items() if path not in _of(formats, before)}
    write_json(folder / _MANIFEST, dict(sorted((kept | digests).items())))


def _of(formats: Sequence[str], paths: dict[str, list[str]]) -> list[str]:
    """Those of some paths that belong to some formats; the crate's archive lies beside it."""
    return [path for path in paths if path.split("/")[0].removesuffix(".zip") in formats]


def _manifest(folder: Path) -> dict[str, list[str]]:
    path = folder / _MANIFEST
    if not path.is_file():
        return {}
    content = read_json(path, mend="remove it, or choose another folder by --out")
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise UserError(f"{path} is no list of reports; remove it, or choose another --out")
    return content

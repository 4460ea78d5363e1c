"""Where COCO comes from: its authors' archives, or what a user has.

Archives of pictures are not unpacked: they are read from inside. Of the annotations, only the
people's keypoints are kept.
"""

import functools
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from replab import files
from replab.datasets import coco, download
from replab.datasets.download import Remote, megabytes, say
from replab.datasets.image_set import disk_errors, locked
from replab.datasets.picture_files import open_pictures, zip_members
from replab.datasets.registry import Dataset, register
from replab.errors import DownloadFailed, UserError
from replab.paths import data_dir

# The second address is the same storage under its provider's name, with a certificate that fits.
HOSTS = ("http://images.cocodataset.org", "https://s3.amazonaws.com/images.cocodataset.org")
MENDS = "give the folder that holds annotations/ and the pictures, or the official archives"


@dataclass(frozen=True)
class Archive:
    """An official archive.

    Attributes:
        path: on the server.
        sha256: in hexadecimal digits.
        size: in bytes.
        hosts: that have it, tried in this order.
    """

    path: str
    sha256: str
    size: int
    hosts: tuple[str, ...] = HOSTS

    @property
    def file(self) -> str:
        """Its name without folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Part:
    """A part of COCO and the archives that hold it.

    Attributes:
        pictures: the archive of `PART/*.jpg`.
        annotations: the archive of `annotations/*.json`.
        keypoints: SHA-256 of the people's keypoints among them.
        keypoints_size: their size in bytes, about.
    """

    pictures: Archive
    annotations: Archive
    keypoints: str
    keypoints_size: int


# COCO publishes neither sizes nor digests. These SHA-256 and sizes stand alike in the loaders and
# checksum lists of more than five public repositories of different owners; some of them give the
# better known MD5 beside them (442b8da7… val2017, cced6f7f… train2017, f4bbac64… annotations).
TRAINVAL = Archive(
    "annotations/annotations_trainval2017.zip",
    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    252_907_541,
)
PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "val2017": Part(
            Archive(
                "zips/val2017.zip",
                "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                815_585_330,
            ),
            TRAINVAL,
            coco.ANNOTATIONS["val2017"],
            10_020_657,
        ),
        "train2017": Part(
            Archive(
                "zips/train2017.zip",
                "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                19_336_861_798,
            ),
            TRAINVAL,
            coco.ANNOTATIONS["train2017"],
            240_000_000,
        ),
    }
)


def fetch(
    part: str,
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    parts: Mapping[str, Part] = PARTS,
) -> Path:
    """Bring a part of COCO to `coco.default_folder()`: its pictures and its people's keypoints.

    Args:
        part: `val2017` or `train2017`.
        source: the folder of an unpacked COCO or of the two official archives, or one of these
            archives with the other beside it. The keypoints are copied; to the pictures, a link
            is made. Nothing is downloaded then.
        force: fetch even if it is here.
        quiet: nothing on stderr.
        parts: what there is.

    Returns:
        The folder.

    Raises:
        DownloadFailed: no address gave an archive.
        UserError: no such part, something in `source` is missing or damaged, or the disk is full.
    """
    if part not in parts:
        raise UserError(f"COCO has no part {part!r} to fetch; choose one of {', '.join(parts)}")
    known, folder = parts[part], coco.default_folder()
    keypoints = folder / "annotations" / f"person_keypoints_{part}.json"
    annotated = not force and _keypoints_here(keypoints, known)
    pictured = annotated and _pictures_here(part, keypoints, known)
    if pictured:
        say(f"coco-{part} is already here: {folder}", quiet=quiet)
        return folder
    with locked(folder), disk_errors(folder.parent):
        if source is not None:
            _take_keypoints(source, keypoints, known)
            _link_pictures(source, part, keypoints, known, quiet)
        else:
            _announce(part, known, annotated, folder, quiet)
            if not annotated:
                archive = obtain(known.annotations, data_dir() / "downloads", quiet=quiet)
                _extract(archive, keypoints, known)
                archive.unlink()
            if force or not _pictures_here(part, keypoints, known):
                _clear(folder / part)
                obtain(known.pictures, folder, force=force, quiet=quiet)
    say(f"coco-{part} is at {folder}", quiet=quiet)
    return folder


def obtain(archive: Archive, folder: Path, *, force: bool = False, quiet: bool = False) -> Path:
    """Download an archive into a folder, checked, from the first address that gives it.

    Raises:
        DownloadFailed: none does; the line is that of the last.
        UserError: the disk is full.
    """
    last: DownloadFailed | None = None
    for host in archive.hosts:
        remote = Remote(f"{host}/{archive.path}", archive.file, archive.sha256, archive.size)
        try:
            return download.get(remote, folder, force=force, quiet=quiet)
        except DownloadFailed as error:
            say(str(error), quiet=quiet)
            last = error
    raise last or DownloadFailed(f"{archive.file} has no address; use `--from FILE`")


def _announce(part: str, known: Part, annotated: bool, folder: Path, quiet: bool) -> None:
    """Say what is to come, and refuse what cannot fit, before the first byte is asked for."""
    files.make_folder(folder)
    begun = [folder / f"{known.pictures.file}{ending}" for ending in ("", ".part")]
    have = min(sum(path.stat().st_size for path in begun if path.is_file()), known.pictures.size)
    wanted = known.pictures.size - have + (0 if annotated else known.annotations.size)
    seconds = [wanted * 8 / rate for rate in (100e6, 1e9)]
    say(
        f"coco-{part}: {megabytes(wanted)} to download, {_duration(seconds[0])} at 100 Mbit/s, "
        f"{_duration(seconds[1])} at 1 Gbit/s; it goes to {folder}",
        quiet=quiet,
    )
    download.check_space(folder, wanted + (0 if annotated else known.keypoints_size))


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def _keypoints_here(path: Path, known: Part) -> bool:
    return path.is_file() and files.sha256_file(path) == known.keypoints


def _pictures_here(part: str, keypoints: Path, known: Part) -> bool:
    """Whether the pictures are here: the official archive, or a folder with all of them."""
    folder = coco.default_folder()
    if (folder / part).is_dir():
        return not _lacking(folder / part, keypoints)
    archive = folder / known.pictures.file
    return archive.is_file() and download.check(archive, known.pictures.sha256) is None


def _lacking(place: Path, keypoints: Path) -> list[str]:
    """Which of the annotated pictures are not in a folder."""
    truth, _ = coco.read_annotations(keypoints)
    names = [str(image["file_name"]) for image in truth["images"]]
    return open_pictures(place, names, mend=MENDS).missing()


def _extract(archive: Path, keypoints: Path, known: Part) -> None:
    """Copy the people's keypoints out of the archive of annotations."""
    member = f"annotations/{keypoints.name}"
    if member not in {entry.filename for entry in zip_members(archive, mend=MENDS)}:
        raise UserError(f"{archive} holds no {member}; {MENDS}")
    try:
        with zipfile.ZipFile(archive) as packed:
            data = packed.read(member)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{archive} is damaged at {member}; {MENDS}") from error
    _keep_keypoints(data, keypoints, f"{archive}: {member}", known)


def _keep_keypoints(data: bytes, keypoints: Path, shown_as: str, known: Part) -> None:
    got = files.sha256_bytes(data)
    if got != known.keypoints:
        raise UserError(
            f"{shown_as} has sha256 {got}, expected {known.keypoints}; get the official "
            "annotations, or read yours with `load(annotations=FILE)`"
        )
    files.write_bytes(keypoints, data)


def _folder_of(source: Path) -> Path:
    """The folder that a source is, or that an archive lies in."""
    if not source.exists():
        raise UserError(f"there is no {source}; {MENDS}")
    return source if source.is_dir() else source.parent


def _take_keypoints(source: Path, keypoints: Path, known: Part) -> None:
    folder = _folder_of(source)
    for path in (folder / "annotations" / keypoints.name, folder / keypoints.name):
        if path.is_file():
            _keep_keypoints(path.read_bytes(), keypoints, str(path), known)
            return
    for archive in (source, folder / known.annotations.file):
        if archive.is_file() and _holds(archive, "annotations/"):
            _extract(archive, keypoints, known)
            return
    if not _keypoints_here(keypoints, known):
        raise UserError(
            f"{folder} holds neither annotations/{keypoints.name} nor {known.annotations.file}; "
            f"{MENDS}"
        )


def _holds(archive: Path, prefix: str) -> bool:
    return any(entry.filename.startswith(prefix) for entry in zip_members(archive, mend=MENDS))


def _link_pictures(source: Path, part: str, keypoints: Path, known: Part, quiet: bool) -> None:
    folder = _folder_of(source)
    for place in (folder / part, folder / "images" / part):
        if place.is_dir():
            lacking = _lacking(place, keypoints)
            if lacking:
                raise UserError(
                    f"{place} lacks {len(lacking):,} pictures of coco-{part} (the first is "
                    f"{lacking[0]}); unpack {known.pictures.file} there again"
                )
            _link(place, coco.default_folder() / part)
            return
    for archive in (source, folder / known.pictures.file):
        if archive.is_file() and _holds(archive, f"{part}/"):
            say(f"checking {archive} ({megabytes(archive.stat().st_size)}) …", quiet=quiet)
            got = download.check(archive, known.pictures.sha256)
            if got is not None:
                raise UserError(
                    f"{archive} has sha256 {got}, expected {known.pictures.sha256}; get it again"
                )
            _clear(coco.default_folder() / part)
            _link(archive, coco.default_folder() / known.pictures.file)
            return
    if not _pictures_here(part, keypoints, known):
        raise UserError(f"{folder} holds neither {part}/ nor {known.pictures.file}; {MENDS}")


def _link(target: Path, link: Path) -> None:
    """Make a link in the place of what was there, unless that is a folder."""
    if link.exists() and link.samefile(target):
        return
    _clear(link)
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.resolve(), target_is_directory=target.is_dir())
    temporary.replace(link)


def _clear(place: Path) -> None:
    """Take a link to a folder away; a folder itself may hold what somebody wants to keep."""
    if place.is_symlink() and place.is_dir():
        place.unlink()
    elif place.is_dir():
        raise UserError(
            f"{place} is in the way and does not hold all pictures; remove or rename it, then run "
            "the command again"
        )


def _fingerprint(part: str) -> str:
    return coco.fingerprint(coco.ANNOTATIONS[part])


def _require_annotations(part: str) -> None:
    """See that the annotations of a part are here; that they are not is no MissingData.

    They are no reason to fetch a gigabyte of pictures.
    """
    folder = coco.default_folder() / "annotations"
    places = [folder / f"person_keypoints_{part}{suffix}" for suffix in coco.SUFFIXES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"the keypoints of COCO {part} are not on this machine; run `python -m replab fetch "
            f"coco-{part}`, or put {places[0].name} into {folder}"
        )
    _, digest = coco.read_annotations(path)
    if digest != coco.ANNOTATIONS[part]:
        raise UserError(f"{path} is not COCO's; {coco.UNPACK}")


_PICTURES = {"val2017": "5,000", "train2017": "118,287"}
# Keypoints and boxes of a part of COCO, for what looks at no picture.
ANNOTATIONS_ONLY = "coco-val2017-annotations"

register(
    *(
        Dataset(
            name=f"coco-{part}",
            title=f"COCO {part}",
            kind="poses",
            load=functools.partial(coco.load, part),
            fingerprint=functools.partial(_fingerprint, part),
            require=functools.partial(coco.load, part, require_images=True),
            what=f"COCO {part}: {_PICTURES[part]} photographs and the keypoints of their people",
            licence="annotations CC BY 4.0; photographs by their authors, one licence each",
            fetch=functools.partial(fetch, part),
            size=known.pictures.size + known.annotations.size,
            **coco.ABOUT,
        )
        for part, known in PARTS.items()
    ),
    # Scores of the papers' tables name it.
    Dataset(name=coco.NAME, hub=coco.ABOUT["hub"]),
    Dataset(name=ANNOTATIONS_ONLY, require=functools.partial(_require_annotations, "val2017")),
    order=30,
)

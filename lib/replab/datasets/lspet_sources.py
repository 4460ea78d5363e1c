"""Where Leeds Sports Pose Extended comes from, and how it is known: by what is in the archive.

The authors publish no checksum. `joints.mat` has a digest that many copies share; the pictures of
the cropped form have one of their own. Of the official form's pictures nothing is known but their
names and that they must be whole: their digest is noted beside the archive, in `index.json`.
"""

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from replab import files
from replab.datasets import download, lspet
from replab.datasets.download import Remote, say
from replab.datasets.image_set import disk_errors, locked
from replab.datasets.lspet import CROPS, JOINTS, WHOLE, Extent, Source
from replab.datasets.picture_files import PictureFiles, cut_off
from replab.datasets.registry import Dataset, register
from replab.errors import DownloadFailed, UserError
from replab.paths import data_dir

INDEX = "index.json"
COMMIT = "8fabf3183516b1be5f9d44bd1c516609637e983e"
# The authors' page, often out of reach, and a copy of the archive's content. Neither tells size or
# checksum before; the copy is packed anew by its host now and then.
REMOTES = (
    Remote("http://sam.johnson.io/research/lspet_dataset.zip", "lspet_official.zip", ""),
    Remote(f"https://codeload.github.com/axelcarlier/lsp/zip/{COMMIT}", "lspet_copy.zip", ""),
)
# What the official archive takes at most, archive and download together, in bytes.
ROOM = 500_000_000
# Archives carry the time of their making unless told another.
EPOCH = (1980, 1, 1, 0, 0, 0)
MEND = "get the archive of Leeds Sports Pose Extended again"


@dataclass(frozen=True)
class Form:
    """A form of the set that is known by its digests.

    Attributes:
        name: `official` or `cropped`.
        joints: SHA-256 of joints.mat.
        crops: SHA-256 of crops.csv, None where there is none.
        pictures: `pictures_digest`, None where none is published.
    """

    name: str
    joints: str
    crops: str | None = None
    pictures: str | None = None


FORMS = (
    Form("official", lspet.OFFICIAL_JOINTS),
    Form(
        "cropped",
        lspet.CROPPED_JOINTS,
        lspet.CROPPED_CROPS,
        "e12604aa23b6be34a15e9864ea696520967af4def1505c480e30b56501940313",
    ),
)


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    forms: tuple[Form, ...] = FORMS,
    extent: Extent = WHOLE,
    remotes: tuple[Remote, ...] = REMOTES,
) -> Path:
    """Bring the set to `lspet.default_source()`, all its pictures checked, as one unpacked zip.

    Args:
        source: the official archive, the cropped one, or a folder with either unpacked; nothing
            else is tried then.
        force: fetch even if it is here.
        quiet: nothing on stderr.
        forms: what is accepted.
        extent: how many pictures there must be.
        remotes: addresses, tried in this order.

    Returns:
        The zip.

    Raises:
        DownloadFailed: no address gave the set; one line names each with the reason.
        UserError: `source` is damaged or something else, or the disk is full.
    """
    target = lspet.default_source()
    if not force and _here(target):
        say(f"lspet is already here: {target}", quiet=quiet)
        return target
    if source is not None:
        _install(source, target, forms, extent, quiet)
        return target
    files.make_folder(target.parent)
    download.check_space(target.parent, ROOM)
    downloads, failures = data_dir() / "downloads", []
    for remote in remotes:
        try:
            # Without a checksum, an archive left by an earlier run would be taken as it is.
            archive = download.get(remote, downloads, force=True, quiet=quiet)
        except DownloadFailed as error:
            reason = str(error).partition("; ")[0].replace(f"cannot reach {remote.url}: ", "")
            failures.append(f"{remote.url} ({reason.replace(f'{remote.url} ', '')})")
            say(str(error), quiet=quiet)
            continue
        try:
            _install(archive, target, forms, extent, quiet)
            return target
        except UserError as error:
            failures.append(f"{remote.url} (gave something else)")
            say(str(error), quiet=quiet)
        finally:
            archive.unlink(missing_ok=True)
    raise DownloadFailed(
        f"lspet could not be fetched: {', '.join(failures)}; get lspet_dataset.zip from anywhere "
        "and run `python -m replab fetch lspet --from FILE`"
    )


def _here(target: Path) -> bool:
    """Whether the zip is here and is the one that `index.json` describes."""
    index = target.with_name(INDEX)
    if not (target.is_file() and index.is_file()):
        return False
    try:
        noted = json.loads(index.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(noted) and download.check(target, noted) is None


def _install(
    source: Path, target: Path, forms: tuple[Form, ...], extent: Extent, quiet: bool
) -> None:
    """Check a source and write it as a zip whose members are stored, not packed."""
    if not source.exists():
        raise UserError(f"there is no {source}; name the archive or its unpacked folder")
    say(f"checking the {extent.pictures:,} pictures of {source} …", quiet=quiet)
    opened = lspet.open_source(source)
    form = identify(opened, forms)
    opened.joints(extent)
    numbers = list(range(1, extent.pictures + 1))
    pictures = opened.pictures(np.array(numbers, dtype=np.int64))
    lacking = pictures.missing()
    if lacking:
        raise UserError(
            f"{source} lacks {len(lacking):,} of {extent.pictures:,} pictures (the first is "
            f"{lacking[0]}); {MEND}"
        )
    with locked(target.parent), disk_errors(target.parent):
        with files.atomic_writer(target) as stream, zipfile.ZipFile(stream, "w") as archive:
            for name in ("README.txt", JOINTS, CROPS):
                data = opened.file(name)
                if data is not None:
                    archive.writestr(zipfile.ZipInfo(name, EPOCH), data)

            def keep(number: int, data: bytes) -> None:
                archive.writestr(zipfile.ZipInfo(lspet.picture_name(number), EPOCH), data)

            digest = pictures_digest(pictures, numbers, keep)
            if form.pictures is not None and digest != form.pictures:
                raise UserError(
                    f"the pictures of {source} are not those of the {form.name} form (digest "
                    f"{digest[:16]}…, expected {form.pictures[:16]}…); {MEND}"
                )
        noted = {
            "form": form.name,
            "sha256": files.sha256_file(target),
            "pictures": digest,
            "joints": form.joints,
            "crops": form.crops,
        }
        files.write_json(target.with_name(INDEX), noted)
    known = "as published" if form.pictures else f"digest {digest[:16]}, none is published"
    say(f"lspet is at {target} ({form.name} form; pictures {known})", quiet=quiet)


def identify(opened: Source, forms: tuple[Form, ...] = FORMS) -> Form:
    """Which known form a source is, by its tables of joints and crops.

    Raises:
        UserError: it is none of them.
    """
    joints, crops = opened.digests()
    for form in forms:
        if (form.joints, form.crops) == (joints, crops):
            return form
    raise UserError(
        f"{JOINTS} of {opened.path} has sha256 {joints[:16]}…, which is neither the official one "
        f"nor, with its {CROPS}, the cropped one; {MEND}"
    )


def pictures_digest(
    pictures: PictureFiles,
    numbers: list[int],
    keep: Callable[[int, bytes], None] | None = None,
) -> str:
    """SHA-256 over the SHA-256 of each picture, in the order of their numbers; each must be whole.

    Args:
        pictures: of these numbers.
        numbers: of the pictures, from 1.
        keep: called with each number and the bytes.

    Raises:
        UserError: a picture is missing or cut off.
    """
    digest = hashlib.sha256()
    for index, number in enumerate(numbers):
        data = pictures.data(index)
        if cut_off(data):
            raise pictures.unreadable(index, "the file is cut off")
        digest.update(hashlib.sha256(data).digest())
        if keep is not None:
            keep(number, data)
    return digest.hexdigest()


register(
    Dataset(
        name=lspet.NAME,
        require=lspet.open_source,
        what="Leeds Sports Pose Extended: 10,000 photographs of people in sports, 14 joints",
        licence="none stated; citation asked",
        citation="Johnson and Everingham, Learning Effective Human Pose Estimation, CVPR 2011",
        page="http://sam.johnson.io/research/lspet.html",
        hub=("lspet", "Leeds Sports Pose Extended"),
        fetch=fetch,
    ),
    *(
        Dataset(
            name=f"{lspet.NAME}-{split}",
            title="LSP Extended",
            kind="poses",
            load=functools.partial(lspet.load, split),
            fingerprint=functools.partial(lspet.fingerprint, split),
            require=lspet.open_source,
            part_of=lspet.NAME,
        )
        for split in lspet.SPLITS
    ),
    order=40,
)

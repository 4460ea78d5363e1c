"""ImageNet (ILSVRC2012, classification): 1,281,167 training and 50,000 validation images.

Its authors give it out on request (image-net.org); nothing here downloads it. It lies unpacked in
`$REPLAB_DATA/imagenet`, a folder or a link to one, as `train/<wnid>/*.JPEG` and
`val/<wnid>/*.JPEG`. A flat `val/*.JPEG` is read too, with its classes in Kaggle's
`LOC_val_solution.csv` or in a `val.txt` of lines `FILE LABEL`.
"""

import csv
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from replab import files
from replab.datasets.download import say
from replab.datasets.image_files import ImageFiles, list_classes, list_folder
from replab.datasets.image_set import disk_errors, locked
from replab.datasets.registry import Dataset, register
from replab.errors import MissingData, UserError
from replab.paths import data_dir

NAME = "imagenet"
FETCH = "`python -m replab fetch imagenet --from DIR`"
MEND = (
    "get ILSVRC2012 from its authors (image-net.org), unpack it into DIR/train/<wnid>/ and "
    f"DIR/val/<wnid>/ and run {FETCH}"
)
UNPACK = "unpack the archives of ILSVRC2012 there again"
# Where Kaggle's archive keeps train/ and val/.
KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")
SOLUTION = "LOC_val_solution.csv"
LIST = "val.txt"


@dataclass(frozen=True)
class Extent:
    """What a whole set holds.

    Attributes:
        classes: number of classes.
        train: number of training images.
        val: number of validation images, as many of each class.
        least: training images of the smallest class.
        wnids: SHA-256 of the sorted WordNet ids, a line each; empty if they do not matter.
    """

    classes: int
    train: int
    val: int
    least: int
    wnids: str = ""

    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for such a set."""
        return files.sha256_bytes(files.canonical_json(asdict(self)).encode())[:16]


# Numbers: Russakovsky et al. 2015, Table 2. Ids: tensorflow/models@ebafe289,
# research/slim/datasets/imagenet_lsvrc_2015_synsets.txt.
ILSVRC2012 = Extent(
    classes=1000,
    train=1_281_167,
    val=50_000,
    least=732,
    wnids="70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
)
FINGERPRINT: str = ILSVRC2012.fingerprint()


@dataclass(frozen=True)
class ImageNet:
    """The two halves of the set, as files.

    Attributes:
        train: training images, class by class.
        val: validation images.
        classes: WordNet ids in the order of the labels, which is that of torchvision and Caffe.
    """

    train: ImageFiles
    val: ImageFiles
    classes: tuple[str, ...]


def default_folder() -> Path:
    """Where ImageNet lies on this machine, perhaps as a link."""
    return data_dir() / NAME


def require() -> None:
    """See that ImageNet is on this machine; its images are counted by `load`.

    Raises:
        MissingData: it is not, or the link to it leads nowhere.
    """
    folder = default_folder()
    if not folder.is_dir():
        if folder.is_symlink():
            raise MissingData(
                f"{folder} leads to {os.readlink(folder)}, which is not there; mount that disk or "
                f"run {FETCH}"
            )
        raise MissingData(f"{NAME} is not on this machine (no {folder}); {MEND}")
    for half in ("train", "val"):
        if not (folder / half).is_dir():
            raise MissingData(f"{folder} has no folder {half}/; {MEND}")


def load(folder: Path | None = None, *, extent: Extent = ILSVRC2012) -> ImageNet:
    """List all images and see that they are all there; seconds on a local disk.

    Args:
        folder: holds train/ and val/; `default_folder()` if not given.
        extent: what there must be.

    Raises:
        MissingData: ImageNet is not on this machine.
        UserError: what is there is no whole ILSVRC2012; the message says what is wrong.
    """
    if folder is None:
        require()
        folder = default_folder()
    for half in ("train", "val"):
        if not (folder / half).is_dir():
            raise UserError(f"{folder} has no folder {half}/; {MEND}")
    classes, _ = list_folder(folder / "train")
    _check_classes(folder / "train", classes, extent)
    train = list_classes(folder / "train", classes)
    _check_count(train, classes, extent.train, extent.least)
    found, flat = list_folder(folder / "val")
    if found:
        if found != classes:
            odd = sorted(set(found) ^ set(classes))[0]
            other = "train" if odd in found else "val"
            raise UserError(f"{folder}: class {odd} is missing in {other}/; {UNPACK}")
        val = list_classes(folder / "val", classes)
    else:
        val = _label_flat(folder, flat, classes)
    _check_count(val, classes, extent.val, extent.val // extent.classes)
    return ImageNet(train, val, tuple(classes))


def _check_classes(folder: Path, classes: list[str], extent: Extent) -> None:
    if len(classes) != extent.classes:
        raise UserError(
            f"{folder} has {len(classes):,} class folders instead of {extent.classes:,}; {UNPACK}"
        )
    digest = files.sha256_bytes("".join(f"{name}\n" for name in classes).encode())
    if extent.wnids and digest != extent.wnids:
        raise UserError(
            f"{folder} has {len(classes):,} class folders ({classes[0]} to {classes[-1]}), but "
            f"not the WordNet ids of ILSVRC2012 (n01440764 to n15075141); {UNPACK}"
        )


def _check_count(images: ImageFiles, classes: list[str], expected: int, least: int) -> None:
    """See that there are so many images; name a class that has less than each must have."""
    if len(images) != expected:
        counts = np.bincount(images.labels, minlength=len(classes))
        smallest = int(counts.argmin())
        hint = f" (class {classes[smallest]} has only {counts[smallest]:,})"
        raise UserError(
            f"{images.folder} has {len(images):,} images instead of {expected:,}"
            f"{hint if counts[smallest] < least else ''}; {UNPACK}"
        )


def _label_flat(folder: Path, names: list[str], classes: list[str]) -> ImageFiles:
    """Validation images without class folders, labelled by a file that names their classes."""
    places = (folder / "val", folder, *folder.resolve().parents[:3])
    table = next((p / n for p in places for n in (SOLUTION, LIST) if (p / n).is_file()), None)
    if table is None:
        raise UserError(
            f"{folder / 'val'} has no class folders, and neither {SOLUTION} nor {LIST} (lines "
            f"FILE WNID) is there; add one of them or sort the images into val/<wnid>/, as "
            "torchvision.datasets.ImageNet does from the archive and the development kit"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    numbers |= {str(number): number for number in range(len(classes))}
    stated = _read_table(table, numbers)
    try:
        labels = [stated[name.rpartition(".")[0]] for name in names]
    except KeyError as error:
        raise UserError(f"{table} has no class for the image {error}; get it again") from error
    encoded = np.array([os.fsencode(name) for name in names], dtype=np.bytes_)
    return ImageFiles(folder / "val", encoded, np.array(labels, dtype=np.int64))


def _read_table(path: Path, numbers: dict[str, int]) -> dict[str, int]:
    """Label by file name without suffix."""
    text = files.read_text(path, shown_as=str(path))
    if path.name == SOLUTION:
        # ImageId,PredictionString; the latter begins with the class, boxes follow.
        rows = [
            (row[0], row[1].split()[:1]) for row in csv.reader(io.StringIO(text)) if len(row) == 2
        ][1:]
    else:
        lines = [line.split() for line in text.splitlines() if line.strip()]
        rows = [(words[0].rpartition(".")[0] or words[0], words[1:]) for words in lines]
    labels = {}
    for name, words in rows:
        if len(words) != 1 or words[0] not in numbers:
            raise UserError(
                f"{path}: '{' '.join(words)}' of {name} is neither a WordNet id nor a number of a "
                "class (0 for the first id); get the file again"
            )
        labels[name] = numbers[words[0]]
    return labels


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    extent: Extent = ILSVRC2012,
) -> Path:
    """Make `default_folder()` a link to a folder that holds ImageNet, after a check of its layout.

    Args:
        source: holds train/ and val/, or is the unpacked archive of Kaggle. Without it, what is
            here already is checked.
        force: accepted as by other data sets; the check is made in any case.
        quiet: nothing on stderr.
        extent: what there must be.

    Returns:
        `default_folder()`.

    Raises:
        MissingData: no source was named and nothing is here: ImageNet cannot be downloaded.
        UserError: the source is no whole ILSVRC2012, or no link can be made.
    """
    folder = default_folder()
    if source is None:
        require()
    elif not source.is_dir():
        raise UserError(f"{source} is no folder; name the one that holds train/ and val/")
    elif (source / KAGGLE / "train").is_dir():
        source = source / KAGGLE
    say(f"counting the images of {source or folder} …", quiet=quiet)
    load(source or folder, extent=extent)
    if source is None or (folder.is_dir() and folder.samefile(source)):
        say(f"{NAME} is here: {folder}", quiet=quiet)
        return folder
    with locked(folder), disk_errors(folder.parent):
        if folder.exists() and not folder.is_symlink():
            raise UserError(
                f"{folder} is a folder, no link; remove or rename it, then run the command again"
            )
        temporary = folder.with_name(f".{NAME}.tmp")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(source.resolve(), target_is_directory=True)
        temporary.replace(folder)
    say(f"{NAME} is at {folder}, a link to {source.resolve()}", quiet=quiet)
    return folder


register(
    Dataset(
        name=NAME,
        kind="files",
        load=load,
        fingerprint=ILSVRC2012.fingerprint,
        require=require,
        what=(
            "ImageNet (ILSVRC2012): 1,281,167 training and 50,000 validation images in 1,000 "
            "classes; from its authors on request, then with --from DIR"
        ),
        licence="non-commercial research and education, by agreement with its authors",
        citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015",
        page="https://www.image-net.org/",
        hub=("imagenet-1k", "ImageNet (ILSVRC2012)"),
        fetch=fetch,
    ),
    order=20,
)

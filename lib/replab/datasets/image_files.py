"""Labelled image files: which there are, how one is read and scaled, and their delivery ahead."""

import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replab.cores import available_cores
from replab.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpeg", ".jpg", ".png")
# Batches that each worker holds ready.
AHEAD = 2


@dataclass(frozen=True)
class ImageFiles:
    """Image files and their labels.

    The names are bytes in one array: a million strings would take gigabytes, in each worker.

    Attributes:
        folder: what the names are relative to.
        names: N, bytes in the file system's encoding.
        labels: N, int64.
    """

    folder: Path
    names: NDArray[np.bytes_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Where an image lies."""
        return self.folder / os.fsdecode(self.names[index])

    def first(self, count: int) -> "ImageFiles":
        """The first images, or all where there are fewer."""
        return ImageFiles(self.folder, self.names[:count], self.labels[:count])


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the images in a folder, each sorted; hidden ones left out.

    Raises:
        UserError: the folder cannot be read.
    """
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(SUFFIXES):
                    images.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
    except OSError as error:
        raise UserError(
            f"cannot read {folder}: {error.strerror or error}; make it a readable folder"
        ) from error
    return sorted(folders), sorted(images)


def list_classes(folder: Path, classes: Iterable[str]) -> ImageFiles:
    """The images of `folder/<class>/`, in the order of classes and names, labelled 0, 1, ….

    The listing of torchvision.datasets.ImageFolder for folders without folders inside.

    Raises:
        UserError: a folder cannot be read.
    """
    names: list[bytes] = []
    counts = []
    for name in classes:
        _, images = list_folder(folder / name)
        names += [os.fsencode(f"{name}/{image}") for image in images]
        counts.append(len(images))
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageFiles(folder, np.array(names, dtype=np.bytes_), labels)


def read_image(path: Path) -> "Image":
    """An image in RGB, whatever it is stored in: grey, CMYK, with a palette.

    Raises:
        UserError: the file is missing, damaged or no image.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Some files of ImageNet have damaged camera data, which nothing here looks at.
            warnings.filterwarnings("ignore", ".*EXIF", UserWarning)
            with Image.open(path) as image:
                return image.convert("RGB")
    # Damaged files make Pillow's decoders raise more than OSError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UserError(
            f"cannot read the image {path}: {reason}; unpack it again from its archive"
        ) from error


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height of an image once its shorter side measures `short_side` px.

    The longer side is cut to whole pixels, as by torchvision.transforms.Resize.
    """
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def scale(image: "Image", short_side: int) -> NDArray[np.uint8]:
    """An image, H×W×3 (uint8, RGB), its shorter side scaled to `short_side` px, bilinearly.

    Where it shrinks, the filter is widened (antialiased), as in Pillow and torchvision.
    """
    from PIL import Image

    size = scaled_size(image.width, image.height, short_side)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def scale_crop(image: "Image", short_side: int, left: int, top: int, px: int) -> NDArray[np.uint8]:
    """A square of px×px×3 out of what `scale` gives, without computing the rest.

    Equal to cutting it out of the scaled image but for roundings (two levels of 255 at most).

    Args:
        left: column of its left edge in the scaled image.
        top: row of its upper edge in the scaled image.
    """
    from PIL import Image

    width, height = scaled_size(image.width, image.height, short_side)
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + px) * across, (top + px) * down)
    # Rounding must not carry the box over the edge, which Pillow refuses.
    box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
    return np.asarray(image.resize((px, px), Image.Resampling.BILINEAR, box=box))


class _Guarded:
    """Work of a worker process; its errors come back as one line instead of a traceback."""

    def __init__(self, prepare: Callable[[int], tuple[Any, ...]]) -> None:
        self._prepare = prepare

    def __getitem__(self, key: int) -> tuple[Any, ...] | str:
        try:
            return self._prepare(key)
        except UserError as error:
            return str(error)


def deliver(
    prepare: Callable[[int], tuple[Any, ...]],
    keys: range,
    *,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """`prepare(key)` of each key, in order, made ahead of time by worker processes.

    Args:
        prepare: gives a tuple of tensors; sent to the workers, so it must pickle.
        workers: how many, at most one a core; 0 for this very process.
        pin: put the tensors where a GPU fetches them fastest.

    Raises:
        UserError: what `prepare` raised.
    """
    import torch
    from torch.utils.data import DataLoader

    workers = min(workers, available_cores())
    loader: DataLoader[Any] = DataLoader(
        _Guarded(prepare),  # type: ignore[arg-type]
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context=_context() if workers else None,
        worker_init_fn=_end_with_parent,
        # Else each start of the workers would draw from the generator of the networks.
        generator=torch.Generator(),
    )
    for found in loader:
        if isinstance(found, str):
            raise UserError(found)
        yield tuple(found)


def _context() -> BaseContext:
    """How worker processes start: forked from a server that has imported torch, once.

    The import takes seconds. Forks of this very process might hang: it has threads, and perhaps a
    GPU.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])
    return context


def _end_with_parent(worker: int) -> None:
    """Do not outlive a process that was killed.

    torch's own watch is on the server, which in turn stays for as long as it has children.
    """

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

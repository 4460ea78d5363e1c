"""Generated people in COCO's format: the data set of a machine that can get no other.

Figures with plausible proportions and poses, dressed and lit, in cluttered rooms; left and right
differ in nothing but where the face looks, where the toes point and which limb is nearer. Every
picture is a function of recipe and number, so a smaller set is the beginning of a larger one.
"""

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets import image_set
from replab.datasets.people import annotations, pictures
from replab.datasets.people.difficulty import level
from replab.datasets.people.pictures import SPLITS, Recipe
from replab.datasets.pose_set import PoseSet
from replab.datasets.registry import Dataset, register
from replab.errors import UserError
from replab.keypoints.skeletons import COCO
from replab.paths import data_dir

__all__ = ["NAME", "SIZE", "fingerprint", "load"]

NAME = "people"
# Pictures of the easy level and the default size in `people-train` and `people-test`.
COUNTS = {"train": 2_000, "test": 700}
SIZE = 320, 240  # large enough for people of medium and of large area by COCO's bounds
LEAST_SIDE, MOST_SIDE = 96, 1024
MOST_PICTURES = 1_000_000  # ids of both splits lie that far apart
_PICTURES, _TRUTH, _INDEX = "pictures.npy", "truth.json", "index.json"
_MEND = "remove the folder, and it is drawn again"


class _Drawn:
    """Pictures in one memory-mapped array; see `replab.datasets.pose_set.Images`."""

    def __init__(self, array: NDArray[np.uint8]) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def read(self, index: int) -> NDArray[np.uint8]:
        return np.array(self._array[index])


def fingerprint(
    split: str,
    *,
    pictures: int,
    difficulty: str = "easy",
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> str:
    """16 hexadecimal digits that stand for a generated set, known without drawing it.

    Arguments and errors are those of `load`.
    """
    return _digits(_recipe(split, pictures, difficulty, size, seed), pictures)


def load(
    split: Literal["train", "test"],
    *,
    pictures: int,
    difficulty: Literal["easy", "medium", "hard"] = "easy",
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> PoseSet:
    """Open generated pictures of people, drawn on first use and kept in the data folder.

    A picture holds about three people with keypoints at the default level. It takes 230 kB at the
    default size, here and in the cache (mapped, not read): 2,000 pictures, 460 MB. Boxes are
    clipped as COCO's by the released code.

    Args:
        split: `train` or `test`: no picture is in both.
        pictures: how many.
        difficulty: one set of numbers for contrast, clutter, occlusion, truncation, noise.
        size: width and height of the pictures, px.
        seed: of the random draw.

    Raises:
        UserError: an argument is out of range, or the data folder cannot be written.
    """
    recipe = _recipe(split, pictures, difficulty, size, seed)
    digits = _digits(recipe, pictures)
    folder = data_dir() / "generated" / f"people-{digits}"
    with contextlib.suppress(UserError):  # missing or damaged: drawn again
        return _open(folder, recipe, pictures, digits)
    with image_set.locked(folder):
        with contextlib.suppress(UserError):  # another process drew it meanwhile
            return _open(folder, recipe, pictures, digits)
        with image_set.new_folder(folder) as temporary:
            _draw(temporary, recipe, pictures, digits)
    return _open(folder, recipe, pictures, digits)


def _recipe(split: str, count: int, difficulty: str, size: tuple[int, int], seed: int) -> Recipe:
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r} of {NAME}; choose {' or '.join(SPLITS)}")
    level(difficulty)
    if not 1 <= count <= MOST_PICTURES or seed < 0:
        raise UserError(
            f"cannot draw {count} pictures of people with seed {seed}; name 1 to "
            f"{MOST_PICTURES:,} pictures and a seed of 0 or more"
        )
    if not all(LEAST_SIDE <= side <= MOST_SIDE for side in size):
        raise UserError(
            f"cannot draw people in {size[0]}×{size[1]} px; width and height must be from "
            f"{LEAST_SIDE} to {MOST_SIDE}"
        )
    return Recipe(split, difficulty, (int(size[0]), int(size[1])), int(seed))


def _digits(recipe: Recipe, count: int) -> str:
    identity = {"name": NAME, "pictures": count, **recipe.identity()}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def _draw(folder: Path, recipe: Recipe, count: int, digits: str) -> None:
    """Draw a set into an existing, still nameless folder, a block at a time."""
    width, height = recipe.size
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": "|u1", "fortran_order": False, "shape": (count, height, width, 3)},
    )
    found: list[dict[str, Any]] = []
    with files.atomic_writer(folder / _PICTURES) as stream:
        stream.write(header.getvalue())
        for block, described in _shown(pictures.blocks(recipe, count), recipe, count):
            stream.write(block.data.cast("B"))
            found += described
    ids = [recipe.image_id(index) for index in range(count)]
    names = [f"{recipe.split}-{index:06}.png" for index in range(count)]
    truth = annotations.dictionary(ids, names, recipe.size, found)
    text = files.canonical_json(truth)
    files.write_text(folder / _TRUTH, text)
    index = {
        "name": NAME,
        "fingerprint": digits,
        "recipe": asdict(recipe),
        "bytes": len(header.getvalue()) + count * height * width * 3,
        "truth": files.sha256_bytes(text.encode()),
    }
    files.write_json(folder / _INDEX, index)


def _shown(
    blocks: Iterable[pictures.Block], recipe: Recipe, count: int
) -> Iterable[pictures.Block]:
    """The blocks, with a bar on stderr where someone looks on and it takes a while."""
    from tqdm import tqdm

    what = f"drawing {recipe.split} pictures of people"
    quiet = count < pictures.WORTH_A_PROCESS or not sys.stderr.isatty()
    with tqdm(total=count, desc=what, unit="", file=sys.stderr, disable=quiet) as bar:
        for block in blocks:
            yield block
            bar.update(len(block[0]))


def _open(folder: Path, recipe: Recipe, count: int, digits: str) -> PoseSet:
    """Open a drawn set; the annotations are checked by digest, the pictures by their size.

    Raises:
        UserError: something is missing, truncated or of another recipe.
    """
    width, height = recipe.size
    index = files.read_json(folder / _INDEX, mend=_MEND)
    path = folder / _PICTURES
    try:
        if index["fingerprint"] != digits:
            raise UserError(f"{folder} is of another recipe than {digits}; {_MEND}")
        text = (folder / _TRUTH).read_bytes()
        if files.sha256_bytes(text) != index["truth"]:
            raise UserError(f"{folder / _TRUTH} is damaged; {_MEND}")
        if path.stat().st_size != index["bytes"]:
            raise UserError(f"{path} is not {index['bytes']:,} bytes long; {_MEND}")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {folder}: {error}; {_MEND}") from error
    if array.shape != (count, height, width, 3) or array.dtype != np.uint8:
        raise UserError(f"{path} holds {array.dtype} of shape {array.shape}; {_MEND}")
    truth = files.read_json(folder / _TRUTH, mend=_MEND)
    image_ids = np.array([image["id"] for image in truth["images"]], np.int64)
    return PoseSet(
        name=f"{NAME}-{recipe.split}-{recipe.difficulty}",
        fingerprint=digits,
        skeleton=COCO,
        images=_Drawn(array),
        image_ids=image_ids,
        image_sizes=np.tile(np.array([[width, height]], np.int64), (count, 1)),
        truth=truth,
        **_people(truth, image_ids, recipe.size),
    )


def _people(
    truth: dict[str, Any], image_ids: NDArray[np.int64], size: tuple[int, int]
) -> dict[str, Any]:
    """The people with keypoints as arrays, in the order of their pictures."""
    # Here, so that drawing processes, which import this package, need not wait for torch.
    import torch

    from replab.keypoints.boxes import clip_boxes

    table = truth["annotations"]
    crowd = np.array([entry["iscrowd"] for entry in table], bool)
    labelled = np.array([entry["num_keypoints"] for entry in table]) > 0
    kept = [entry for entry, keep in zip(table, labelled & ~crowd, strict=True) if keep]
    keypoints = np.array([entry["keypoints"] for entry in kept], np.float64)
    keypoints = keypoints.reshape(-1, len(COCO), 3)
    boxes = torch.tensor([entry["bbox"] for entry in kept], dtype=torch.float64).reshape(-1, 4)
    sizes = torch.tensor([size], dtype=torch.int64).expand(len(kept), 2)
    owners = np.array([entry["image_id"] for entry in kept], np.int64)
    return {
        "image_of": np.searchsorted(image_ids, owners).astype(np.int64),
        "person_ids": np.array([entry["id"] for entry in kept], np.int64),
        "boxes": clip_boxes(boxes, sizes)[0].numpy(),
        "box_scores": np.ones(len(kept)),
        "joints": keypoints[..., :2].copy(),
        "visible": keypoints[..., 2].astype(np.uint8),
        "areas": np.array([entry["area"] for entry in kept], np.float64),
        "left_out": {"crowd": int(crowd.sum()), "no keypoints": int((~labelled & ~crowd).sum())},
    }


def _of_usual_count(call: Callable[..., Any], split: str) -> Any:
    return call(split, pictures=COUNTS[split])


register(
    Dataset(
        name=NAME,
        what="generated people: drawn figures with the annotations of COCO keypoints",
        licence="Apache-2.0, as the code that draws them",
        citation="replab.datasets.people",
        hub=("replab-people", "generated people (replab)"),
    ),
    *(
        Dataset(
            name=f"{NAME}-{split}",
            title="generated people",
            kind="poses",
            load=functools.partial(_of_usual_count, load, split),
            fingerprint=functools.partial(_of_usual_count, fingerprint, split),
            part_of=NAME,
        )
        for split in COUNTS
    ),
    order=41,
)

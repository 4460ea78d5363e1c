"""From photographs to poses: pictures, boxes and a network, some pictures at a time."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replab.datasets.pose_set import PoseSet
from replab.errors import UserError
from replab.keypoints.oks import crop_areas
from replab.keypoints.skeletons import COCO, Skeleton
from replab.keypoints.suppression import OVERLAP, VISIBLE, oks_nms, rescore
from replab.photos import upright
from replab.photos.boxes import Boxes, BoxSource
from replab.photos.listing import Entry
from replab.photos.networks import Opened
from replab.photos.upright import Upright
from replab.topdown.predict import predict

# Pictures that pass together: so many, or so many pixels. One that is larger passes alone.
PICTURES, PIXELS = 32, 48_000_000
# Pictures decoded meanwhile, and the threads that do it.
AHEAD, THREADS = 4, 2
# Longer side in px of what a notebook shows: a telephone's picture would make it twenty megabytes.
SHOWN = 1200


@dataclass(frozen=True)
class Photo:
    """A photograph and the people found in it.

    Attributes:
        name: relative to the folder that holds all pictures.
        id: its number in result files.
        picture: H×W×3, uint8, RGB, upright.
        orientation: the camera's tag, 1–8, by which it was turned.
        keypoints: N×K×3, x and y in px of the upright picture, 0 at the centre of the top left
            pixel, and confidence, the height of the heatmap's peak; the surest person first.
        scores: N, of the poses: the box's score times the mean confidence of its surer joints.
        boxes: N×4, x, y, width, height in px, that the poses were looked for in.
        box_scores: N.
        skeleton: of the K joints.
        label: what must stand beside the poses; empty for weights that the user chose.
        notes: what the user should know of how the picture was read.
    """

    name: str
    id: int
    picture: NDArray[np.uint8] = field(repr=False)
    orientation: int
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    skeleton: Skeleton
    label: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def overlay(self, threshold: float | None = None) -> NDArray[np.uint8]:
        """The picture with the poses on it, as of `overlay.draw`.

        Args:
            threshold: joints of less confidence are not drawn; None for the usual one.
        """
        from replab.photos.overlay import THRESHOLD, Poses, draw

        least = THRESHOLD if threshold is None else threshold
        poses = Poses(self.keypoints, self.scores, self.skeleton)
        return draw(self.picture, poses, threshold=least, label=self.label)

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay, shrunk where it is larger than a screen."""
        from replab.photos.overlay import encode, shrink

        return encode(shrink(self.overlay(), SHOWN), ".png")


@dataclass(frozen=True)
class Unread:
    """A picture that could not be looked at.

    Attributes:
        name: as of `Photo`.
        id: as of `Photo`.
        why: one line that names the file and the mend.
    """

    name: str
    id: int
    why: str


def estimate(
    pictures: Sequence[Entry],
    opened: Opened,
    boxes: BoxSource,
    *,
    flip: bool = True,
) -> Iterator[Photo | Unread]:
    """Poses of the people in pictures, in their order; each is decoded once.

    As in evaluation: crops of several pictures in a batch, image and mirror image in one forward,
    poses scored anew by box and joints, of poses found twice the better kept. Some pictures are in
    memory at a time, however many there are.

    Args:
        flip: average the heatmaps of each crop and its mirror image.

    Yields:
        A photograph with its people, or why there is none.

    Raises:
        UserError: boxes that do not fit their picture; a network that gives no finite numbers.
    """
    group: list[tuple[Entry, Upright | str]] = []
    pixels = 0
    for entry, found in _read_ahead(pictures):
        more = 0 if isinstance(found, str) else found.picture[..., 0].size
        if group and (len(group) == PICTURES or pixels + more > PIXELS):
            yield from _together(group, opened, boxes, flip)
            group, pixels = [], 0
        group.append((entry, found))
        pixels += more
    if group:
        yield from _together(group, opened, boxes, flip)


def _read_ahead(pictures: Sequence[Entry]) -> Iterator[tuple[Entry, Upright | str]]:
    """Each picture upright, or why it cannot be read, decoded by threads ahead of their use."""
    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque[tuple[Entry, Future[Upright]]] = deque()
        try:
            for entry in pictures:
                pending.append((entry, pool.submit(upright.read, entry.path)))
                if len(pending) > AHEAD:
                    yield _result(*pending.popleft())
            while pending:
                yield _result(*pending.popleft())
        finally:
            # Else an error, or a reader who stops, would wait for pictures that nobody wants.
            for _, future in pending:
                future.cancel()


def _result(entry: Entry, future: Future[Upright]) -> tuple[Entry, Upright | str]:
    try:
        return entry, future.result()
    except UserError as error:
        return entry, str(error)


class _InMemory:
    """Pictures that are decoded already; a `datasets.pose_set.Images`."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def read(self, index: int) -> NDArray[np.uint8]:
        return self._pictures[index]


def _together(
    group: Sequence[tuple[Entry, Upright | str]], opened: Opened, source: BoxSource, flip: bool
) -> Iterator[Photo | Unread]:
    """Some pictures at a time, in their order."""
    read = [(entry, found) for entry, found in group if isinstance(found, Upright)]
    pictures = [found.picture for _, found in read]
    people = source.find([entry for entry, _ in read], pictures)
    photos = iter(_photos(read, people, opened, flip))
    for entry, found in group:
        yield Unread(entry.name, entry.id, found) if isinstance(found, str) else next(photos)


def _photos(
    read: Sequence[tuple[Entry, Upright]], people: Sequence[Boxes], opened: Opened, flip: bool
) -> list[Photo]:
    skeleton = opened.network.skeleton
    counts = [len(boxes) for boxes in people]
    image_of = np.repeat(np.arange(len(read)), counts)
    keypoints = np.zeros((len(image_of), len(skeleton), 3))
    scores, kept = np.zeros(len(image_of)), np.zeros(0, dtype=np.int64)
    places = np.concatenate([boxes.places for boxes in people]) if read else np.zeros((0, 4))
    sure = np.concatenate([boxes.scores for boxes in people]) if read else np.zeros(0)
    if len(image_of):
        poses = _pose_set(read, image_of, places, sure, skeleton)
        found = predict(opened.network, poses, opened.codec, flip=flip)
        keypoints[..., :2], keypoints[..., 2] = found.keypoints, found.scores
        scores = rescore(sure, found.scores, threshold=VISIBLE)
        areas = crop_areas(found.scale)
        kept = _suppressed(image_of, found.keypoints, areas, scores, skeleton)
    photos = []
    for number, (entry, picture) in enumerate(read):
        own = kept[image_of[kept] == number]
        photos.append(
            Photo(
                name=entry.name,
                id=entry.id,
                picture=picture.picture,
                orientation=picture.orientation,
                keypoints=keypoints[own],
                scores=scores[own],
                boxes=places[own],
                box_scores=sure[own],
                skeleton=skeleton,
                label=opened.label,
                notes=picture.notes,
            )
        )
    return photos


def _pose_set(
    read: Sequence[tuple[Entry, Upright]],
    image_of: NDArray[np.int64],
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    skeleton: Skeleton,
) -> PoseSet:
    count, joints = len(image_of), len(skeleton)
    pictures = [found.picture for _, found in read]
    return PoseSet(
        name="photographs",
        fingerprint="",
        skeleton=skeleton,
        images=_InMemory(pictures),
        image_ids=np.array([entry.id for entry, _ in read], dtype=np.int64),
        image_sizes=np.array([picture.shape[1::-1] for picture in pictures], dtype=np.int64),
        image_of=image_of,
        person_ids=np.arange(count),
        boxes=boxes,
        box_scores=scores,
        joints=np.full((count, joints, 2), np.nan),
        visible=np.zeros((count, joints), dtype=np.uint8),
        areas=boxes[:, 2] * boxes[:, 3],
    )


def _suppressed(
    images: NDArray[np.int64],
    joints: NDArray[np.float32],
    areas: NDArray[np.float64],
    scores: NDArray[np.float64],
    skeleton: Skeleton,
) -> NDArray[np.int64]:
    """Which poses stay: the surest of each picture first, those found twice dropped.

    Only COCO publishes how far a joint may be off. Poses of another skeleton are compared by those
    joints that COCO has as well, of MPII and LSP the twelve of the limbs.
    """
    shared = [number for number, name in enumerate(skeleton.joints) if name in COCO.joints]
    sigmas = [COCO.sigmas[COCO.joints.index(skeleton.joints[number])] for number in shared]
    return oks_nms(images, joints[:, shared], areas, scores, sigmas, threshold=OVERLAP)

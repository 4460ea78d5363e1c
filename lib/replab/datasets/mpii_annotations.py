"""MPII Human Pose: what is brought to this machine, and its people as a pose set.

The truth of the validation people (joints, head boxes) can be fetched. Annotations (centres,
scales) and pictures are taken from a folder: of the annotations no checksum is published, so those
for validation are held against the truth, and the pictures are 12 GB on MPII's own page.
"""

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote
from replab.datasets.mpii_files import (
    MpiiAnnotations,
    MpiiTruth,
    Part,
    read_annotations,
    read_truth,
)
from replab.datasets.picture_files import open_pictures, picture_sizes
from replab.datasets.pose_set import PoseSet
from replab.datasets.registry import Dataset, register
from replab.datasets.source_files import find_below, read_bytes
from replab.errors import MissingData, UserError
from replab.keypoints.skeletons import MPII
from replab.paths import data_dir

NAME = "mpii-annotations"
REPOSITORY = "bearpaw/pytorch-pose"
COMMIT = "edc7aece651649927764435ce0c1f03cffa2edaf"
TRUTH = Remote(
    f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/evaluation/data/"
    "detections_our_format.mat",
    "detections_our_format.mat",
    "1ab6874f858046c74acdd1b9dacb8746a2ddddc331952487a9774e3ee0c2b075",
)
# SHA-256 of the truth's content (`MpiiTruth.digest`), so that gt_valid.mat is known as well.
CONTENT = "d4efd795d107e8f62d00685872992c507282e951e2b691a45616fb9ae901bd2f"
TRUTH_FILES = (TRUTH.file, "gt_valid.mat")
ALL_PEOPLE = "mpii_annotations.json"
PART_FILES: dict[Part, str] = {"val": "valid.json", "train": "train.json"}
ANNOTATION_FILES = (ALL_PEOPLE, *PART_FILES.values())
# Joints of the annotations lie on those of the truth but for the rounding of either.
TOLERANCE_PX = 1.0
AGREEMENT = 0.99
MEND = f"run `python -m replab fetch {NAME}` (or with `--from DIR`)"


def folder() -> Path:
    """Where the fetched files live on this machine."""
    return data_dir() / "mpii"


def find_truth() -> Path:
    """The fetched truth of the validation people, its content checked.

    Raises:
        MissingData: it has not been fetched.
        UserError: it is damaged.
    """
    path = folder() / TRUTH.file
    if not path.is_file():
        raise MissingData(f"MPII's truth is not on this machine (no {path}); {MEND}")
    _released_truth(path, CONTENT)
    return path


def fetch(
    source: Path | None = None,
    *,
    force: bool = False,
    quiet: bool = False,
    remote: Remote = TRUTH,
    content: str = CONTENT,
) -> Path:
    """Bring MPII's validation truth, and annotations where a source has them, to this machine.

    Args:
        source: a folder that holds `detections_our_format.mat` or `gt_valid.mat`, and perhaps
            annotations, all up to three folders deep; or one such file. Annotations alone are
            taken if the truth is here already.
        force: fetch even if it is here.
        quiet: nothing on stderr.
        remote: where the truth is published.
        content: what `MpiiTruth.digest` must give.

    Returns:
        The folder with the checked files.

    Raises:
        DownloadFailed: the repository cannot be reached or gives something else.
        UserError: the source has nothing of MPII's, or other content than was published, or the
            disk is full.
    """
    final = folder() / remote.file
    if source is not None:
        _take(source, final, content, quiet=quiet)
        return folder()
    if not force:
        with contextlib.suppress(UserError):
            _released_truth(final, content)
            download.say(f"MPII's truth is already here: {final}", quiet=quiet)
            return folder()
    # What is here may be gt_valid.mat, of which only the content is known.
    download.get(remote, folder(), force=True, quiet=quiet)
    _released_truth(final, content)
    download.say(f"MPII's truth is at {final}", quiet=quiet)
    return folder()


def load(
    part: Part = "val",
    *,
    images: Path | None = None,
    annotations: Path | None = None,
    require_images: bool = False,
) -> PoseSet:
    """MPII's people, one box each: a square around the lowered centre, as the released code crops.

    `centre_scale(boxes, 1)` gives the released centres and, but for the last bit of float32, the
    released scales: the side is 200·scale and is enlarged by 1.25 there. `person_ids` are places
    in the file, counted from 0; the predictions that are scored must stand in their order, that
    is `predictions[np.argsort(person_ids)]`. People without a scale above 0 are left out.

    Args:
        part: `val` or `train`.
        images: folder of the pictures; `images/` beside the fetched annotations if None.
        annotations: a file as `read_annotations` takes it; the fetched one if None.
        require_images: see that every picture is there; else one that is missing is an error when
            it is read, or when its size is needed and the annotations do not tell it.

    Raises:
        MissingData: annotations, or pictures that are required, are not on this machine.
        UserError: a file is damaged.
    """
    # Here, since the import of torch takes seconds, and `fetch` needs none of it.
    import torch

    from replab.keypoints.boxes import from_one

    path = annotations if annotations is not None else _find_annotations(part)
    found = read_annotations(path, part)
    place = images if images is not None else folder() / "images"
    names = list(dict.fromkeys(found.pictures))
    index = {name: number for number, name in enumerate(names)}
    image_of = np.array([index[name] for name in found.pictures], dtype=np.int64)
    whole = found.scales > 0
    order = np.flatnonzero(whole)[np.argsort(image_of[whole], kind="stable")]
    sizes = np.zeros((len(names), 2), dtype=np.int64)
    sizes[image_of] = found.sizes
    mend = "get mpii_human_pose_v1.tar.gz from MPII's page and name its images/"
    pictures = open_pictures(place, names, mend=mend, sizes=sizes)
    lacking = pictures.missing() if require_images else []
    if lacking:
        raise MissingData(
            f"{place} lacks {len(lacking)} of MPII's {len(names)} pictures (the first is "
            f"{lacking[0]}); {mend}"
        )
    unknown = np.flatnonzero((sizes == 0).any(axis=1))
    sizes[unknown] = picture_sizes(pictures, unknown.tolist())
    boxes = square_boxes(found.centres, found.scales)
    identity = {"set": "mpii", "part": part, "annotations": files.sha256_file(path)}
    return PoseSet(
        name=f"mpii-{part}",
        fingerprint=files.sha256_bytes(files.canonical_json(identity).encode())[:16],
        skeleton=MPII,
        images=pictures,
        image_ids=np.arange(len(names), dtype=np.int64),
        image_sizes=sizes,
        image_of=image_of[order],
        person_ids=order.astype(np.int64),
        boxes=boxes[order],
        box_scores=np.ones(len(order)),
        joints=from_one(torch.from_numpy(found.joints)).numpy()[order],
        visible=found.visible[order],
        areas=(boxes[:, 2] * boxes[:, 3])[order],
        left_out={} if whole.all() else {"no scale": int((~whole).sum())},
    )


def square_boxes(centres: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes, N×4 (x, y, width, height in px), of which `centre_scale` makes the released crops.

    Args:
        centres: N×2, px counted from 1, as annotated.
        scales: N, in units of 200 px.
    """
    import torch

    from replab.keypoints.boxes import MISSING, PADDING, PIXEL_STD, mpii_centre_scale

    centre, scale = mpii_centre_scale(torch.from_numpy(centres), torch.from_numpy(scales))
    # `centre_scale` enlarges all but boxes around an x of -1. In MPII such a centre was annotated
    # as 0 and is enlarged; one annotated as -1, for missing, lies at -2 by now and is not.
    kept = centre[:, :1].float() == MISSING
    side = scale * PIXEL_STD / torch.where(kept, 1.0, PADDING)
    return torch.cat((centre - side / 2, side), dim=1).numpy()


def _find_annotations(part: Part) -> Path:
    for name in (ALL_PEOPLE, PART_FILES[part]):
        if (folder() / name).is_file():
            return folder() / name
    raise MissingData(
        f"MPII's annotations are not on this machine (no {folder() / PART_FILES[part]}); run "
        f"`python -m replab fetch {NAME} --from DIR` with a folder that holds "
        f"{PART_FILES[part]} or {ALL_PEOPLE}"
    )


def _take(source: Path, final: Path, content: str, *, quiet: bool) -> None:
    """Take what a source has of truth and annotations, after all of it has been checked."""
    truths, annotations = _sort_source(source)
    where = truths[0] if truths else final
    if not where.is_file():
        raise MissingData(
            f"{source} holds no truth ({' or '.join(TRUTH_FILES)}), and none is here to check the "
            f"annotations by; {MEND}"
        )
    truth = _released_truth(where, content)
    for name, path in annotations.items():
        if name != PART_FILES["val"]:
            read_annotations(path, "train")
        if name != PART_FILES["train"]:
            _agree(path, read_annotations(path, "val"), truth)
    taken = {**({final.name: where} if truths else {}), **annotations}
    for name, path in taken.items():
        target = final.with_name(name)
        if path.resolve() != target.resolve():
            files.write_bytes(target, read_bytes(path))
    shown = ", ".join(path.name for path in taken.values())
    download.say(f"{shown} of MPII are at {final.parent}", quiet=quiet)


def _sort_source(source: Path) -> tuple[list[Path], dict[str, Path]]:
    """The files of truth, and those of annotations by name, that a source holds."""
    if not source.exists():
        raise UserError(f"there is no {source}; name MPII's files or a folder that holds them")
    if source.is_dir():
        places = {name: find_below(source, name) for name in (*TRUTH_FILES, *ANNOTATION_FILES)}
        found = {name: path for name, path in places.items() if path is not None}
    elif source.suffix == ".json":
        if source.name not in ANNOTATION_FILES:
            raise UserError(f"{source} has another name than {', '.join(ANNOTATION_FILES)}")
        found = {source.name: source}
    else:
        found = {TRUTH.file: source}
    truths = [found[name] for name in TRUTH_FILES if name in found]
    annotations = {name: found[name] for name in ANNOTATION_FILES if name in found}
    if not truths and not annotations:
        raise UserError(
            f"{source} holds nothing of MPII's ({', '.join((*TRUTH_FILES, *ANNOTATION_FILES))}); "
            "name the folder that does"
        )
    return truths, annotations


def _released_truth(path: Path, content: str) -> MpiiTruth:
    truth = read_truth(path)
    if truth.digest() != content:
        raise UserError(
            f"{path} holds other numbers than the truth that was published for MPII's 2,958 "
            f"validation people; {MEND}"
        )
    return truth


def _agree(path: Path, found: MpiiAnnotations, truth: MpiiTruth) -> None:
    """See that annotations are of the truth's people, in its order."""
    people = len(truth.joints)
    if len(found.pictures) != people:
        raise UserError(
            f"{path} has {len(found.pictures)} validation people, the truth {people}; give MPII's "
            "annotations as released"
        )
    both = truth.annotated & (found.visible > 0)
    apart = np.abs(found.joints - truth.joints).max(axis=2)[both]
    if not len(apart) or (apart <= TOLERANCE_PX).mean() < AGREEMENT:
        raise UserError(
            f"{path}: its joints are not those of the truth, or in another order of people; give "
            "MPII's annotations as released"
        )


register(
    Dataset(
        name=NAME,
        require=find_truth,
        what="MPII Human Pose: joints and head boxes of the 2,958 people of validation",
        licence="GPL-3.0 for the repository; data for research",
        citation="Andriluka et al., 2D Human Pose Estimation, CVPR 2014",
        page="http://human-pose.mpi-inf.mpg.de/",
        fetch=fetch,
    ),
    # Scores of predictions name it.
    Dataset(name="mpii", hub=("mpii", "MPII Human Pose")),
    order=50,
)

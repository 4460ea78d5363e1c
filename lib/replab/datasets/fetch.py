"""The command `fetch`: what can be brought to this machine, from where, and at which cost."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from replab.datasets import (
    availability,
    cifar10_sources,
    coco_detections,
    coco_estimated,
    coco_sources,
    cpm_predictions,
    imagenet,
    lspet_sources,
    mpii_annotations,
    mpii_predictions,
    pose_weights,
    weights,
)
from replab.datasets.download import say
from replab.errors import DownloadFailed, MissingData, UserError


@dataclass(frozen=True)
class Entry:
    """Something that `fetch` brings to this machine.

    Attributes:
        name: what the user types.
        what: one phrase that says what it is.
        size: bytes to download, None where they are not published.
        licence: under which it may be used.
        citation: whom to cite.
        obtain: called with the `--from` path or None, and the keywords `force` and `quiet`;
            returns where the data lie.
    """

    name: str
    what: str
    size: int | None
    licence: str
    citation: str
    obtain: Callable[..., Path]


def entries() -> Mapping[str, Entry]:
    """All that can be fetched, by name."""
    table = [
        Entry(
            name="cifar10",
            what="CIFAR-10: 60,000 colour images of 32×32 pixels in 10 classes",
            size=cifar10_sources.OFFICIAL.size,
            licence="none stated; citation asked",
            citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            obtain=cifar10_sources.fetch,
        ),
        Entry(
            name="imagenet",
            what=(
                "ImageNet (ILSVRC2012): 1,281,167 training and 50,000 validation images in 1,000 "
                "classes; from its authors on request, then with --from DIR"
            ),
            size=None,
            licence="non-commercial research and education, by agreement with its authors",
            citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015",
            obtain=imagenet.fetch,
        ),
    ]
    table += _pose_entries()
    table += [
        Entry(
            name=f"weights:{checkpoint.name}",
            what=f"checkpoint of {checkpoint.name} trained on CIFAR-10",
            size=checkpoint.remote.size,
            licence=checkpoint.licence,
            citation=f"Idelbayev, {checkpoint.source}",
            obtain=functools.partial(weights.fetch, checkpoint.name),
        )
        for checkpoint in weights.CHECKPOINTS.values()
    ]
    table += [
        Entry(
            name=f"weights:{known.name}",
            what=f"released weights {known.file}" + (f" of {known.model}" if known.model else ""),
            size=known.bytes if known.url else None,
            licence=f"{known.licence} for the code; none stated for the file",
            citation=known.source,
            obtain=functools.partial(pose_weights.fetch, known.name),
        )
        for known in pose_weights.CHECKPOINTS.values()
    ]
    return {entry.name: entry for entry in table}


def _pose_entries() -> list[Entry]:
    pictures = {"val2017": "5,000", "train2017": "118,287"}
    parts = [
        Entry(
            name=f"coco-{part}",
            what=f"COCO {part}: {pictures[part]} photographs and the keypoints of their people",
            size=known.pictures.size + known.annotations.size,
            licence="annotations CC BY 4.0; photographs by their authors, one licence each",
            citation="Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
            obtain=functools.partial(coco_sources.fetch, part),
        )
        for part, known in coco_sources.PARTS.items()
    ]
    return [
        *parts,
        Entry(
            name="coco-detections",
            what=(
                "boxes of people of COCO val2017 by the detector that the papers use (person AP "
                "56.4); from the authors' drive, then with --from FILE"
            ),
            size=None,
            licence="none stated",
            citation="Xiao et al., Simple Baselines for Human Pose Estimation, ECCV 2018",
            obtain=coco_detections.fetch,
        ),
        Entry(
            name=coco_estimated.NAME,
            what=(
                "COCO val2017: keypoints of its 6,352 people with estimated areas, without "
                "pictures; with --from FILE"
            ),
            size=None,
            licence="annotations CC BY 4.0; labels they are rebuilt from: MIT or GPL-3.0",
            citation="Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014",
            obtain=coco_estimated.fetch,
        ),
        Entry(
            name="lspet",
            what="Leeds Sports Pose Extended: 10,000 photographs of people in sports, 14 joints",
            size=None,
            licence="none stated; citation asked",
            citation="Johnson and Everingham, Learning Effective Human Pose Estimation, CVPR 2011",
            obtain=lspet_sources.fetch,
        ),
        Entry(
            name="mpii-annotations",
            what="MPII Human Pose: joints and head boxes of the 2,958 people of validation",
            size=None,
            licence="GPL-3.0 for the repository; data for research",
            citation="Andriluka et al., 2D Human Pose Estimation, CVPR 2014",
            obtain=mpii_annotations.fetch,
        ),
        Entry(
            name=mpii_predictions.NAME,
            what="predictions of an eight-stack hourglass for MPII's 2,958 validation people",
            size=mpii_predictions.REMOTE.size,
            licence="none stated",
            citation=f"bearpaw/pytorch-pose, by {mpii_predictions.REPOSITORY}",
            obtain=mpii_predictions.fetch,
        ),
        Entry(
            name="cpm-predictions",
            what="predictions of Convolutional Pose Machines on LSP and FLIC, and their truth",
            size=cpm_predictions.SIZE,
            licence="non-commercial research, no redistribution (predictions); GPL-2.0 (truth)",
            citation="Wei et al., Convolutional Pose Machines, CVPR 2016",
            obtain=cpm_predictions.fetch,
        ),
    ]


def fetch(
    name: str, source: Path | None = None, *, force: bool = False, quiet: bool = False
) -> Path:
    """Bring a data set or a checkpoint to this machine, checked, all of it or nothing.

    Args:
        name: a key of `entries()`, or a split of a set among them (`lspet-train`).
        source: a file or a folder to take it from instead of the network.
        force: fetch even if it is here.
        quiet: nothing on stderr.

    Returns:
        Where it lies.

    Raises:
        DownloadFailed: no source gave it.
        MissingData: it can only be taken from `source`, and none is named.
        UserError: the name is unknown, the source is damaged, or the disk is full.
    """
    table = entries()
    whole = name.removesuffix("-train").removesuffix("-test")
    entry = table.get(name) or table.get(whole)
    if entry is None:
        raise UserError(f"there is nothing called {name!r} to fetch; known: {', '.join(table)}")
    if entry.size is not None and source is None:
        say(f"fetching {entry.name} …", quiet=quiet)
    try:
        return entry.obtain(source, force=force, quiet=quiet)
    except DownloadFailed as error:
        # A set of several files fails by the address of one of them.
        if entry.name in str(error):
            raise
        raise DownloadFailed(f"{entry.name}: {error}") from error


def ensure_available(name: str, *, may_fetch: bool = True) -> None:
    """See that a data set or a file of weights is here, fetching it if that is allowed.

    Raises:
        UserError: it is not here and cannot be fetched.
    """
    try:
        availability.require(name)
    except MissingData:
        if not may_fetch:
            raise
        fetch(name)

"""AP and AR of COCO keypoints, by a fast engine that equals the referee.

The referee is pycocotools. hotcoco gives the same numbers in a small part of the time;
`tests/metrics/test_coco.py` holds the two to 1e-12 over made corner cases.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from replab.errors import UserError
from replab.metrics.coco_entries import many_objects
from replab.metrics.coco_files import (
    Detections,
    Truth,
    check_images,
    read_detections,
    read_truth,
)

# COCO's ten numbers, in the order of `summarize`.
METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
# The evaluator looks at so many detections of an image.
MOST = 20

Engine = Literal["hotcoco", "pycocotools"]
ENGINES: tuple[Engine, ...] = ("hotcoco", "pycocotools")


@dataclass(frozen=True)
class CocoScore:
    """COCO's ten numbers, fractions; −1 where there is no one to be found.

    Attributes:
        AP, AR: means over the OKS thresholds .50, .55, …, .95.
        AP50, AP75, AR50, AR75: at one threshold.
        APM, APL, ARM, ARL: of people with areas of 32²–96² px², and from 96² px² on.
        engine: name and version of the evaluator.
        people: how many annotated people count: no crowds, with keypoints.
        detections: how many were given, those left out not counted.
        dropped: how many of these the evaluator did not look at: an image's lowest beyond 20.
        areas: where areas of detections were taken from, `keypoints` or `boxes`.
        left_out: how many annotations or detections COCO's rules leave out, by the reason.
    """

    AP: float
    AP50: float
    AP75: float
    APM: float
    APL: float
    AR: float
    AR50: float
    AR75: float
    ARM: float
    ARL: float
    engine: str
    people: int
    detections: int
    dropped: int
    areas: Literal["keypoints", "boxes"] = "keypoints"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float]:
        """The ten numbers by their names."""
        return {name: getattr(self, name) for name in METRICS}


def evaluate(
    truth: Truth | Mapping[str, Any] | Path,
    detections: Detections | Sequence[Mapping[str, Any]] | Path,
    *,
    engine: str = "hotcoco",
) -> CocoScore:
    """COCO's ten numbers of detected poses; nothing that is given is changed.

    Args:
        truth: a file, its content as `json.load` gives it, or what `read_truth` made of it.
        detections: a result file, its content, or arrays.
        engine: `hotcoco`, or the referee `pycocotools`.

    Raises:
        UserError: truth or detections are faulty, as of `read_truth` and `read_detections`, or
            the engine is unknown.
    """
    people, found, left_out = prepare(truth, detections)
    evaluator = run(people, found, engine)
    numbers = (float(number) for number in evaluator.stats)
    return CocoScore(
        **dict(zip(METRICS, numbers, strict=True)),
        engine=f"{engine} {metadata.version(engine)}",
        people=sum(not a["iscrowd"] and a["num_keypoints"] != 0 for a in people.annotations),
        detections=len(found),
        dropped=len(found) - int(looked_at(found).sum()),
        areas="keypoints" if found.boxes is None else "boxes",
        left_out=left_out,
    )


def prepare(
    truth: Truth | Mapping[str, Any] | Path,
    detections: Detections | Sequence[Mapping[str, Any]] | Path,
) -> tuple[Truth, Detections, Mapping[str, int]]:
    """Truth and detections in one form, and how many COCO's rules leave out, by the reason.

    Raises:
        UserError: as of `evaluate`.
    """
    people = truth if isinstance(truth, Truth) else read_truth(truth)
    if isinstance(detections, Detections):
        check_images(detections, people)
        return people, detections, people.left_out
    found, left_out = read_detections(detections, people)
    return people, found, {**people.left_out, **left_out}


def looked_at(found: Detections) -> NDArray[np.bool_]:
    """Which detections the evaluator looks at, N: the 20 highest of each image and category."""
    order = np.lexsort((-found.scores, found.category_ids, found.image_ids))
    image, category = found.image_ids[order], found.category_ids[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(image) != 0) | (np.diff(category) != 0)
    place = np.arange(len(order))
    rank = place - np.maximum.accumulate(np.where(first, place, 0))
    looked = np.zeros(len(order), dtype=bool)
    looked[order] = rank < MOST
    return looked


def run(people: Truth, found: Detections, engine: str) -> Any:
    """An engine's `COCOeval` after all its steps: `stats`, `evalImgs` and `params` can be read.

    Raises:
        UserError: the engine is unknown.
    """
    if engine == "hotcoco":
        return _hotcoco(people, found)
    if engine == "pycocotools":
        return _pycocotools(people, found)
    raise UserError(f"there is no engine {engine!r} of COCO's metrics; choose {_or(ENGINES)}")


def _hotcoco(people: Truth, found: Detections) -> Any:
    import hotcoco

    with many_objects():
        # Those that no one looks at would only be carried along.
        entries = found.select(looked_at(found)).as_coco()
        truth = hotcoco.COCO(people.as_coco())
        evaluator = hotcoco.COCOeval(truth, truth.load_res(entries), "keypoints")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summary_lines()  # computes the numbers without printing them
    return evaluator


def _pycocotools(people: Truth, found: Detections) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with _quiet():
        truth = COCO()
        truth.dataset = people.as_coco()
        truth.createIndex()
        if len(found):
            results = truth.loadRes(found.as_coco())
        else:
            # loadRes looks at the first result, and would stop where there is none.
            results = COCO()
            results.dataset = {**people.as_coco(), "annotations": []}
            results.createIndex()
        evaluator = COCOeval(truth, results, "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the referee prints from the user: it prints with every step."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"

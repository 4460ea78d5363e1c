"""How sure AP is: images are drawn anew, and the cached matches are added up anew.

Matching does not depend on which other images are drawn, so it is done once. What is left is the
curve of precision over recall of each OKS threshold and area range, which only bends where a
detection is right; the sums behind it go over counts, so that each draw gives the very numbers of
the referee on images that are really repeated. Sources: Efron 1979 (bootstrap, percentiles);
pycocotools 2.0.11, cocoeval.py, `accumulate` and `summarize`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replab.keypoints.oks import EPSILON
from replab.metrics.coco import METRICS, prepare, run
from replab.metrics.coco_files import Detections, Truth

RECALLS = np.linspace(0.0, 1.0, 101)
THRESHOLDS = np.linspace(0.5, 0.95, 10)
# All, medium, large: the bounds in px², as the engines name them.
AREAS = ((0.0, 1e5**2), (32.0**2, 96.0**2), (96.0**2, 1e5**2))

Given = Detections | Sequence[Mapping[str, Any]] | Path
People = Truth | Mapping[str, Any] | Path


def bootstrap(
    truth: People,
    detections: Given,
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    engine: str = "hotcoco",
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of COCO's ten numbers over images drawn with replacement, fractions.

    Args:
        truth: as of `replab.metrics.coco.evaluate`.
        detections: as of `replab.metrics.coco.evaluate`.
        draws: how many sets of images, each of as many as there are.
        level: share of the draws in the interval.

    Returns:
        Lower and upper end by metric; −1 for both where no draw has anyone to be found. Draws
        that have no one are left out of that metric's interval.

    Raises:
        UserError: truth, detections or engine are faulty.
        ValueError: there are no images, no draws, or the level is not between 0 and 1.
    """
    matches = Matches.of(truth, detections, engine=engine)
    counts = drawn(len(matches.images), draws, seed)
    found = np.array([matches.score(weights) for weights in counts])
    return _intervals(found, found != -1, level)


def paired_bootstrap(
    truth: People,
    first: Given,
    second: Given,
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    engine: str = "hotcoco",
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the first's numbers less the second's, on the same drawn images.

    An interval that lies on one side of 0 says that the difference is more than chance of images;
    it says nothing of the chance of trainings.

    Args:
        truth: as of `bootstrap`.
        first: detections, as of `bootstrap`.
        second: detections on the same images.
        draws: how many sets of images.
        level: share of the draws in the interval.

    Returns:
        Lower and upper end by metric; −1 for both where no draw has anyone to be found.

    Raises:
        UserError: truth, detections or engine are faulty.
        ValueError: there are no images, no draws, or the level is not between 0 and 1.
    """
    people, one, _ = prepare(truth, first)
    _, other, _ = prepare(people, second)
    pair = [Matches.of(people, found, engine=engine) for found in (one, other)]
    counts = drawn(len(people.image_ids), draws, seed)
    scores = np.array([[matches.score(weights) for matches in pair] for weights in counts])
    # Whether there is anyone depends on the people alone, so both are −1 or neither.
    return _intervals(scores[:, 0] - scores[:, 1], scores[:, 0] != -1, level)


def drawn(images: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each of the images is drawn, draws × images; each row sums up to `images`.

    Raises:
        ValueError: there are no images or no draws.
    """
    if images < 1 or draws < 1:
        raise ValueError(f"nothing to draw: {images} images, {draws} draws")
    rng = np.random.default_rng(seed)
    return np.array(
        [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(draws)]
    )


def _intervals(
    found: NDArray[np.float64], defined: NDArray[np.bool_], level: float
) -> dict[str, tuple[float, float]]:
    if not 0 < level < 1:
        raise ValueError(f"level is a share between 0 and 1, and not {level}")
    ends = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name, column, there in zip(METRICS, found.T, defined.T, strict=True):
        low, high = np.quantile(column[there], ends) if there.any() else (-1.0, -1.0)
        intervals[name] = (float(low), float(high))
    return intervals


@dataclass(frozen=True)
class Matches:
    """Which detections found someone, by image: what every draw of images adds up.

    Attributes:
        images: I, ids, rising: `score` weighs them in this order.
        categories: the matches of each category that has detections or people.
    """

    images: NDArray[np.int64]
    categories: tuple["_Category", ...]

    @classmethod
    def of(cls, truth: People, detections: Given, *, engine: str = "hotcoco") -> "Matches":
        """Match once, by an engine.

        Raises:
            UserError: truth, detections or engine are faulty.
        """
        people, found, _ = prepare(truth, detections)
        images = {image: place for place, image in enumerate(people.image_ids.tolist())}
        # The engines list images and areas in different orders; each entry says what it is of.
        sorted_out: dict[int, list[dict[int, Any]]] = {}
        for entry in run(people, found, engine).evalImgs:
            if entry is not None:
                category = sorted_out.setdefault(int(entry["category_id"]), [{} for _ in AREAS])
                area = AREAS.index(tuple(entry["aRng"]))
                category[area][images[int(entry["image_id"])]] = entry
        parts = [_Category.of(by_area, len(images)) for _, by_area in sorted(sorted_out.items())]
        return cls(people.image_ids, tuple(parts))

    def score(self, weights: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """COCO's ten numbers in the order of `METRICS`, fractions; −1 where there is no one.

        Args:
            weights: I, how often each image is there; None is once. Copies of an image count as
                images whose ids follow one another: among equal scores they come in that order.
        """
        if weights is None:
            weights = np.ones(len(self.images), dtype=np.int64)
        shape = (len(THRESHOLDS), len(AREAS), len(self.categories))
        precision = np.full((*shape, len(RECALLS)), -1.0)
        recall = np.full(shape, -1.0)
        for place, category in enumerate(self.categories):
            category.curves(weights, precision[:, :, place], recall[:, :, place])
        numbers = []
        for values in (precision, recall):
            parts = (values[:, 0], values[0, 0], values[5, 0], values[:, 1], values[:, 2])
            numbers += [_mean(part) for part in parts]
        return np.array(numbers)


def _mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


@dataclass(frozen=True)
class _Curve:
    """One threshold and area range: its P right detections in the order of their scores.

    A run is a row of detections of one image with equal scores. Of an image drawn m times the
    whole run comes m times over, one after another.

    Attributes:
        image: P.
        start: P, where the run begins in the order of all detections.
        before: P, how many odd ones come before the run.
        place, size: P, of the counted detections of the run: how many up to this one, and all.
        odd_image: of the detections that count unlike the usual, in their order.
        odd_change: 1 where one counts nevertheless, −1 where it does not.
    """

    image: NDArray[np.int64]
    start: NDArray[np.int64]
    before: NDArray[np.int64]
    place: NDArray[np.int64]
    size: NDArray[np.int64]
    odd_image: NDArray[np.int64]
    odd_change: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        right: NDArray[np.bool_],
        counted: NDArray[np.bool_],
        usual: NDArray[np.bool_],
        image: NDArray[np.int64],
        start: NDArray[np.int64],
    ) -> "_Curve":
        at = np.flatnonzero(right)
        total = np.concatenate(([0], np.cumsum(counted)))
        ends = np.append(np.flatnonzero(np.diff(start, append=-1)) + 1, 0)
        end = ends[np.searchsorted(ends[:-1], at, side="right")]
        odd = np.flatnonzero(counted != usual)
        return cls(
            image[at],
            start[at],
            np.searchsorted(odd, start[at], side="left"),
            total[at + 1] - total[start[at]],
            total[end] - total[start[at]],
            image[odd],
            np.where(counted[odd], 1, -1),
        )

    def points(self, weights: NDArray[np.int64], usual: NDArray[np.int64]) -> NDArray[np.float64]:
        """How many detections count up to each right one, copies included, in their order.

        Args:
            usual: how many of the usual ones come before each place of the order.
        """
        times = weights[self.image]
        odd = np.concatenate(([0], np.cumsum(self.odd_change * weights[self.odd_image])))
        first = usual[self.start] + odd[self.before] + self.place
        ends = np.cumsum(times)
        copy = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - times, times)
        counts = np.repeat(first, times) + copy * np.repeat(self.size, times)
        # Only runs with several right ones are out of order yet: repeated one by one, they must
        # be repeated as a whole. Counts rise along the order.
        return np.sort(counts, kind="stable").astype(np.float64)


@dataclass(frozen=True)
class _Category:
    """The detections of a category, D, in the order of their scores.

    Attributes:
        image: D, index of the image.
        start: D, where the run of each begins: equal scores in one image.
        usual: per area range, D: whether a detection counts, at most thresholds.
        positives: areas × I, how many people are to be found.
        curve: by threshold and area range.
    """

    image: NDArray[np.int64]
    start: NDArray[np.int64]
    usual: tuple[NDArray[np.bool_], ...]
    positives: NDArray[np.int64]
    curve: tuple[tuple[_Curve, ...], ...]

    @classmethod
    def of(cls, by_area: Sequence[Mapping[int, Any]], images: int) -> "_Category":
        """From an engine's entries, by area range and index of the image."""
        there = sorted(by_area[0])
        chosen = [[entries[i] for i in there] for entries in by_area]
        sizes = [len(entry["dtScores"]) for entry in chosen[0]]
        image = np.repeat(np.array(there, dtype=np.int64), sizes)
        scores = np.array(list(chain.from_iterable(e["dtScores"] for e in chosen[0])), float)
        order = np.argsort(-scores, kind="stable")
        image, scores = image[order], scores[order]
        positives = np.zeros((len(by_area), images), dtype=np.int64)
        new = np.ones(len(order), dtype=bool)
        new[1:] = (np.diff(image) != 0) | (np.diff(scores) != 0)
        start = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
        usual, curves = [], []
        for area, entries in enumerate(chosen):
            positives[area, there] = [len(e["gtIgnore"]) - sum(e["gtIgnore"]) for e in entries]
            matched = _table(entries, "dtMatches", sizes)[:, order] != 0
            ignored = _table(entries, "dtIgnore", sizes)[:, order] != 0
            # Of most detections all thresholds think alike: that of the highest is the usual.
            often = ~ignored[-1]
            usual.append(often)
            curves.append(
                tuple(
                    _Curve.of(right & counted, counted, often, image, start)
                    for right, counted in zip(matched, ~ignored, strict=True)
                )
            )
        by_threshold = tuple(zip(*curves, strict=True))
        return cls(image, start, tuple(usual), positives, by_threshold)

    def curves(
        self,
        weights: NDArray[np.int64],
        precision: NDArray[np.float64],
        recall: NDArray[np.float64],
    ) -> None:
        """Write precision (thresholds × areas × recalls) and recall where anyone is sought."""
        wanted = self.positives @ weights
        times = weights[self.image]
        for area in np.flatnonzero(wanted):
            usual = np.concatenate(([0], np.cumsum(times * self.usual[area])))
            for threshold, row in enumerate(self.curve):
                counts = row[area].points(weights, usual)
                hits = np.arange(1, len(counts) + 1)
                sharp = hits / (counts + EPSILON)
                best = np.maximum.accumulate(sharp[::-1])[::-1]
                reached = hits / wanted[area]
                at = np.searchsorted(reached, RECALLS, side="left")
                precision[threshold, area] = np.append(best, 0.0)[at]
                recall[threshold, area] = reached[-1] if len(counts) else 0.0


def _table(entries: Sequence[Any], name: str, sizes: Sequence[int]) -> NDArray[Any]:
    """Thresholds × detections of all images, whether an engine gives arrays or lists."""
    if entries and isinstance(entries[0][name], np.ndarray):
        return np.concatenate([entry[name] for entry in entries], axis=1)
    rows = chain.from_iterable(zip(*(entry[name] for entry in entries), strict=True))
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
    return flat.reshape(len(THRESHOLDS), sum(sizes))

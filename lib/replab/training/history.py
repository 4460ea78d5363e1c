"""What a training has seen so far, and the decisions that rest on it alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from replab.errors import CheckFailed


class Diverged(CheckFailed):
    """The training loss is no longer a finite number."""


@dataclass
class History:
    """Training loss and error of every iteration, and the evaluations on the way.

    Attributes:
        loss: of each batch; of a classifier mean cross-entropy, in nats.
        error: share of each batch's answers that were wrong, 0–1.
        tests: (iterations done, what `evaluate` said then) of each evaluation.
    """

    loss: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    tests: list[tuple[int, float]] = field(default_factory=list)

    def tail(self, share: float) -> tuple[float, float]:
        """Mean loss (nats) and error (0–1) over the last `share` of the iterations."""
        count = max(1, round(len(self.loss) * share))
        return mean(self.loss[-count:]), mean(self.error[-count:])

    def smoothed(self, points: int) -> tuple[list[float], list[float], list[float]]:
        """Iterations (middle of each stretch), mean losses and mean errors of equal stretches."""
        length = max(1, len(self.loss) // points)
        starts = range(0, len(self.loss) - length + 1, length)
        middle = [start + (length - 1) / 2 for start in starts]
        loss = [mean(self.loss[s : s + length]) for s in starts]
        error = [mean(self.error[s : s + length]) for s in starts]
        return middle, loss, error

    def report(
        self, *, tail: float, points: int, looks: str = "test_error"
    ) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
        """Metrics and curves of the training for its record: losses, errors in percent.

        Args:
            tail: share of the iterations, the last ones, that the metrics are means of.
            points: about as many as the training curves have.
            looks: name of the series of evaluations on the way.

        Returns:
            `train_loss` and `train_error`, and the series of the same names; also that of the
            evaluations where there were any.
        """
        loss, error = self.tail(tail)
        where, losses, errors = self.smoothed(points)
        series: dict[str, dict[str, list[float]]] = {
            "train_loss": {"x": where, "y": [_rounded(v) for v in losses]},
            "train_error": {"x": where, "y": [round(100 * v, 4) for v in errors]},
        }
        if self.tests:
            done, found = zip(*self.tests, strict=True)
            series[looks] = {"x": list(done), "y": [round(v, 4) for v in found]}
        return {"train_loss": loss, "train_error": 100 * error}, series


def _rounded(loss: float) -> float:
    """Five decimals, or four digits where the loss is small, as that of heatmaps is."""
    return round(loss, max(5, 3 - math.floor(math.log10(abs(loss)))) if loss else 5)


def mean(values: Sequence[float]) -> float:
    """Mean of some numbers, summed without loss."""
    return math.fsum(values) / len(values)


class WarmUp:
    """A small learning rate until the training error has fallen under 80 % (§4.2).

    Read off the history, at every 50th iteration, so that a resumed training decides as an
    undisturbed one, and one whose losses are read off the device in lots as one that waits for
    each.

    Args:
        small: the rate to begin with; None for no warm-up.
    """

    BELOW = 0.8
    # Batches whose mean error is looked at: single batches of 128 scatter by 4 %.
    WINDOW = 50

    def __init__(self, small: float | None, history: History) -> None:
        self._small = small
        self._history = history
        self._over = small is None
        self._next = self.WINDOW

    def rate(self, usual: float) -> float:
        """The rate of the coming iteration, given the one without warm-up."""
        errors = self._history.error
        # Each stretch of the history is looked at once, those before a resumption included.
        while not self._over and self._next <= len(errors):
            self._over = mean(errors[self._next - self.WINDOW : self._next]) < self.BELOW
            self._next += self.WINDOW
        return usual if self._over or self._small is None else self._small


class Plateau:
    """A rate that is divided by ten where the training error stops falling (§3.4).

    The paper does not say which error it watched, nor for how long. This watches the training
    error, so that nothing is chosen on images that a net is scored on: the mean error of stretches
    of `window` iterations; a drop comes when `patience` stretches in a row did not get below the
    best one since the last drop by at least `least`, and at most `drops` times.

    Args:
        window: iterations, a multiple of 50.
        least: share of images, 0–1.
    """

    def __init__(
        self,
        rate: float,
        history: History,
        *,
        window: int,
        patience: int,
        least: float,
        drops: int,
    ) -> None:
        if window < 1 or window % WarmUp.WINDOW:
            raise ValueError(f"plateau_window={window} is no multiple of {WarmUp.WINDOW}")
        self._rate = rate
        self._history = history
        self._window, self._patience, self._least = window, patience, least
        self._left = drops
        self._next = window
        self._best = math.inf
        self._waited = 0

    def rate(self) -> float:
        """The rate of the coming iteration."""
        errors = self._history.error
        while self._left and self._next <= len(errors):
            error = mean(errors[self._next - self._window : self._next])
            self._next += self._window
            if error <= self._best - self._least:
                self._best, self._waited = error, 0
                continue
            self._waited += 1
            if self._waited == self._patience:
                self._rate /= 10
                self._left -= 1
                self._best, self._waited = math.inf, 0
        return self._rate

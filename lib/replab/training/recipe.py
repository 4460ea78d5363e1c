"""What every training is told: iterations, batches, optimizer, schedule."""

from dataclasses import dataclass
from typing import Literal

from replab.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Recipe):
    """The fields that `loop.train` takes; experiments add their own.

    Attributes:
        iterations: optimizer steps.
        batch_size: images of a step.
        optimiser: `sgd` (also if None: momentum and weight decay on every parameter, He et al.
            2016, section 4.2) or `adam` (without weight decay, which reaches Adam in neither pose
            paper's released code).
        lr: learning rate that the schedule starts from.
        momentum: of `sgd`, 0–1.
        weight_decay: of `sgd`; factor of the weights that is added to their gradients.
        rates: `cpm` for groups of parameters with rates of their own (see `learning_rates`); None
            if all learn alike.
        schedule: `steps` (divided by ten at each of `drops`), `cosine` (down to 0), or `plateau`
            (divided by ten where the training error stops falling; see `history.Plateau`).
        drops: iterations from which the rate is divided by ten, counting from 0.
        plateau_window: iterations, a multiple of 50.
        plateau_patience: stretches without progress before a drop.
        plateau_least: progress that counts, share of images (0–1).
        plateau_drops: at most so many.
        warm_up_iterations: over which the rate rises linearly.
        warm_up_rate: used until the training error falls under 80 % (He et al. 2016, section 4.2,
            for 110 layers); None for no such start.
        evaluate_every: iterations between evaluations on the way; None for none.
        phase: which part of a training in phases this is, counting from 1.
    """

    iterations: int
    batch_size: int
    lr: float
    schedule: Literal["steps", "cosine", "plateau"]
    optimiser: Literal["sgd", "adam"] | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    rates: Literal["cpm"] | None = None
    drops: tuple[int, ...] | None = None
    plateau_window: int | None = None
    plateau_patience: int | None = None
    plateau_least: float | None = None
    plateau_drops: int | None = None
    warm_up_iterations: int | None = None
    evaluate_every: int | None = None
    warm_up_rate: float | None = None
    phase: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = {
            "steps": ("drops",),
            "plateau": ("plateau_window", "plateau_patience", "plateau_least", "plateau_drops"),
        }.get(self.schedule, ())
        if self.optimiser != "adam":
            needed = (*needed, "momentum", "weight_decay")
        for name in needed:
            if getattr(self, name) is None:
                kind = self.schedule if name in ("drops",) or "plateau" in name else "sgd"
                raise ValueError(f"{type(self).__name__} with {kind!r} needs {name}")


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(TrainingRecipe):
    """A training on a small set of images that lies on the device.

    Attributes:
        augment: pad by 4 px, crop at random, mirror half of the images (He et al. 2016, section
            4.2).
    """

    augment: bool

"""How a run computes: one object from the command line to the training step."""

from dataclasses import dataclass

from replab.errors import UserError
from replab.hardware import device_class
from replab.recipe import nearest

PRECISIONS = ("fp32", "bf16")
ENGINES = ("auto", "eager", "compiled")
# The executor that is this machine.
LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run computes.

    Of these only the device's class and the precision are part of a run's identity; the others
    move the last bits, no more.

    Attributes:
        device: `cpu`, `cuda`, `mps` or one GPU such as `cuda:1`; `auto` until `resolve_device` has
            looked for a GPU.
        threads: torch threads of a process.
        precision: `fp32` or `bf16`; that of the run's spec, once a run begins.
        engine: of trainings: `eager`, `compiled`, or `auto`, the faster one (`training.engines`).
        ranks: processes that share each training's batches.
        keep_weights: keep the trained network's weights, whatever the plan says.

    Raises:
        UserError: a value is none of these; the message names it and the nearest that there is.
    """

    device: str = "cpu"
    threads: int = 1
    precision: str = "fp32"
    engine: str = "eager"
    ranks: int = 1
    keep_weights: bool = False

    def __post_init__(self) -> None:
        if self.device != "auto":
            device_class(self.device)
        for name, known in (("precision", PRECISIONS), ("engine", ENGINES)):
            value = getattr(self, name)
            if value not in known:
                raise UserError(
                    f"no {name} {value!r}{nearest(str(value), known)}; "
                    f"there are: {', '.join(known)}"
                )
        for name in ("threads", "ranks"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"--{name} {value}: give 1 or more")
        if self.ranks > 1 and self.engine == "compiled":
            raise UserError(
                f"--ranks {self.ranks} trains networks eagerly; leave --engine compiled out"
            )

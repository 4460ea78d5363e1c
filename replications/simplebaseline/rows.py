"""The rows of Table 1: the base (a), and what each of the others changes of it."""

from dataclasses import dataclass
from types import MappingProxyType

from replab.runs.experiment import Variant


@dataclass(frozen=True)
class Row:
    """One network of Table 1.

    Attributes:
        depth: layers of the ResNet.
        size: of its input in px, height first.
        deconv_layers: how many transposed convolutions.
        deconv_kernel: their side in px.
    """

    depth: int = 50
    size: str = "256x192"
    deconv_layers: int = 3
    deconv_kernel: int = 4

    @property
    def model(self) -> str:
        """Name for `replab.models.create`."""
        return f"pose_resnet{self.depth}"

    @property
    def counted(self) -> Variant:
        """The variant of `counts` that is this network."""
        return {
            "model": self.model,
            "input": self.size,
            "deconv_layers": self.deconv_layers,
            "deconv_kernel": self.deconv_kernel,
        }


ROWS = MappingProxyType(
    {
        "a": Row(),
        "b": Row(deconv_layers=2),
        "c": Row(deconv_kernel=2),
        "d": Row(deconv_kernel=3),
        "e": Row(depth=101),
        "f": Row(depth=152),
        "g": Row(size="128x96"),
        "h": Row(size="384x288"),
    }
)

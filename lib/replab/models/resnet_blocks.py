"""What residual and plain networks of He et al. (CVPR 2016) are made of: shortcuts and blocks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.errors import UserError

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
NORMS = ("batch", "none")


@dataclass(frozen=True)
class LayerForm:
    """What follows a convolution: a normalisation or none, and which activation.

    Attributes:
        norm: "batch" as in the paper, or "none"; convolutions then have the bias (zero at the
            start) that batch normalisation has otherwise.
        activation: "relu" as in the paper, "sigmoid" or "tanh".
    """

    norm: str = "batch"
    activation: str = "relu"

    def conv(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """A convolution that keeps the image's size but for its stride."""
        bias = self.norm == "none"
        padding = kernel // 2
        return nn.Conv2d(channels_in, channels_out, kernel, stride, padding=padding, bias=bias)

    def after(self, channels: int) -> nn.Module:
        """The normalisation of a convolution's output, N×channels×H×W.

        Without one it is `nn.Identity`, as after folding, so that hooks see the layer's response.
        """
        return nn.BatchNorm2d(channels) if self.norm == "batch" else nn.Identity()


PAPER_FORM = LayerForm()


class ZeroPadShortcut(nn.Module):
    """Option-A shortcut: every `stride`-th pixel, new channels filled with zeros.

    N×C×H×W to N×(C + added)×ceil(H / stride)×ceil(W / stride); half of the zero channels come
    before the old ones and half after. Source: He et al. 2016 section 3.3 (A);
    akamaster/pytorch_resnet_cifar10@d5489e8 for the two sides.
    """

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.before, self.after, self.stride = added // 2, added - added // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        """Shrink and pad `x`."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"zeros={self.before}+{self.after}, stride={self.stride}"


def _shortcut(
    option: str, channels_in: int, channels_out: int, stride: int, form: LayerForm
) -> nn.Module:
    changes = stride != 1 or channels_in != channels_out
    if option == "C" or (option == "B" and changes):
        return nn.Sequential(
            form.conv(channels_in, channels_out, 1, stride), form.after(channels_out)
        )
    return ZeroPadShortcut(channels_out - channels_in, stride) if changes else nn.Identity()


class _Block(nn.Module):
    """What both blocks share: a shortcut under the name that the released weights give it.

    Activations are out of place: a forward hook on a batch normalisation may keep the response it
    sees.
    """

    def __init__(self, shortcut_name: str, form: LayerForm) -> None:
        super().__init__()
        self.shortcut_name = shortcut_name
        self.activation = ACTIVATIONS[form.activation]

    def _finish(self, response: Tensor, x: Tensor) -> Tensor:
        shortcut = getattr(self, self.shortcut_name)
        return self.activation(response if shortcut is None else response + shortcut(x))


class BasicBlock(_Block):
    """Two 3×3 convolutions with batch normalisation, then the addition (none in a plain net).

    N×channels_in×H×W to N×channels×ceil(H / stride)×ceil(W / stride). Source: He et al. 2016
    Figs. 2 and 5 left; `form` departs from it.
    """

    expansion = 1

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        option: str | None,
        shortcut_name: str,
        form: LayerForm = PAPER_FORM,
    ) -> None:
        super().__init__(shortcut_name, form)
        self.conv1 = form.conv(channels_in, channels, 3, stride)
        self.bn1 = form.after(channels)
        self.conv2 = form.conv(channels, channels, 3)
        self.bn2 = form.after(channels)
        shortcut = (
            None if option is None else _shortcut(option, channels_in, channels, stride, form)
        )
        self.register_module(shortcut_name, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        response = self.activation(self.bn1(self.conv1(x)))
        return self._finish(self.bn2(self.conv2(response)), x)


class Bottleneck(_Block):
    """1×1, 3×3 and 1×1 convolutions, four times as many channels out as inside.

    N×channels_in×H×W to N×(4 channels)×ceil(H / stride)×ceil(W / stride). Source: He et al. 2016
    Fig. 5 right; the stride sits on the first 1×1 there and on the 3×3 in torchvision.
    """

    expansion = 4

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        option: str | None,
        shortcut_name: str,
        stride_on: str,
    ) -> None:
        form = PAPER_FORM
        super().__init__(shortcut_name, form)
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = form.conv(channels_in, channels, 1, first)
        self.bn1 = form.after(channels)
        self.conv2 = form.conv(channels, channels, 3, second)
        self.bn2 = form.after(channels)
        self.conv3 = form.conv(channels, 4 * channels, 1)
        self.bn3 = form.after(4 * channels)
        shortcut = (
            None if option is None else _shortcut(option, channels_in, 4 * channels, stride, form)
        )
        self.register_module(shortcut_name, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        response = self.activation(self.bn1(self.conv1(x)))
        response = self.activation(self.bn2(self.conv2(response)))
        return self._finish(self.bn3(self.conv3(response)), x)


def check_choice(net: str, option: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that an option does not know.

    Raises:
        UserError: `value` is none of `choices`.
    """
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise UserError(f"{net}: {option}={value!r} does not exist; choose one of {known}")


def check_count(net: str, option: str, value: object) -> None:
    """Refuse a number of classes or channels that is no positive integer.

    Raises:
        UserError: `value` is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{net}: {option}={value!r} is no positive integer; give 1 or more")

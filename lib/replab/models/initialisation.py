"""How a fresh network's parameters are drawn."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

# The one standard deviation that Krizhevsky et al. (NIPS 2012, section 5) gave to every layer.
SMALL = 0.01


@torch.no_grad()
def _draw(model: nn.Module, deviation: Callable[[Tensor], float]) -> None:
    """Draw every convolution and linear layer from a centred normal distribution, biases zero."""
    for module in model.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear) or module.weight.is_meta:
            continue
        module.weight.normal_(0.0, deviation(module.weight))
        if module.bias is not None:
            module.bias.zero_()


def _fans(weight: Tensor) -> tuple[int, int]:
    """Inputs of one output and outputs of one input, of a weight out×in(×height×width)."""
    return weight[0].numel(), weight[:, 0].numel()


def he_normal(model: nn.Module) -> None:
    """Draw every convolution and linear layer from N(0, 2 / fan-in), biases zero.

    Batch normalisation keeps its own start (weight 1, bias 0). The draws come from torch's global
    generator in the order of `model.modules()`, so nets with the same layers get the same values
    under one seed. Nothing is drawn on the meta device. Source: He et al. 2015 (arXiv:1502.01852)
    section 2.2, used by He et al. CVPR 2016 sections 3.4 and 4.2.
    """
    _draw(model, lambda weight: math.sqrt(2.0 / _fans(weight)[0]))


def xavier_normal(model: nn.Module) -> None:
    """Draw as `he_normal` does, but from N(0, 2 / (fan-in + fan-out)).

    The variance is that of Glorot and Bengio, AISTATS 2010, equation 12; they draw uniformly. The
    normal distribution is that of He et al. 2015 (arXiv:1502.01852) section 2.2, who compare the
    two: under one seed, the initialisations of this module differ in scale alone.
    """
    _draw(model, lambda weight: math.sqrt(2.0 / sum(_fans(weight))))


def small_normal(model: nn.Module) -> None:
    """Draw as `he_normal` does, but from N(0, 0.01²), whatever the layer's size.

    Source: Krizhevsky et al., NIPS 2012, section 5 (biases are zero here); He et al. 2015
    (arXiv:1502.01852) section 2.2 show that deep nets do not converge from it.
    """
    _draw(model, lambda weight: SMALL)


INITIALISATIONS: Mapping[str, Callable[[nn.Module], None]] = {
    "he": he_normal,
    "xavier": xavier_normal,
    "constant": small_normal,
}

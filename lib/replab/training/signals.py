"""How signals travel through a network: responses forward, gradients backward, layer by layer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from replab.metrics.responses import watched
from replab.models.precision import autocast
from replab.models.resnet import conv_layers, response_layers

# The smallest positive number of single precision, 2^-149: what is smaller has become zero.
LOG_FLOOR = math.log10(2.0**-149)


@dataclass(frozen=True)
class Signals:
    """What one batch sends through a network, a number for each 3×3 layer in network order.

    Attributes:
        loss: mean cross-entropy of the batch in nats.
        response: standard deviation of the layer's response, after its batch normalisation and
            before activation and addition.
        gradient: root mean square, over the layer's weights, of the loss's derivative by a weight.
            The plain L2 norm of a layer grows with the number of its weights (432 in the first
            layer of a CIFAR net, 36,864 in the last) and so compares sizes of layers; this is what
            a typical weight sees.
        weight: root mean square of the layer's weights. Where batch normalisation follows, the
            scale of the weights does not matter, so that a gradient is large or small beside them.
    """

    loss: float
    response: list[float]
    gradient: list[float]
    weight: list[float]

    @property
    def finite(self) -> bool:
        """Whether every number is finite: none has overflowed."""
        return all(map(math.isfinite, (self.loss, *self.response, *self.gradient, *self.weight)))


def measure(
    model: nn.Module, images: Tensor, labels: Tensor, *, precision: str = "fp32"
) -> Signals:
    """Send one batch forward and back in training mode, and leave the network as it was.

    Batch normalisation takes the batch's own statistics, as it does in training; its running ones,
    the network's mode and whatever gradients its parameters hold are the same after as before.
    Source: He et al. 2016 section 4.1, "backward propagated gradients", and section 4.2, Fig. 7.

    Args:
        images: B×C×H×W, on the device of the network.
        labels: B, 0…K−1.
        precision: `fp32` or `bf16`, the format of the forward pass.

    Raises:
        TypeError: `model` is no residual or plain net of `replab.models.resnet`.
        ValueError: the precision is unknown.
    """
    layers = [layer for _, layer in response_layers(model)]
    weights = [layer.weight for _, layer in conv_layers(model)]
    training, buffers = model.training, [buffer.clone() for buffer in model.buffers()]
    model.train()
    try:
        with watched(layers) as spreads, autocast(str(images.device), precision):
            logits = model(images)
        loss = functional.cross_entropy(logits.float(), labels)
        # Not backward(): that would write into the parameters' own gradients.
        gradients = torch.autograd.grad(loss, weights)
    finally:
        model.train(training)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
    return Signals(
        loss=loss.item(),
        response=[spread.value() for spread in spreads],
        gradient=[_root_mean_square(gradient) for gradient in gradients],
        weight=[_root_mean_square(weight.detach()) for weight in weights],
    )


def _root_mean_square(values: Tensor) -> float:
    # In double precision: the square of a small single underflows. Not every device has doubles.
    return float(values.cpu().double().square().mean().sqrt())


def log10(value: float) -> float:
    """Decimal logarithm of a size, no smaller than `LOG_FLOOR`.

    Zero, which is what single precision makes of anything below 1.4e-45, has no logarithm; it is
    put at that floor.

    Raises:
        ValueError: the size is negative or not finite.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{value} is no finite size")
    return max(math.log10(value), LOG_FLOOR) if value > 0 else LOG_FLOOR

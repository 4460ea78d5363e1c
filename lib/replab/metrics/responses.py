"""Layer responses: how large the output of every layer of a network is over a set of images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from replab.models.precision import autocast
from replab.models.resnet import response_layers


class Spread:
    """Standard deviation of a stream of tensors, exact over all their elements.

    Mean and sum of squared deviations of each tensor are joined with those before (Chan, Golub and
    LeVeque 1979), in double precision, so nothing cancels as it does in E[x²] − E[x]².
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """Take in every element of `values`, of any shape; the numbers stay on its device."""
        # Apple GPUs have no doubles.
        values = values.detach().to("cpu" if values.device.type == "mps" else values.device)
        values = values.double()
        count, mean = values.numel(), values.mean()
        squares = (values - mean).square().sum()
        total = self._count + count
        apart = mean - self._mean
        self._mean = self._mean + apart * (count / total)
        self._squares = self._squares + squares + apart.square() * (self._count * count / total)
        self._count = total

    def value(self) -> float:
        """Standard deviation of all elements so far; NaN or infinite if one of them was.

        Raises:
            ValueError: there are none.
        """
        if not self._count:
            raise ValueError("the standard deviation of nothing is not defined")
        return float(torch.as_tensor(self._squares / self._count).sqrt())


@contextmanager
def watched(layers: list[nn.Module]) -> Iterator[list[Spread]]:
    """The spread of each module's outputs, gathered while the context is open."""
    spreads = [Spread() for _ in layers]
    hooks = [
        layer.register_forward_hook(
            lambda _layer, _inputs, output, spread=spread: spread.add(output)
        )
        for layer, spread in zip(layers, spreads, strict=True)
    ]
    try:
        yield spreads
    finally:
        for hook in hooks:
            hook.remove()


def response_std(
    model: nn.Module, images: Tensor, *, batch_size: int, precision: str = "fp32"
) -> list[float]:
    """Standard deviation of the response of every 3×3 layer, in network order.

    The response is the layer's output after its batch normalisation (the convolution's own output
    in a net without) and before the activation and the addition, N×K×H×W; the deviation is taken
    over all elements of all images, in evaluation mode. The network's mode is put back after.
    Source: He et al. 2016 section 4.2, Fig. 7.

    Args:
        images: N×C×H×W, on the device of the network.
        precision: `fp32` or `bf16`, the format of the forward pass; the sums are doubles.

    Raises:
        TypeError: `model` is no residual or plain net of `replab.models.resnet`.
        ValueError: there are no images, or the precision is unknown.
    """
    if not len(images):
        raise ValueError("the responses to no images are not defined")
    layers = [layer for _, layer in response_layers(model)]
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), watched(layers) as spreads:
            for start in range(0, len(images), batch_size):
                with autocast(str(images.device), precision):
                    model(images[start : start + batch_size])
            return [spread.value() for spread in spreads]
    finally:
        model.train(training)

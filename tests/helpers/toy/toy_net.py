"""A toy model: one linear layer on images as CIFAR-10's. The tests copy it into replab.models."""

from torch import Tensor, nn

from replab.models.registry import Model, register


class ToyNet(nn.Module):
    """Logits N×num_classes from images N×3×32×32."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 32 * 32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


def toy_net(*, num_classes: int = 10) -> ToyNet:
    return ToyNet(num_classes)


register(Model(name="toy_net", build=toy_net, output="classes", input_shape=(3, 32, 32)))

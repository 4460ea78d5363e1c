"""VGG-16 and VGG-19, the comparison of He et al. section 4.1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replab.models.initialisation import he_normal
from replab.models.registry import Form, Model, register
from replab.models.resnet_blocks import check_count

CONVOLUTIONS: dict[int, tuple[int, int, int, int, int]] = {
    16: (2, 2, 3, 3, 3),  # configuration D
    19: (2, 2, 4, 4, 4),  # configuration E
}


class VGG(nn.Module):
    """Logits N×num_classes from images N×in_channels×H×W, made for 224×224 (at least 32×32).

    Source: Simonyan and Zisserman, ICLR 2015, Table 1, configurations D and E (convolutions with
    bias, no batch normalisation); names of torchvision.models.vgg.
    """

    def __init__(
        self, convolutions: tuple[int, int, int, int, int], num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        features: list[nn.Module] = []
        width = in_channels
        for count, channels in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
            for _ in range(count):
                features += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
                width = channels
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of `x`."""
        # At 224×224 the map is 7×7 already; other sizes are averaged to it, as torchvision does.
        x = F.adaptive_avg_pool2d(self.features(x), 7)
        return self.classifier(torch.flatten(x, 1))


def vgg(depth: int, *, num_classes: int = 1000, in_channels: int = 3) -> VGG:
    """VGG of 16 or 19 layers.

    Raises:
        UserError: an option has a value that does not exist.
    """
    check_count(f"vgg{depth}", "num_classes", num_classes)
    check_count(f"vgg{depth}", "in_channels", in_channels)
    return VGG(CONVOLUTIONS[depth], num_classes, in_channels)


# GFLOPs in print: He et al. 2016, section 4.1.
register(
    Model(
        name="vgg",
        build=vgg,
        input_shape=(3, 224, 224),
        numbers=(16, 19),
        forms=(Form(name="vgg16", gflops_paper=15.3), Form(name="vgg19", gflops_paper=19.6)),
    )
)

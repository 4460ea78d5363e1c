"""People found by a detector of torchvision whose weights the user brings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replab.datasets.coco_detections import source_name
from replab.errors import UserError
from replab.files import sha256_file
from replab.models.loading import Checkpoint, read_checkpoint
from replab.photos.boxes import Boxes
from replab.photos.listing import Entry

# Of torchvision.models.detection. Where two have the same tensors, the first is taken for a file
# that does not say which it is.
NAMES = (
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"),
    *("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"),
    *("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn"),
    *("retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2", "fcos_resnet50_fpn"),
    *("ssd300_vgg16", "ssdlite320_mobilenet_v3_large"),
)
RCNN = ("faster", "mask", "keypoint")
# Of COCO's classes as of a detector trained to find people only; 0 is the background.
PERSON = 1
LEAST_SCORE = 0.5
# Of COCO, with those that it never labels and the background.
CLASSES = 91
# Pictures at once: on a CPU more of them take memory and save no time.
BATCH = {"cpu": 1, "cuda": 8}
# By the beginning of a network's name, the tensor that tells the number of classes, and by how
# many anchors its rows are repeated.
CLASS_ROWS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        **{f"{kind}rcnn": (".box_predictor.cls_score.weight", 1) for kind in RCNN},
        "retinanet": ("classification_head.cls_logits.weight", 9),
        "fcos": ("classification_head.cls_logits.weight", 1),
        "ssd300": ("classification_head.module_list.0.weight", 4),
        "ssdlite": ("classification_head.module_list.0.1.weight", 6),
    }
)
COUNTED = "num_batches_tracked"


class Detector:
    """A detection network that gives the boxes of people.

    Attributes:
        name: of the network, as of `NAMES`.
        source: its name, the file's and 16 digits of the file's SHA-256.
        notes: what the user should know about how it was recognised.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        least: float = LEAST_SCORE,
        device: str = "cpu",
    ) -> None:
        """Load a file of weights strictly; nothing is downloaded.

        Args:
            path: a state dict of one of the networks, of any number of classes, people being 1.
            name: which network, as of `NAMES`; None to tell by its tensors.
            least: score from which on a box is taken.
            device: a torch device.

        Raises:
            UserError: the file is no weights of such a network, or does not fit strictly.
        """
        if name is not None and name not in NAMES:
            raise UserError(f"there is no detector {name!r}; choose one of {', '.join(NAMES)}")
        state = _restored(read_checkpoint(path))
        alike = [name] if name is not None else _matching(state)
        if not alike:
            raise UserError(
                f"{path} is of none of torchvision's detectors ({', '.join(NAMES)}); give the "
                "state_dict of one, or name it by --detector"
            )
        self.name = alike[0]
        self.notes: tuple[str, ...] = ()
        if len(alike) > 1:
            others = " or ".join(alike[1:])
            self.notes = (f"{path.name} is taken for {self.name}; say --detector {others} if not",)
        classes = _classes(state, self.name) or CLASSES
        try:
            # Without memory first: the wrong network should not be drawn for nothing.
            with torch.device("meta"):
                _build(self.name, classes).load_state_dict(dict(state), strict=True, assign=True)
            net = _build(self.name, classes)
            net.load_state_dict(state, strict=True)
        except RuntimeError as error:
            first = " ".join(str(error).split("\n", 2)[-1].split())
            raise UserError(
                f"{path} does not fit {self.name} ({first[:160]}); name its network by --detector"
            ) from error
        self._net = net.eval().requires_grad_(False).to(device)
        self._device, self._least = device, least
        self.source = f"{self.name} ({source_name(path, sha256_file(path))})"

    @torch.inference_mode()
    def find(self, entries: Sequence[Entry], pictures: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """Boxes of people, the surest first; pictures are H×W×3, RGB, of any size."""
        found: list[Boxes] = []
        step = BATCH.get(self._device.split(":")[0], BATCH["cuda"])
        for begin in range(0, len(pictures), step):
            images = [
                torch.from_numpy(picture).to(self._device).permute(2, 0, 1).float() / 255
                for picture in pictures[begin : begin + step]
            ]
            found += [self._people(answer) for answer in self._net(images)]
        return found

    def _people(self, answer: Mapping[str, Tensor]) -> Boxes:
        """Of a picture: corners x, y, x, y become x, y, width, height."""
        corners, scores = answer["boxes"].double(), answer["scores"].double()
        extent = corners[:, 2:] - corners[:, :2]
        kept = (answer["labels"] == PERSON) & (scores >= self._least) & (extent > 0).all(dim=1)
        boxes = torch.cat((corners[:, :2], extent), dim=1)[kept]
        return Boxes(boxes.cpu().numpy(), scores[kept].cpu().numpy())


def _build(name: str, classes: int) -> nn.Module:
    from torchvision.models import detection

    make: Any = getattr(detection, name)
    # Neither argument may be left out: their defaults would fetch a backbone.
    built = make(weights=None, weights_backbone=None, num_classes=classes)
    assert isinstance(built, nn.Module)
    return built


def _restored(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Names as torchvision's: `read_checkpoint` takes `backbone.` and `head.` for mmpose's."""
    if checkpoint.layout != "mmpose":
        return checkpoint.state_dict
    heads = ("classification_head.", "regression_head.")
    return {
        f"{'head' if name.startswith(heads) else 'backbone'}.{name}": tensor
        for name, tensor in checkpoint.state_dict.items()
    }


def _matching(state: Mapping[str, Tensor]) -> list[str]:
    """The networks whose tensors have these shapes; the files of older versions name some else."""
    given = _shapes(state)
    counted = {name: _classes(state, name) for name in NAMES}
    return [n for n, count in counted.items() if count and _shapes_of(n, count) == given]


@cache
def _shapes_of(name: str, classes: int) -> Counter[tuple[int, ...]]:
    with torch.device("meta"):
        return _shapes(_build(name, classes).state_dict())


def _shapes(state: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(t.shape) for name, t in state.items() if not name.endswith(COUNTED))


def _classes(state: Mapping[str, Tensor], name: str) -> int | None:
    """How many classes, the background among them, the tensors tell if they are of that network.

    None if they cannot be. Anchors repeat a row: 9 of RetinaNet, 1 of FCOS, 4 and 6 of the first
    map of SSD and SSDlite.
    """
    ending, anchors = next(row for start, row in CLASS_ROWS.items() if name.startswith(start))
    rows = next((len(t) for key, t in state.items() if key.endswith(ending)), 0)
    return rows // anchors if rows % anchors == 0 and rows // anchors > PERSON else None

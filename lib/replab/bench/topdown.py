"""From pictures to joints by the papers' networks, and reading pictures, beside the usual way."""

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from replab.bench.comparing import Benchmark, Step

NETS, SIZE = ("pose_hrnet_w32", "pose_resnet50"), (192, 256)
PICTURES, PEOPLE_EACH = 12, 2
# People of a picture of val2017 that has people with keypoints: 6,352 of 2,346.
CROWD = 3
# Px of the picture by which half of the joints may move under another precision.
MEDIAN_PX = 0.05


def benchmarks() -> list[Benchmark]:
    """HRNet-W32 and pose-ResNet-50 at 256×192 with the mirror image, and loading people."""
    usual = "a decode a person, eager fp32 NCHW, two forwards, NumPy flips, loops over joints"
    people = PICTURES * PEOPLE_EACH
    found = []
    for net in NETS:
        name = net.replace("_", "-", 1)
        ways = (
            ("", usual, partial(_beside_usual, net, "")),
            ("-fp32", usual, partial(_beside_usual, net, "fp32")),
            ("-compiled", "our own path, not compiled", partial(_compiled, net)),
        )
        found += [
            Benchmark(f"{name}{suffix}", "people", peer, people, prepare, rounds=3)
            for suffix, peer, prepare in ways
        ]
    return [
        *found,
        Benchmark(
            "load-people", "people", "a picture decoded a person", PICTURES * CROWD, _loading
        ),
    ]


def made_people(stack: ExitStack, each: int) -> Any:
    """A set of JPEGs of 640×480 px without meaning, `each` boxes in every one."""
    import cv2
    import numpy as np

    from replab.datasets.picture_files import open_pictures
    from replab.datasets.pose_set import PoseSet
    from replab.keypoints.skeletons import COCO

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    generator = np.random.default_rng(0)
    names = [f"{number}.jpg" for number in range(PICTURES)]
    for name in names:
        # Detail at several scales takes a decoder as long as a photograph's.
        picture = np.zeros((480, 640, 3), np.float32)
        for cells in (6, 24, 96, 240):
            noise = generator.uniform(-60, 60, (cells * 3 // 4, cells, 3)).astype(np.float32)
            picture += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / name), (128 + picture).clip(0, 255).astype(np.uint8))
    count = PICTURES * each
    corner = generator.uniform(0, (400, 150), (count, 2))
    extent = generator.uniform((60, 150), (200, 300), (count, 2))
    return PoseSet(
        name="made-people",
        fingerprint="",
        skeleton=COCO,
        images=open_pictures(folder, names, mend="run the benchmark again"),
        image_ids=np.arange(PICTURES),
        image_sizes=np.tile((640, 480), (PICTURES, 1)),
        image_of=np.repeat(np.arange(PICTURES), each),
        person_ids=np.arange(count),
        boxes=np.concatenate((corner, extent), axis=1),
        box_scores=np.ones(count),
        joints=np.full((count, 17, 2), np.nan),
        visible=np.zeros((count, 17), np.uint8),
        areas=extent.prod(axis=1),
    )


def records(poses: Any) -> list[dict[str, Any]]:
    """The same people for the usual path."""
    return [
        {"path": poses.images.shown(int(picture)), "box": box.tolist()}
        for picture, box in zip(poses.image_of, poses.boxes, strict=True)
    ]


def network(net: str, precision: str, *, compiled: bool = False) -> Any:
    """A network made ready for evaluation, its weights drawn at random, heatmaps with peaks."""
    from replab.keypoints.skeletons import COCO
    from replab.models.preprocessing import RGB_IMAGENET
    from replab.topdown.network import PoseNetwork, Preprocessing

    return PoseNetwork(
        plain_net(net),
        model=net,
        options={},
        skeleton=COCO,
        size=SIZE,
        preprocessing=Preprocessing.of(RGB_IMAGENET),
        precision=precision,
        compiled=compiled,
    )


def plain_net(name: str) -> Any:
    """A network as `create` gives it, with weights large enough that heatmaps are not flat."""
    import torch

    from replab import models

    generator = torch.Generator().manual_seed(0)
    net = models.create(name).eval()
    with torch.no_grad():
        for key, value in net.named_parameters():
            if value.dim() == 4:
                fan = value[0].numel()
                value.copy_(torch.randn(value.shape, generator=generator) * (0.5 / fan) ** 0.5)
            elif key.endswith("bias"):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return net


def _beside_usual(net: str, precision: str, stack: ExitStack) -> tuple[Step, Step]:
    """Our path in a precision, the machine's own if none is named, and the usual one.

    Raises:
        ValueError: half of the joints or more differ by more than `MEDIAN_PX`.
    """
    import numpy as np

    from replab.bench import usual_pose
    from replab.hardware import native_precision

    precision = precision or native_precision("cpu")
    poses = made_people(stack, PEOPLE_EACH)
    ready, plain, people = network(net, precision), plain_net(net), records(poses)

    def ours() -> Any:
        return _joints(ready, poses)

    def peer() -> Any:
        return usual_pose.estimate(plain, people, SIZE)[..., :2]

    moved = float(np.median(np.linalg.norm(ours() - peer(), axis=-1)))
    if not moved <= MEDIAN_PX:
        raise ValueError(f"in {precision} half of the joints move by {moved:.2g} px or more")
    return ours, peer


def _compiled(net: str, stack: ExitStack) -> tuple[Step, Step]:
    from replab.hardware import native_precision

    poses = made_people(stack, PEOPLE_EACH)
    precision = native_precision("cpu")
    fast, slow = network(net, precision, compiled=True), network(net, precision)
    return lambda: _joints(fast, poses), lambda: _joints(slow, poses)


def _joints(ready: Any, poses: Any) -> Any:
    from replab.keypoints.codecs import codec
    from replab.topdown.predict import predict

    return predict(ready, poses, codec("released")).keypoints


def _loading(stack: ExitStack) -> tuple[Step, Step]:
    """Crops of all people, ours and the usual way.

    Raises:
        ValueError: they differ.
    """
    import numpy as np
    import torch

    from replab.bench import usual_pose
    from replab.keypoints.boxes import centre_scale
    from replab.keypoints.codecs import codec
    from replab.models.preprocessing import RGB_IMAGENET
    from replab.topdown.crops import crop_batches
    from replab.topdown.network import Preprocessing

    poses = made_people(stack, CROWD)
    people, preprocessing = records(poses), Preprocessing.of(RGB_IMAGENET)
    centre, scale = centre_scale(torch.from_numpy(poses.boxes), SIZE[0] / SIZE[1])
    matrices = codec("released").matrix(centre, scale, SIZE)

    def ours() -> Any:
        batches = crop_batches(poses, matrices, SIZE, batch=8)
        return torch.cat([preprocessing.apply(found.crops) for found in batches])

    def peer() -> Any:
        return torch.stack([usual_pose.prepared(person, SIZE, "RGB") for person in people])

    apart = float(np.abs((ours() - peer()).numpy()).max())
    if not apart <= 0.02:  # a level of 255, scaled
        raise ValueError(f"crops differ by {apart:.2g} standard deviations")
    return ours, peer

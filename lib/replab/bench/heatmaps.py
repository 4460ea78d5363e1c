"""Drawing and reading heatmaps in batches, beside loops over people and joints.

The peers are the loops of leoxiaobin/deep-high-resolution-net.pytorch@6f69e46 and ilovepose/
DarkPose@101e98d at their tightest: what depends on the person or on sigma alone is reckoned once,
numbers leave arrays once, and the highest pixels are found for all maps together. The `usual` ones
do per joint what the released code does per joint.
"""

from collections.abc import Callable
from typing import Any

from replab.bench.comparing import Benchmark, Step

PEOPLE, JOINTS = 128, 17
INPUT, HEATMAP = (192, 256), (48, 64)
STRIDE, SIGMA = 4, 2
REACH = 3 * SIGMA
KERNEL = 11
# Px of the image, and parts of a heatmap's peak, by which ours and the peer may differ.
NEAR_PX, NEAR_LEVEL = 1e-2, 1e-5


def benchmarks() -> list[Benchmark]:
    """Decoding and encoding of a batch of 128 people with 17 joints on heatmaps of 64×48."""
    tight = "a tight loop over people and joints, NumPy"
    usual = "the released code's loop over people and joints, NumPy and OpenCV"
    ways = {
        "decode-released": (tight, lambda: decoding("released", PEOPLE)),
        "decode-released-usual": (usual, lambda: decoding("released", PEOPLE, usual=True)),
        "decode-dark": (f"{tight} and OpenCV", lambda: decoding("dark", PEOPLE)),
        "encode-released": (tight, lambda: encoding("released", PEOPLE)),
        "encode-released-usual": (usual, lambda: encoding("released", PEOPLE, usual=True)),
        "encode-dark": (tight, lambda: encoding("dark", PEOPLE)),
    }
    return [
        Benchmark(name, "people", peer, PEOPLE, lambda _, steps=steps: steps())  # type: ignore[misc]
        for name, (peer, steps) in ways.items()
    ]


def decoding(name: str, people: int, *, usual: bool = False) -> tuple[Step, Step]:
    """Ours and the loop that decode the same heatmaps to joints in the image.

    Args:
        name: of the codec, `released` or `dark`.
        people: in the batch.
        usual: beside the released code's loop, of the codec `released`.

    Raises:
        ValueError: the two do not agree.
    """
    import numpy as np
    import torch

    from replab.keypoints.codecs import codec

    generator = np.random.default_rng(0)
    chosen = codec(name, sigma=SIGMA)
    # A map without a joint is noise, and where its top would lie hangs on the last bits.
    joints = torch.from_numpy(generator.uniform(0, 1, (people, JOINTS, 2)) * INPUT)
    visible = torch.ones(people, JOINTS)
    maps, _ = chosen.encode(joints, visible, INPUT, HEATMAP)
    # Noise as of a network, weak enough that every peak is a clear one.
    maps += 0.01 * torch.from_numpy(generator.random(maps.shape, dtype=np.float32))
    centre = torch.from_numpy(generator.uniform(100, 500, (people, 2)).astype(np.float32))
    width = torch.from_numpy(generator.uniform(0.3, 2, (people, 1)).astype(np.float32))
    scale = torch.cat((width, width * (INPUT[1] / INPUT[0])), dim=1)
    arrays = maps.numpy(), centre.numpy(), scale.numpy()
    refined: Refine = _quarter if name == "released" else _taylor
    blurred = name == "dark"

    def ours() -> Any:
        return chosen.decode(maps, centre, scale)[0].numpy()

    def peer() -> Any:
        if usual:
            return decode_as_released(*arrays)
        return decode_in_a_loop(*arrays, refined, blurred=blurred)

    return _agreeing(ours, peer, NEAR_PX)


def encoding(name: str, people: int, *, usual: bool = False) -> tuple[Step, Step]:
    """Ours and the loop that draw the same target heatmaps.

    Args:
        name: of the codec, `released` or `dark`.
        people: in the batch.
        usual: beside the released code's loop, of the codec `released`.

    Raises:
        ValueError: the two do not agree.
    """
    import numpy as np

    from replab.keypoints.codecs import codec

    chosen = codec(name, sigma=SIGMA)
    joints, visible = _people(np.random.default_rng(0), people)
    arrays = joints.numpy(), visible.numpy()
    drawn = encode_in_a_loop if name == "released" else encode_exactly_in_a_loop
    if usual:
        drawn = encode_as_released

    def ours() -> Any:
        return chosen.encode(joints, visible, INPUT, HEATMAP)[0].numpy()

    def peer() -> Any:
        return drawn(*arrays)

    return _agreeing(ours, peer, NEAR_LEVEL)


Refine = Callable[[Any, int, int], tuple[float, float]]


def decode_in_a_loop(
    heatmaps: Any, centre: Any, scale: Any, refined: Refine, *, blurred: bool
) -> Any:
    """Joints N×K×2 in px of the image, one after the other.

    Args:
        heatmaps: N×K×H×W, float32.
        centre: N×2 in px.
        scale: N×2 in units of 200 px.
        refined: moves the highest pixel of a map.
        blurred: take the logarithm of the blurred maps first.
    """
    import numpy as np

    people, count, height, width = heatmaps.shape
    index = heatmaps.reshape(people, count, -1).argmax(axis=2)
    joints = np.empty((people, count, 2))
    for person in range(people):
        zoom = float(scale[person, 0]) * 200 / width
        left = float(centre[person, 0]) - zoom * width / 2
        top = float(centre[person, 1]) - zoom * height / 2
        for joint in range(count):
            level = heatmaps[person, joint]
            y, x = divmod(int(index[person, joint]), width)
            if level[y, x] <= 0:
                joints[person, joint] = left, top
                continue
            dx, dy = refined(_log_blurred(level) if blurred else level, x, y)
            joints[person, joint] = left + zoom * (x + dx), top + zoom * (y + dy)
    return joints.astype(np.float32)


def decode_as_released(heatmaps: Any, centre: Any, scale: Any) -> Any:
    """Joints N×K×2 in px of the image: three points a person, vectors of two a joint."""
    import cv2
    import numpy as np

    people, count, height, width = heatmaps.shape
    flat = heatmaps.reshape(people, count, -1)
    index, value = flat.argmax(axis=2), flat.max(axis=2)
    joints = np.stack((index % width, index // width), axis=2).astype(np.float32)
    joints *= (value > 0)[..., None]
    for person in range(people):
        for joint in range(count):
            level = heatmaps[person, joint]
            x, y = int(joints[person, joint, 0]), int(joints[person, joint, 1])
            if 1 < x < width - 1 and 1 < y < height - 1:
                slope = np.array(
                    [level[y, x + 1] - level[y, x - 1], level[y + 1, x] - level[y - 1, x]]
                )
                joints[person, joint] += np.sign(slope) * 0.25
    found = np.empty_like(joints)
    middle = np.array([width / 2, height / 2], dtype=np.float32)
    target = middle + np.array([[0, 0], [0, -width / 2], [-width / 2, -width / 2]], np.float32)
    for person in range(people):
        half = scale[person, 0] * 100
        source = centre[person] + np.array([[0, 0], [0, -half], [-half, -half]], np.float32)
        back = cv2.getAffineTransform(target, source)
        for joint in range(count):
            x, y = joints[person, joint]
            found[person, joint] = np.dot(back, np.array([x, y, 1.0]))
    return found


def encode_as_released(joints: Any, visible: Any) -> Any:
    """Target heatmaps of rounded joints, N×K×H×W float32: a Gaussian reckoned for each joint."""
    import numpy as np

    width, height = HEATMAP
    maps = np.zeros((*visible.shape, height, width), dtype=np.float32)
    for person in range(len(joints)):
        for joint in range(joints.shape[1]):
            x = int(joints[person, joint, 0] / STRIDE + 0.5)
            y = int(joints[person, joint, 1] / STRIDE + 0.5)
            if x - REACH >= width or y - REACH >= height or x + REACH + 1 < 0 or y + REACH + 1 < 0:
                continue
            line = np.arange(2 * REACH + 1, dtype=np.float32)
            squares = (line - REACH) ** 2 + (line[:, np.newaxis] - REACH) ** 2
            gaussian = np.exp(-squares / (2 * SIGMA**2))
            if visible[person, joint] > 0.5:
                x0, x1 = max(0, x - REACH), min(width, x + REACH + 1)
                y0, y1 = max(0, y - REACH), min(height, y + REACH + 1)
                maps[person][joint][y0:y1, x0:x1] = gaussian[
                    y0 - y + REACH : y1 - y + REACH, x0 - x + REACH : x1 - x + REACH
                ]
    return maps


def encode_in_a_loop(joints: Any, visible: Any) -> Any:
    """Target heatmaps of rounded joints, N×K×H×W float32, one after the other."""
    import numpy as np

    width, height = HEATMAP
    maps = np.zeros((*visible.shape, height, width), dtype=np.float32)
    line = np.arange(-REACH, REACH + 1, dtype=np.float32)
    gaussian = np.exp(-(line**2 + line[:, None] ** 2) / (2 * SIGMA**2))
    for person in range(len(joints)):
        for joint in range(joints.shape[1]):
            x = int(joints[person, joint, 0] / STRIDE + 0.5)
            y = int(joints[person, joint, 1] / STRIDE + 0.5)
            if x - REACH >= width or y - REACH >= height or x + REACH + 1 < 0 or y + REACH + 1 < 0:
                continue
            if visible[person, joint] > 0.5:
                x0, x1 = max(0, x - REACH), min(width, x + REACH + 1)
                y0, y1 = max(0, y - REACH), min(height, y + REACH + 1)
                maps[person, joint, y0:y1, x0:x1] = gaussian[
                    y0 - y + REACH : y1 - y + REACH, x0 - x + REACH : x1 - x + REACH
                ]
    return maps


def encode_exactly_in_a_loop(joints: Any, visible: Any) -> Any:
    """Target heatmaps of joints where they are, N×K×H×W float32, one after the other."""
    import numpy as np

    width, height = HEATMAP
    maps = np.zeros((*visible.shape, height, width), dtype=np.float32)
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    for person in range(len(joints)):
        for joint in range(joints.shape[1]):
            x, y = joints[person, joint] / STRIDE
            if x - REACH >= width or y - REACH >= height or x + REACH + 1 < 0 or y + REACH + 1 < 0:
                continue
            if visible[person, joint] > 0.5:
                # A product of two lines: a sixtieth of the exponentials of a whole map.
                row = np.exp(-((across - x) ** 2) / (2 * SIGMA**2))
                column = np.exp(-((down - y) ** 2) / (2 * SIGMA**2))
                np.multiply(column[:, None], row, out=maps[person, joint], casting="same_kind")
    return maps


def _quarter(level: Any, x: int, y: int) -> tuple[float, float]:
    height, width = level.shape
    if not (1 < x < width - 1 and 1 < y < height - 1):
        return 0.0, 0.0
    dx = float(level[y, x + 1] - level[y, x - 1])
    dy = float(level[y + 1, x] - level[y - 1, x])
    return 0.25 * ((dx > 0) - (dx < 0)), 0.25 * ((dy > 0) - (dy < 0))


def _taylor(level: Any, x: int, y: int) -> tuple[float, float]:
    height, width = level.shape
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return 0.0, 0.0
    v = level[y - 2 : y + 3, x - 2 : x + 3].tolist()
    dx, dy = (v[2][3] - v[2][1]) / 2, (v[3][2] - v[1][2]) / 2
    dxx = (v[2][4] - 2 * v[2][2] + v[2][0]) / 4
    dyy = (v[4][2] - 2 * v[2][2] + v[0][2]) / 4
    dxy = (v[3][3] - v[1][3] - v[3][1] + v[1][1]) / 4
    determinant = dxx * dyy - dxy * dxy
    if determinant == 0:
        return 0.0, 0.0
    return (dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant


def _log_blurred(level: Any) -> Any:
    import cv2
    import numpy as np

    blurred = cv2.GaussianBlur(level, (KERNEL, KERNEL), 0, borderType=cv2.BORDER_CONSTANT)
    blurred *= level.max() / blurred.max()
    return np.log(np.maximum(blurred, 1e-10))


def _people(generator: Any, count: int) -> tuple[Any, Any]:
    """Joints N×K×2 in px of the input, some beyond its edges, and visibilities N×K, some 0."""
    import torch

    places = generator.uniform(-0.1, 1.1, (count, JOINTS, 2)) * INPUT
    visible = (generator.random((count, JOINTS)) < 0.9).astype("float32")
    return torch.from_numpy(places), torch.from_numpy(visible)


def _agreeing(ours: Step, peer: Step, limit: float) -> tuple[Step, Step]:
    import numpy as np

    apart = float(np.abs(np.asarray(ours()) - np.asarray(peer())).max())
    if not apart <= limit:
        raise ValueError(f"ours and the peer differ by {apart:g}, more than {limit:g}")
    return ours, peer

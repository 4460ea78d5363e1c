"""Which pose network looks at photographs: a given file, fetched weights, or our own small one."""

from dataclasses import dataclass
from pathlib import Path

from replab.claims.shipped_weights import shipped
from replab.datasets import pose_weights
from replab.datasets.registry import title
from replab.errors import MissingData, UserError
from replab.files import sha256_file
from replab.keypoints.codecs import Codec, codec
from replab.models.loading import read_metadata
from replab.models.own_weights import describe, is_own, read_description
from replab.topdown.network import PoseNetwork, open_network

OWN = "replab's own small network, trained on {data}; not a published model"
OWN_PLACE = "results/*/weights/*.safetensors"
GET = (
    "give --weights FILE, or run `python -m replab fetch weights:w32-256x192` for the way to "
    "published ones"
)


@dataclass(frozen=True)
class Opened:
    """A pose network and how it is to be used.

    Attributes:
        network: ready for crops.
        codec: how its crops are cut and its heatmaps read.
        file: name of the file of weights.
        sha256: of that file, 64 hexadecimal digits.
        label: what must stand beside its results; empty for weights that the user chose.
    """

    network: PoseNetwork
    codec: Codec
    file: str
    sha256: str
    label: str = ""


def open_weights(
    weights: str | Path | None = None,
    *,
    model: str | None = None,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    device: str = "cpu",
) -> Opened:
    """The network for photographs.

    Weights of our own say themselves how they are used. Released ones are cut and read as
    released; their input size is that of the published file of the same name, if it has one.

    Args:
        weights: a file, released, mmpose's or our own; None for the fetched weights that `model`
            names, or without it for our own small network.
        model: name of published weights (`w32-256x192`), or of the network (`pose_hrnet_w32`)
            that the file must be of.
        size: width and height of the input in px, over all that is known.
        precision: as of `PoseNetwork`.
        device: a torch device.

    Raises:
        MissingData: the weights have not been fetched, or this checkout holds none of our own.
        UserError: the file is no weights of a pose network, or of another one than `model`.
    """
    published = pose_weights.CHECKPOINTS.get(model or "")
    label = ""
    if weights is not None:
        path = Path(weights)
    elif published is not None:
        path = pose_weights.find(published.name)
    elif model is not None:
        known = ", ".join(n for n, c in pose_weights.CHECKPOINTS.items() if c.model)
        raise UserError(f"--model {model} names no published weights ({known}); {GET}")
    else:
        path, label = own_network()
    network = open_network(
        path, size=size or _size(path, published), precision=precision, device=device
    )
    wanted = model if published is None else published.model
    if wanted is not None and network.model != wanted:
        raise UserError(f"{path} is of {network.model}, not of {wanted}; leave --model out")
    # As released: the Gaussians of larger heatmaps are wider.
    way = codec("released", sigma=3.0 if network.size[1] > 256 else 2.0)
    # Our own weights are always of this kind; others take long to read a second time.
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    if is_own(metadata):
        about = describe(metadata, path)
        way = codec(about.codec, sigma=about.sigma)
    return Opened(network, way, path.name, sha256_file(path), label)


def own_network() -> tuple[Path, str]:
    """The best of the pose networks that this checkout brings, and how its results are labelled.

    Raises:
        MissingData: there is none.
    """
    try:
        files = shipped()
    except UserError:  # installed without a checkout
        files = []
    described = ((path, read_description(path)) for path in files)
    found = [(path, about) for path, about in described if about.finds_joints]
    if not found:
        raise MissingData(f"this checkout holds no pose network of its own ({OWN_PLACE}); {GET}")
    path, about = max(found, key=lambda item: item[1].scores.get("pck", 0.0))
    return path, OWN.format(data=title(about.data.get("name", "")))


def _size(path: Path, published: pose_weights.PoseCheckpoint | None) -> tuple[int, int] | None:
    """Of the published file that was named, or that is called so; None if neither says it."""
    if published is None:
        called = (c for c in pose_weights.CHECKPOINTS.values() if path.name in (c.file, *c.also))
        published = next((checkpoint for checkpoint in called if checkpoint.model), None)
    return None if published is None else published.size

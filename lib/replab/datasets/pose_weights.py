"""Released weights of pose networks by name: `w32-256x192`, `sb-r50-256x192`, `mpii-w32-256x256`.

Their authors give them out through file hosts that no program can ask, mostly without a checksum.
What comes under a name is therefore held to the SHA-256 where one is known, and else opened: its
tensors must be those of the network that the name says.
"""

import functools
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from replab import files
from replab.datasets import download
from replab.datasets.download import Remote, say
from replab.datasets.registry import Dataset, register
from replab.datasets.source_files import find_below
from replab.errors import DownloadFailed, MissingData, UserError
from replab.paths import data_dir

HRNET = "leoxiaobin/deep-high-resolution-net.pytorch@6f69e46"
SIMPLE_BASELINE = "microsoft/human-pose-estimation.pytorch@49f3f44"
MMPOSE = "open-mmlab/mmpose@759b39c"
URL = "REPLAB_POSE_WEIGHTS_URL"


@dataclass(frozen=True)
class PoseCheckpoint:
    """Released weights of a pose network.

    Attributes:
        name: what the user types after `weights:`.
        file: its name as its authors call it, and on this machine.
        model: name for `replab.models.create`; empty for ImageNet weights, of another head.
        joints: number of heatmaps, 0 for ImageNet weights.
        size: width and height of the input in px, which the file does not tell.
        source: repository@commit whose page gives it out.
        licence: of that repository; none is stated for the file.
        sha256: in hexadecimal digits, their first 8 where only the file's name tells them, or
            empty.
        bytes: its length, None where it is not known.
        url: where it is; empty for file hosts that want a person.
        also: other names that it is given out under.
    """

    name: str
    file: str
    model: str
    joints: int
    size: tuple[int, int]
    source: str = HRNET
    licence: str = "MIT"
    sha256: str = ""
    bytes: int | None = None
    url: str = ""
    also: tuple[str, ...] = ()


# SHA-256 and length that stand alike in public repositories of different owners: three for the
# first, two for the second. The authors publish none.
_KNOWN = {
    "w32-256x192": (
        "19bc083708bb8d873211e50d85d56344c10290c6e8b564c813fdde09645c4c1c",
        114_721_619,
    ),
    "w48-384x288": (
        "95e0fec3194826d5e3f806ea89be68bbb84517b114c3a32b3058c56610b5ef61",
        255_061_287,
    ),
}


def sides(text: str) -> tuple[int, int]:
    """Width and height in px of an input that is written as papers do, `256x192` (height first).

    Raises:
        ValueError: the text is no such size.
    """
    height, width = (int(side) for side in text.split("x"))
    return width, height


def _hrnet(width: int, size: str, joints: int = 17) -> PoseCheckpoint:
    name = f"{'mpii-' if joints == 16 else ''}w{width}-{size}"
    sha256, length = _KNOWN.get(name, ("", None))
    return PoseCheckpoint(
        name,
        f"pose_hrnet_w{width}_{size}.pth",
        f"pose_hrnet_w{width}",
        joints,
        sides(size),
        sha256=sha256,
        bytes=length,
    )


def _simple_baseline(depth: int, size: str, joints: int = 17) -> PoseCheckpoint:
    file = f"pose_resnet_{depth}_{size}.pth"
    return PoseCheckpoint(
        f"{'mpii-' if joints == 16 else ''}sb-r{depth}-{size}",
        file,
        f"pose_resnet{depth}",
        joints,
        sides(size),
        # As microsoft/human-pose-estimation.pytorch@49f3f44 gives out the same networks.
        also=(f"{file}.tar",),
    )


def _imagenet(net: str, file: str, source: str = HRNET) -> PoseCheckpoint:
    # Their files' names end in the first 8 digits of their SHA-256.
    digits = file.rpartition("-")[2].partition(".")[0]
    return PoseCheckpoint(
        f"imagenet-{net}", file, "", 0, sides("224x224"), source=source, sha256=digits
    )


_MMPOSE_FILE = "hrnet_w48_coco_256x192-b9e0b3ab_20200708.pth"

CHECKPOINTS: Mapping[str, PoseCheckpoint] = MappingProxyType(
    {
        checkpoint.name: checkpoint
        for checkpoint in (
            *(_hrnet(w, size) for w in (32, 48) for size in ("256x192", "384x288")),
            *(_simple_baseline(d, s) for d in (50, 101, 152) for s in ("256x192", "384x288")),
            *(_hrnet(w, "256x256", joints=16) for w in (32, 48)),
            *(_simple_baseline(d, "256x256", joints=16) for d in (50, 101, 152)),
            _imagenet("w32", "hrnet_w32-36af842e.pth"),
            _imagenet("w48", "hrnet_w48-8ef0771d.pth"),
            _imagenet("r50", "resnet50-19c8e357.pth", SIMPLE_BASELINE),
            _imagenet("r101", "resnet101-5d3b4d8f.pth", SIMPLE_BASELINE),
            _imagenet("r152", "resnet152-b121ed2d.pth", SIMPLE_BASELINE),
            PoseCheckpoint(
                "mmpose-w48-256x192",
                _MMPOSE_FILE,
                "pose_hrnet_w48",
                17,
                sides("256x192"),
                source=MMPOSE,
                licence="Apache-2.0",
                sha256="b9e0b3ab",
                url=f"https://download.openmmlab.com/mmpose/top_down/hrnet/{_MMPOSE_FILE}",
            ),
        )
    }
)


def folder() -> Path:
    """Where fetched weights live on this machine."""
    return data_dir() / "weights"


def describe(name: str) -> PoseCheckpoint:
    """What is known about released weights, for example `w32-256x192`.

    Raises:
        UserError: there are no such weights.
    """
    try:
        return CHECKPOINTS[name]
    except KeyError:
        raise UserError(
            f"there are no released pose weights {name!r}; choose one of {', '.join(CHECKPOINTS)}"
        ) from None


def fingerprint(name: str) -> str:
    """16 hexadecimal digits that stand for released weights, known without them.

    They rest on the names of repository and file, so that they stay when a checksum gets known.
    Where none is known, the record of a run says which bytes it was made with.

    Raises:
        UserError: there are no such weights.
    """
    known = describe(name)
    identity = {"source": known.source, "file": known.file}
    return files.sha256_bytes(files.canonical_json(identity).encode())[:16]


def find(name: str) -> Path:
    """The file of fetched weights, its checksum checked where one is known.

    Raises:
        MissingData: they have not been fetched.
        UserError: there are no such weights, or the file is damaged.
    """
    known = describe(name)
    path = folder() / known.file
    if not path.is_file():
        raise MissingData(
            f"the weights {name} are not on this machine (no {path}); {_mend(known)}"
        )
    got = download.check(path, known.sha256)
    if got is not None:
        raise UserError(f"{path} has sha256 {got}, expected {known.sha256}; {_mend(known)}")
    return path


def fetch(
    name: str, source: Path | None = None, *, force: bool = False, quiet: bool = False
) -> Path:
    """Bring released weights to this machine: from a file or folder, or from an address.

    The address is the user's own folder of weights, `REPLAB_POSE_WEIGHTS_URL`, or that of their
    authors where a program can ask it.

    Args:
        name: for example `w32-256x192`.
        source: the file (under any name) or a folder that holds it, up to three folders deep.
        force: fetch even if it is there.
        quiet: nothing on stderr.

    Returns:
        The checked file in `folder()`.

    Raises:
        MissingData: neither a source nor an address is known.
        DownloadFailed: the address cannot be reached or gives something else.
        UserError: no such weights, the source is something else, or the disk is full.
    """
    known = describe(name)
    path = folder() / known.file
    if not force and path.is_file() and _wrong(known, path) is None:
        say(f"weights:{name} are already here: {path}", quiet=quiet)
        return path
    if source is None:
        return _download(known, path, force=force, quiet=quiet)
    given = _pick(known, source)
    wrong = _wrong(known, given)
    if wrong is not None:
        raise UserError(f"{wrong}; {_mend(known)}")
    if not (path.is_file() and path.samefile(given)):
        with given.open("rb") as stream, files.atomic_writer(path) as writer:
            shutil.copyfileobj(stream, writer)
    say(f"weights:{name} are at {path}", quiet=quiet)
    return path


def _download(known: PoseCheckpoint, path: Path, *, force: bool, quiet: bool) -> Path:
    own = os.environ.get(URL, "")
    address = f"{own.rstrip('/')}/{known.file}" if own else known.url
    if not address:
        raise MissingData(f"weights:{known.name} cannot be downloaded; {_mend(known)}")
    remote = Remote(address, known.file, known.sha256, known.bytes)
    # Under its final name it shows only when it is known to be right, and without a checksum
    # that takes a look inside.
    got = download.get(remote, data_dir() / "downloads", force=force, quiet=quiet)
    wrong = _wrong(known, got)
    if wrong is not None:
        got.unlink()
        raise DownloadFailed(f"{address} gave something else: {wrong}; {_mend(known)}")
    files.make_folder(path.parent)
    got.replace(path)
    return path


def _pick(known: PoseCheckpoint, source: Path) -> Path:
    if source.is_dir():
        found = (find_below(source, file) for file in (known.file, *known.also))
        given = next((path for path in found if path is not None), None)
        if given is None:
            raise UserError(f"{source} does not hold {known.file}; name the file or its folder")
        return given
    if not source.is_file():
        raise UserError(f"there is no {source}; name {known.file} or a folder that holds it")
    return source


def _wrong(known: PoseCheckpoint, path: Path) -> str | None:
    """Why a file is not what it should be, or None."""
    if known.sha256:
        try:
            got = download.check(path, known.sha256)
        except OSError as error:
            return f"cannot read {path}: {error.strerror}"
        return None if got is None else f"{path} has sha256 {got}, expected {known.sha256}"
    if path.suffix == ".safetensors":
        return f"{path} is no file as released, which torch.save wrote"
    # `fetch` offers much that needs no torch, and its import takes seconds.
    import torch

    from replab import models
    from replab.models.loading import load, read_checkpoint

    with torch.device("meta"):
        model = models.create(known.model, num_joints=known.joints)
    try:
        load(model, read_checkpoint(path))
    except UserError as error:
        return f"{path} holds no weights of {known.name} ({error})"
    return None


def _mend(known: PoseCheckpoint) -> str:
    place = known.source.partition("@")[0]
    if known.url:
        return f"run `python -m replab fetch weights:{known.name}` (or with `--from FILE_OR_DIR`)"
    return (
        f"get {known.file} from the model zoo that the README of {place} links, then run `python "
        f"-m replab fetch weights:{known.name} --from FILE_OR_DIR`, or set {URL}"
    )


register(
    *(
        Dataset(
            name=f"weights:{known.name}",
            require=functools.partial(find, known.name),
            what=f"released weights {known.file}" + (f" of {known.model}" if known.model else ""),
            licence=f"{known.licence} for the code; none stated for the file",
            citation=known.source,
            fetch=functools.partial(fetch, known.name),
            size=known.bytes if known.url else None,
            manual_size=known.bytes,
        )
        for known in CHECKPOINTS.values()
    ),
    order=81,
)

"""Weights that a run of ours trained: one file that says which network it is and how to use it.

The file is safetensors; what `OwnWeights` holds stands in its metadata, so that nobody needs the
record, the recipe or this repository's replications to load the network and prepare a picture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from replab.errors import UserError
from replab.models.loading import Checkpoint, load, read_checkpoint, read_metadata
from replab.models.registry import create
from replab.models.saving import save

FORMAT = 1
# What is committed to the repository may be so large; a store keeps any size.
COMMITTED_BYTES = 4_000_000
COLOURS = ("RGB", "BGR")
PRECISIONS = ("fp32", "bf16")
_MEND = "give a file that `python -m replab export` wrote"


@dataclass(frozen=True)
class OwnWeights:
    """What a file of our own weights says of its network.

    Attributes:
        model: name for `replab.models.create`.
        options: all of its options that are not the default, `num_joints` among them.
        size: width and height of the network's input in px.
        colour: order of the channels as the network sees them, `RGB` or `BGR`.
        mean: of 0–1 values, in that order: a number per channel, or one per value (C×H×W, nested),
            where the mean picture was subtracted.
        std: of each channel of 0–1 values, in that order.
        skeleton: name of the joints' skeleton (`replab.keypoints.skeletons.skeleton`), empty where
            the network names classes.
        classes: names of the classes, in the order of the outputs; empty where it finds joints.
        codec: name of the way from crops to heatmaps and back (`replab.keypoints.codecs.codec`),
            empty where it names classes.
        sigma: of the codec's Gaussians in px of the heatmap; 0 where it names classes.
        head: which of the network's maps the scores were read from, where it has several heads or
            stages.
        precision: in which the record's scores were computed, `fp32` or `bf16`; parameters are
            float32 whatever it says.
        test_data: name of the set that the scores were computed on.
        scores: of the record, those that `score` computes again, percent: `test_error`, or `pck`.
        run: id of the run that trained it.
        paper: the folder of `replications/` whose run that was.
        data: `{name, fingerprint, split}` of what it was trained on.
        licence: what is to be known before the weights are passed on.
    """

    model: str
    options: Mapping[str, Any]
    size: tuple[int, int]
    colour: str
    mean: Sequence[Any]
    std: tuple[float, ...]
    skeleton: str = ""
    classes: tuple[str, ...] = ()
    codec: str = ""
    sigma: float = 0.0
    head: int = 0
    precision: str = "fp32"
    test_data: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    run: str = ""
    paper: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""

    @property
    def finds_joints(self) -> bool:
        """Whether the network gives heatmaps of joints rather than classes."""
        return bool(self.skeleton)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Colour order, mean, deviation and size, as they stand beside any weights."""
        return {
            "colour": self.colour,
            "mean": self.mean,
            "std": list(self.std),
            "size": list(self.size),
        }


# Kinds of the fields that are neither the network's name, its options nor its preprocessing.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "skeleton": ((str,), "text"),
    "classes": ((list,), "a list"),
    "codec": ((str,), "text"),
    "sigma": ((int, float), "a number"),
    "head": ((int,), "a whole number"),
    "precision": ((str,), "text"),
    "test_data": ((str,), "text"),
    "scores": ((dict,), "a JSON object"),
    "paper": ((str,), "text"),
    "data": ((dict,), "a JSON object"),
    "licence": ((str,), "text"),
}


def shortest(values: NDArray[np.float32]) -> list[Any]:
    """Nested lists of the shortest decimals that are these float32 numbers once read back."""
    nested: list[Any] = values.astype(np.float32).astype(str).astype(np.float64).tolist()
    return nested


def is_own(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata of a file are those of our own weights, whatever their version."""
    return "replab" in metadata


def write(path: Path, net: nn.Module, about: OwnWeights) -> None:
    """Write a network with what its file says of it, atomically; equal input gives equal bytes.

    Raises:
        UserError: the name does not end in .safetensors, or the file cannot be written.
    """
    further = {name: getattr(about, name) for name in _KINDS}
    save(
        net,
        path,
        model=about.model,
        options=about.options,
        preprocessing=about.preprocessing,
        record=about.run,
        further={"replab": FORMAT, **further},
    )


def read_description(path: str | Path) -> OwnWeights:
    """What a file of our own weights says of its network; its tensors are not read.

    Raises:
        UserError: the file is missing or damaged, of somebody else, or of another version.
    """
    return describe(read_metadata(path), path)


def load_network(path: str | Path) -> tuple[nn.Module, OwnWeights]:
    """The network of a file of our own weights, on the CPU, in float32, in evaluation mode.

    Raises:
        UserError: as `read_description`; also if the tensors are not those that were written, or
            do not fit the network strictly.
    """
    checkpoint = read_checkpoint(path)
    about = describe(checkpoint.metadata, path)
    return network_of(checkpoint, about), about


def network_of(checkpoint: Checkpoint, about: OwnWeights) -> nn.Module:
    """The network that a description names, with the weights of a checkpoint, for evaluation.

    Raises:
        UserError: there is no such network, or the tensors do not fit it strictly.
    """
    try:
        net = create(about.model, **about.options)
    except UserError as error:
        raise UserError(f"{checkpoint.source}: its metadata are at fault: {error}") from error
    return load(net, checkpoint).eval()


def describe(metadata: Mapping[str, Any], path: str | Path) -> OwnWeights:
    """What the metadata of a file say.

    Args:
        metadata: as `loading.read_metadata` gives them.
        path: the file's name in messages.

    Raises:
        UserError: they are not those of our own weights, of another version, or malformed.
    """
    if not is_own(metadata):
        raise UserError(f"{path} is not of our own weights: it says nothing of a run; {_MEND}")
    if metadata["replab"] != FORMAT:
        raise UserError(
            f"{path} has format {metadata['replab']} of our own weights, this replab reads "
            f"{FORMAT}; use the replab that wrote it"
        )
    for name, (kinds, words) in {
        "model": ((str,), "text"),
        "options": ((dict,), "a JSON object"),
        "preprocessing": ((dict,), "a JSON object"),
        "record": ((str,), "text"),
        **_KINDS,
    }.items():
        value = metadata.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UserError(f"{path}: {name} of its metadata is not {words}; {_MEND}")
    seen = metadata["preprocessing"]
    values = {name: metadata[name] for name in _KINDS}
    about = OwnWeights(
        model=metadata["model"],
        options=metadata["options"],
        size=_numbers(seen, "size", path, 2, whole=True),
        colour=str(seen.get("colour")),
        mean=seen.get("mean") or (),
        std=_numbers(seen, "std", path, 3),
        run=metadata["record"],
        **{**values, "classes": tuple(str(name) for name in values["classes"])},
    )
    _require_sense(about, path)
    return about


def _numbers(
    seen: Mapping[str, Any], name: str, path: str | Path, count: int, *, whole: bool = False
) -> tuple[Any, ...]:
    values = seen.get(name)
    allowed = (int,) if whole else (int, float)
    fine = isinstance(values, list) and all(
        isinstance(value, allowed) and not isinstance(value, bool) and 0 < value < float("inf")
        for value in values
    )
    if not fine or len(values) != count:  # type: ignore[arg-type]
        words = "whole numbers" if whole else "numbers"
        raise UserError(
            f"{path}: {name} of its preprocessing is not {count} {words} above 0; {_MEND}"
        )
    return tuple(values)  # type: ignore[arg-type]


def _require_sense(about: OwnWeights, path: str | Path) -> None:
    faults = {
        f"no id of a run but {about.run!r}": not re.fullmatch(r"[0-9a-f]{16}", about.run),
        f"colour order {about.colour!r}": about.colour not in COLOURS,
        f"precision {about.precision!r}": about.precision not in PRECISIONS,
        f"a head {about.head}": about.head < 0,
        f"mean of {len(about.mean)} channels": len(about.mean) != 3,
        "neither joints nor classes": bool(about.skeleton) == bool(about.classes),
        "joints without a codec": about.finds_joints and not (about.codec and about.sigma > 0),
        "a score that is no number": not all(
            isinstance(value, int | float) and not isinstance(value, bool)
            for value in about.scores.values()
        ),
    }
    for fault, found in faults.items():
        if found:
            raise UserError(f"{path}: its metadata have {fault}; {_MEND}")

"""Which network a file of weights was made for, read off its metadata or its tensors alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from replab.errors import UserError
from replab.models import registry
from replab.models.loading import Checkpoint
from replab.models.preprocessing import RGB_IMAGENET

_FIELDS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {
        "model": (str, "text"),
        "options": (dict, "a JSON object"),
        "preprocessing": (dict, "a JSON object"),
    }
)


@dataclass(frozen=True)
class Identity:
    """What a file of weights is for.

    Attributes:
        model: the name for `replab.models.create`.
        options: its options.
        preprocessing: colour order (`RGB` or `BGR`), and mean and deviation per channel of 0–1
            values, in the order of the channels as the network sees them.
        told: whether the file itself said so; else its tensors told the network, and the
            preprocessing is that of the published weights of such a network.
    """

    model: str
    options: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    told: bool


def identify(checkpoint: Checkpoint, path: Path) -> Identity:
    """The network of a checkpoint and what it expects of an image.

    From its metadata if it has them (our own weights do); else from the shapes of its tensors.

    Args:
        path: the file's name in messages.

    Raises:
        UserError: the metadata are malformed, or the tensors are of no network of ours.
    """
    about: dict[str, Any] = {}
    for field, (kind, words) in _FIELDS.items():
        value = checkpoint.metadata.get(field)
        if value is not None and not isinstance(value, kind):
            raise UserError(f"{path}: {field} of its metadata is not {words}; save it anew")
        about[field] = value
    told = about["model"] not in (None, *(model.alias for model in registry.registered()))
    if told:
        name, options = about["model"], dict(about["options"] or {})
    else:
        try:
            name, options = registry.infer(checkpoint.state_dict)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    # mmpose converts images to RGB for every network.
    known = None if checkpoint.layout == "mmpose" else registry.get(name)
    usual = RGB_IMAGENET if known is None else known.preprocessing
    return Identity(name, options, dict(about["preprocessing"] or usual), told)

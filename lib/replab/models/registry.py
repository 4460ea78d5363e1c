"""Networks by name: each is registered beside its definition.

A module of this package that calls `register` is all that a new network takes: every module is
imported when a name is looked up.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from replab.errors import UserError
from replab.models.preprocessing import RGB_IMAGENET

Inferred = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of a network that is listed, with options and the paper's figure.

    Attributes:
        name: for `create`.
        options: those that differ from the defaults.
        gflops_paper: what the paper prints for it: 10^9 multiply-adds, of pose networks
            `counting.Macs.gflops_paper`.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    gflops_paper: float | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network, or a family of networks whose names end in a number.

    Attributes:
        name: for `create`, without the number.
        build: called with the number, if there is one, and the options, which are its
            keyword-only parameters. Raises UserError for a value that does not exist.
        input_shape: C×H×W of the images that it is made for and counted with.
        output: `classes` (logits N×num_classes) or `heatmaps` (N×K×h×w, or a list of them).
        numbers: those that exist; a description such as `6n+2` where `build` checks them; empty
            for a network without a number.
        forms: what is listed, name by name; the default form alone if empty.
        size_divisor: sides of the input are multiples of so many px.
        preprocessing: what published weights without metadata expect of an image.
        tensor_prefix: of a tensor's name, by which a state dict is known to be of this family.
        infer: name and options from such a state dict; raises UserError for an incomplete one.
        alias: name in the training checkpoints of its authors, which leaves the number out.

    Raises:
        ValueError: a form is of another name, or `infer` stands without a prefix.
    """

    name: str
    build: Callable[..., nn.Module]
    input_shape: tuple[int, int, int]
    output: Literal["classes", "heatmaps"] = "classes"
    numbers: tuple[int, ...] | str = ()
    forms: tuple[Form, ...] = ()
    size_divisor: int = 1
    preprocessing: Mapping[str, Any] = field(default_factory=lambda: RGB_IMAGENET)
    tensor_prefix: str = ""
    infer: Callable[[Mapping[str, Tensor]], Inferred] | None = None
    alias: str | None = None

    def __post_init__(self) -> None:
        if self.infer is not None and not self.tensor_prefix:
            raise ValueError(f"model {self.pattern}: infer takes a tensor_prefix")
        for form in self.forms:
            if self.number(form.name) is None:
                raise ValueError(f"model {self.pattern}: no such name as {form.name} of a form")

    @property
    def fixed_names(self) -> list[str]:
        """Names that are known without a constructor: all but those of an open family."""
        if not self.numbers:
            return [self.name]
        if isinstance(self.numbers, str):
            return [form.name for form in self.forms]
        return [f"{self.name}{number}" for number in self.numbers]

    @property
    def pattern(self) -> str:
        """The names in brief: `vgg{16,19}`."""
        if not self.numbers:
            return self.name
        known = self.numbers if isinstance(self.numbers, str) else ",".join(map(str, self.numbers))
        return f"{self.name}{{{known}}}"

    def number(self, name: str) -> tuple[int, ...] | None:
        """The number in a name, none where there is none to be; None for another model's name."""
        if not self.numbers:
            return () if name == self.name else None
        match = re.fullmatch(rf"{re.escape(self.name)}([1-9][0-9]*)", name)
        if match is None:
            return None
        found = int(match[1])
        return (found,) if isinstance(self.numbers, str) or found in self.numbers else None

    def forms_of(self, name: str) -> list[Form]:
        """The forms that are listed under a name, else its default form."""
        return [form for form in self.forms if form.name == name] or [Form(name=name)]


_models: list[Model] = []


def register(*models: Model) -> None:
    """Make networks known by their names.

    Raises:
        ValueError: a name is taken.
    """
    for model in models:
        for known in _models:
            taken = [n for n in model.fixed_names if known.number(n) is not None]
            taken += [n for n in known.fixed_names if model.number(n) is not None]
            if taken or model.pattern == known.pattern:
                raise ValueError(
                    f"a model {(taken or [model.pattern])[0]} is registered already, as "
                    f"{known.pattern}"
                )
        _models.append(model)


@functools.cache
def registered() -> tuple[Model, ...]:
    """All models: those for classes first, then by the size of their input and by module."""
    package = sys.modules[__package__]
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        importlib.import_module(module.name)
    return tuple(sorted(_models, key=lambda m: (m.output, m.input_shape, m.build.__module__)))


def names() -> list[str]:
    """The networks that are listed: those that the papers name.

    Families have others as well: the CIFAR ones every depth 6n + 2, HRNet every width.
    """
    forms = (form for model in registered() for form in model.forms or (Form(name=model.name),))
    return list(dict.fromkeys(form.name for form in forms))


def get(name: str) -> Model | None:
    """The model that a name is of, None if there is none."""
    return next((model for model in registered() if model.number(name) is not None), None)


def find(name: str) -> Model:
    """The model that a name is of.

    Raises:
        UserError: there is none; the message has the nearest names.
    """
    model = get(name)
    if model is None:
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.0)
        raise UserError(
            f"unknown model {name!r}; the families are "
            f"{' '.join(model.pattern for model in registered())}, "
            f"the nearest names {', '.join(near)}"
        )
    return model


def create(name: str, **options: Any) -> nn.Module:
    """A freshly initialised network, drawn from torch's global generator.

    Under `with torch.device("meta")` it costs neither memory nor draws.

    Args:
        name: one of `names()`, or another of a family: `cifar_resnet8`, `pose_hrnet_w18`.
        options: keyword arguments of the model's constructor, which describes them:
            `replab.models.resnet_cifar.cifar_resnet`, `replab.models.hrnet.pose_hrnet` …

    Raises:
        UserError: no such name, no such option, or no such value of an option.
    """
    model = find(name)
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(model.build).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    unknown = sorted(set(options) - set(known))
    if unknown:
        listed = ", ".join(f"{key}={value!r}" for key, value in known.items())
        raise UserError(
            f"{name} has no option {', '.join(unknown)}; its options, with their defaults, "
            f"are {listed}"
        )
    return model.build(*(model.number(name) or ()), **options)


def infer(state_dict: Mapping[str, Tensor]) -> Inferred:
    """Name and options of the network that has these tensors, from their names and shapes alone.

    Returns:
        The name for `create` and its options.

    Raises:
        UserError: no network that can be told by its tensors has such.
    """
    families = [(model, model.infer) for model in registered() if model.infer is not None]
    for model, inferred in families:
        if any(name.startswith(model.tensor_prefix) for name in state_dict):
            return inferred(state_dict)
    raise UserError(
        "these weights are of no network that can be told by its tensors "
        f"({', '.join(model.pattern for model, _ in families)}); give weights of such a net, or "
        "weights with metadata"
    )

"""What runs that nobody has measured would cost: `replications/<paper>/costs.yaml`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replab import paths, yaml_lines
from replab.claims.claim import Paper
from replab.errors import UserError

FILE = "costs.yaml"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Checkpoint(_Strict):
    """What a checkpoint of an experiment's largest net holds.

    Attributes:
        parameters: of the net.
        numbers: float32 numbers kept of each: its value and the optimiser's.
    """

    parameters: Annotated[int, Field(gt=0)]
    numbers: Literal[2, 3]

    @property
    def bytes(self) -> int:
        """Its size in bytes, about: running averages and the history are left out."""
        return 4 * self.numbers * self.parameters


class Work(_Strict):
    """How an experiment's relative cost becomes time.

    Attributes:
        unit: multiply-adds of one unit of `Experiment.cost`, the way back included.
        device: what does it: a GPU, or a core of a processor.
        rate: operations that it is taken to sustain in a second; a multiply-add is two.
        why: where both come from.
        checkpoint: of its largest net, None where that is too small to matter.
    """

    unit: Positive
    device: Literal["gpu", "core"]
    rate: Positive
    why: Annotated[str, Field(min_length=20)]
    checkpoint: Checkpoint | None = None

    def seconds(self, cost: float) -> float:
        """Seconds of one device for so many units."""
        return 2 * self.unit * cost / self.rate


class _File(_Strict):
    experiments: dict[str, Work]


def load(paper: Paper) -> Mapping[str, Work]:
    """How each of a paper's experiments is estimated; empty if it has no such file.

    Raises:
        UserError: the file is no YAML, has an unknown or a missing key, or names an experiment
            that there is not; one line that names file and line.
    """
    path = paths.root() / "replications" / paper.name / FILE
    if not path.is_file():
        return {}
    document = yaml_lines.read(path, shown_as=str(path.relative_to(paths.root())))
    try:
        content = _File.model_validate(document.value)
    except ValidationError as error:
        raise _invalid(document, error) from error
    known = paper.replication.experiments
    for name in content.experiments:
        if name not in known:
            raise document.error(
                ("experiments", name), f"there is no such experiment; there are {', '.join(known)}"
            )
    return content.experiments


def _invalid(document: yaml_lines.LinedYaml, error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    place = tuple(part for part in first["loc"] if isinstance(part, str | int))
    message = " ".join(first["msg"].split())
    return document.error(place, message[:1].lower() + message[1:])

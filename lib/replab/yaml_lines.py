"""YAML whose every value knows its line, so that an error in a paper's file can name it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab.errors import UserError
from replab.files import read_text

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class LinedYaml:
    """A YAML document and the line of each of its values.

    Attributes:
        lines: location (keys and indices from the root) → line, counting from 1.
    """

    file: str
    value: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """Line of a value, or of the nearest value around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def error(self, location: Location, message: str) -> UserError:
        """A one-line error about the value at a location."""
        place = ".".join(map(str, location))
        prefix = f"{self.file}:{self.line(location)}"
        return UserError(f"{prefix}: {place}: {message}" if place else f"{prefix}: {message}")


def read(path: Path, *, shown_as: str) -> LinedYaml:
    """Read a YAML file.

    Args:
        shown_as: the file's name in messages.

    Raises:
        UserError: the file is missing, is no YAML, or says a key twice.
    """
    return parse(read_text(path, shown_as=shown_as), shown_as=shown_as)


def parse(text: str, *, shown_as: str) -> LinedYaml:
    """Read the text of a YAML file; arguments and errors as of `read`."""
    import yaml

    lines: dict[Location, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise UserError(f"{shown_as}:1: the file is empty")
        return LinedYaml(shown_as, _build(node, (), lines, shown_as), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join((error.problem or error.context or "").split())
        raise UserError(f"{shown_as}:{line}: not valid YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(f"{shown_as}:{line}: not valid YAML: {error.reason}") from error
    except RecursionError as error:
        raise UserError(
            f"{shown_as}:1: not valid YAML: an alias stands inside its own anchor, or the file is "
            "nested too deep"
        ) from error


def _build(node: Any, location: Location, lines: dict[Location, int], file: str) -> Any:
    import yaml

    lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise UserError(f"{file}:{line}: key '{key}' stands here a second time")
            mapping[key] = _build(value_node, (*location, key), lines, file)
            lines[(*location, key)] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(n, (*location, i), lines, file) for i, n in enumerate(node.value)]
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_object(node, deep=True)
    except ValueError as error:
        line = node.start_mark.line + 1
        raise UserError(f"{file}:{line}: not valid YAML: {error}") from error
    finally:
        constructor.dispose()

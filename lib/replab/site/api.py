"""The API pages: modules, functions and classes with their docstrings, read without importing."""

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replab import paths

_SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields")
_SECTION = re.compile(rf"^({'|'.join(_SECTIONS)}):$")


@dataclass(frozen=True)
class Section:
    """A part of a docstring such as `Args:`: its entries, or one text without a name."""

    title: str
    entries: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Described:
    """A module, a class or a function that is public.

    Attributes:
        name: as it is imported.
        signature: with annotations and defaults; of a class, its fields or its `__init__`.
        summary: the docstring's first sentence or line.
        text: all of its prose, Markdown.
        members: functions and classes of a module, methods of a class.
    """

    name: str
    kind: str
    signature: str
    summary: str
    text: str
    sections: Sequence[Section]
    members: Sequence["Described"]


def modules() -> list[Described]:
    """Every module of the library, in the order of their names.

    Raises:
        SyntaxError: a module is no Python.
    """
    folder = paths.root() / "lib"
    found = []
    for path in sorted((folder / "replab").rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(module(path, name))
    return found


def module(path: Path, name: str) -> Described:
    """What a module's file says of itself and of its public functions and classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    members = [m for node in tree.body if (m := _member(node)) is not None]
    return _described(tree, name, "module", "", members)


def _member(node: ast.stmt) -> Described | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _public(node.name):
        kind = "property" if _is_property(node) else "function"
        signature = "" if kind == "property" else _signature(node)
        return _described(node, node.name, kind, signature, ())
    if isinstance(node, ast.ClassDef) and _public(node.name):
        methods = [m for inner in node.body if (m := _member(inner)) is not None]
        return _described(node, node.name, "class", _class_signature(node), methods)
    return None


def _public(name: str) -> bool:
    return not name.startswith("_")


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name in ("property", "cached_property") for name in names)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = ast.unparse(_without_self(node.args))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({arguments}){returns}"


def _without_self(arguments: ast.arguments) -> ast.arguments:
    every = [*arguments.posonlyargs, *arguments.args]
    if every and every[0].arg in ("self", "cls") and arguments.args:
        return ast.arguments(
            posonlyargs=arguments.posonlyargs,
            args=arguments.args[1:],
            vararg=arguments.vararg,
            kwonlyargs=arguments.kwonlyargs,
            kw_defaults=arguments.kw_defaults,
            kwarg=arguments.kwarg,
            defaults=arguments.defaults,
        )
    return arguments


def _class_signature(node: ast.ClassDef) -> str:
    """The fields of a dataclass, else the arguments of `__init__`; empty if it has neither."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return f"({ast.unparse(_without_self(inner.args))})"
    fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    shown = [f for f in fields if _public(f) and "ClassVar" not in f]
    return f"({', '.join(shown)})" if shown else ""


def _described(
    node: Any, name: str, kind: str, signature: str, members: Sequence[Described]
) -> Described:
    prose, sections = read_docstring(ast.get_docstring(node, clean=True) or "")
    summary = prose.partition("\n\n")[0].replace("\n", " ")
    return Described(name, kind, signature, summary, prose, sections, members)


def read_docstring(text: str) -> tuple[str, list[Section]]:
    """A docstring's prose, and its sections (`Args:`, `Returns:`, `Raises:`, `Attributes:`)."""
    prose: list[str] = []
    sections: list[Section] = []
    title = ""
    body: list[str] | None = None
    for line in [*text.splitlines(), "End:"]:
        heading = _SECTION.match(line)
        if body is not None and (heading or (line and not line.startswith(" "))):
            sections.append(Section(title, _entries(title, body)))
            body = None
        if heading:
            title, body = heading[1], []
        elif body is not None:
            body.append(line)
        elif line != "End:":
            prose.append(line)
    return "\n".join(prose).strip(), sections


def _entries(title: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    """`name: text` pairs; a section of plain text gives one pair without a name."""
    body = inspect.cleandoc("\n".join(lines))
    if title in ("Returns", "Yields"):
        return [("", body)]
    pairs: list[tuple[str, str]] = []
    for line in body.splitlines():
        match = re.match(r"^([*\w][\w*, .|\[\]]*): +(.*)$", line)
        if match:
            pairs.append((match[1], match[2]))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}\n{line.strip()}")
        else:
            pairs.append(("", line.strip()))
    return pairs

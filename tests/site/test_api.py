import importlib

import pytest

from replab import paths
from replab.site.api import module, modules, read_docstring

SOURCE = '''
"""What it is about.

More of it.
"""

from dataclasses import dataclass

LIMIT = 3


def shown(first: int, *rest: str, key: float = 0.5) -> list[int]:
    """Do one thing.

    With a second paragraph.

    Args:
        first: what comes first,
            on two lines.
        rest: the others.

    Returns:
        A list: of numbers.

    Raises:
        ValueError: it is wrong.
    """


def _hidden():
    """Never shown."""


@dataclass
class Thing:
    """A thing.

    Attributes:
        size: in px.
    """

    size: int
    name: str = "x"

    @property
    def area(self) -> int:
        """Of it, in px²."""

    def grow(self, by: int) -> None:
        """Make it larger."""
'''


@pytest.fixture(scope="module")
def library():
    return {d.name: d for d in modules()}


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "made.py"
    path.write_text(SOURCE)
    return module(path, "replab.made")


def test_functions_and_classes_with_signatures(made):
    assert made.summary == "What it is about."
    assert [(m.name, m.kind) for m in made.members] == [("shown", "function"), ("Thing", "class")]
    shown, thing = made.members
    assert shown.signature == "(first: int, *rest: str, key: float=0.5) -> list[int]"
    assert thing.signature == "(size: int, name: str = 'x')"
    assert [(m.name, m.kind, m.signature) for m in thing.members] == [
        ("area", "property", ""),
        ("grow", "function", "(by: int) -> None"),
    ]


def test_sections_of_a_docstring(made):
    shown = made.members[0]
    assert shown.text == "Do one thing.\n\nWith a second paragraph."
    assert [(s.title, list(s.entries)) for s in shown.sections] == [
        ("Args", [("first", "what comes first,\non two lines."), ("rest", "the others.")]),
        ("Returns", [("", "A list: of numbers.")]),
        ("Raises", [("ValueError", "it is wrong.")]),
    ]


def test_prose_after_a_section_is_prose():
    text, sections = read_docstring("First.\n\nArgs:\n    a: one.\n\nLast.")
    assert text.split() == ["First.", "Last."]
    assert list(sections[0].entries) == [("a", "one.")]


def test_every_module_of_the_library_is_there_and_says_what_it_is(library):
    files = [p for p in (paths.root() / "lib/replab").rglob("*.py") if p.name != "__main__.py"]
    assert len(library) == len(files)
    assert all(d.summary for d in library.values())


def test_what_is_read_from_a_file_is_what_python_imports(library):
    described = library["replab.claims.statistics"]
    imported = importlib.import_module(described.name)
    for member in described.members:
        assert getattr(imported, member.name).__doc__.strip().startswith(member.summary[:20])

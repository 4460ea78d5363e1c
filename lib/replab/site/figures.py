"""Which figure of a notebook belongs to which claim, read off the notebook's own calls.

A notebook saves a figure under a name and hands it ids of claims, selectors of numbers and names
of experiments. These say what the figure shows; nobody types a second list of it.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from replab import paths
from replab.claims import selectors
from replab.errors import UserError
from replab.runs.record import Record
from replab.site.statements import PaperEvidence, Statement

# Calls of a session whose words, after those named here, are experiments.
_TAKES_EXPERIMENTS: Mapping[str, int] = {"draw": 1, "draw_printed": 1, "first": 0, "runs": 0}
# Written by code into a template or an f-string: any text may stand there.
_HOLE = "*"


@dataclass(frozen=True)
class Words:
    """What a call was told.

    Attributes:
        texts: every text in it, holes of templates as `*`.
        experiments: names given where a session's methods take experiments.
    """

    texts: frozenset[str] = frozenset()
    experiments: frozenset[str] = frozenset()

    def __or__(self, other: "Words") -> "Words":
        return Words(self.texts | other.texts, self.experiments | other.experiments)


@dataclass(frozen=True)
class Figure:
    """A figure that a rendered notebook saved.

    Attributes:
        file: the smaller of its SVG and its PNG.
        section: the heading above it in the notebook.
        title: what it says above itself, else its name in words.
        words: what its calls were told.
    """

    name: str
    paper: str
    profile: str
    file: Path
    section: str
    title: str
    words: Words

    def names(self, claim: str) -> bool:
        """Whether the call names the claim: its id, a part of it up to a dot, or a pattern."""
        return any(
            "." in word and (fnmatchcase(claim, word) or fnmatchcase(claim, f"{word}.*"))
            for word in self.words.texts
            if " " not in word and "[" not in word
        )

    def draws(self, record: Record) -> bool:
        """Whether the figure is drawn from a run, as far as its call says which runs it takes."""
        wanted = [w for w in map(_selector, self.words.texts) if w is not None]
        of_it = [w for w in wanted if w.experiment == record.experiment]
        if of_it:
            return any(selector.fits(record.variant) for selector in of_it)
        return record.experiment in self.words.experiments

    def cites(self, place: str) -> bool:
        """Whether a text of the figure, or its name, cites a place such as `Table 6`."""
        own_name = re.sub(
            r"^figure-(?=\d)", "Fig. ", re.sub(r"^table-(?=\d)", "Table ", self.name)
        )
        return any(_cites(word, place) for word in (own_name, *self.words.texts))


def _cites(words: str, place: str) -> bool:
    return re.search(rf"{re.escape(place)}(?!\d)", words) is not None


def of_notebook(paper: str, profile: str) -> list[Figure]:
    """The figures that a paper's rendered notebook kept, in its order.

    Raises:
        UserError: the rendered notebook is missing or is no notebook.
    """
    path = paths.root() / "results" / paper / profile / f"{paper}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        shown = path.relative_to(paths.root())
        raise UserError(
            f"{shown} is no readable notebook; restore it from git or replicate {paper} again"
        ) from error
    found = []
    section = ""
    known: dict[str, Words] = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = [line[3:] for line in source.splitlines() if line.startswith("## ")]
            section = headings[-1] if headings else section
            continue
        if cell["cell_type"] != "code":
            continue
        for name, words, title in _saved(source, known):
            file = _smaller(path.parent / "figures", name)
            # Some figures are only drawn where their runs are there.
            if file is not None:
                caption = title or name.replace("-", " ").capitalize()
                found.append(Figure(name, paper, profile, file, section, caption, words))
    return found


def _smaller(folder: Path, name: str) -> Path | None:
    files = [folder / f"{name}.{kind}" for kind in ("svg", "png")]
    return min((f for f in files if f.is_file()), key=lambda f: f.stat().st_size, default=None)


def _saved(source: str, known: dict[str, Words]) -> Iterable[tuple[str, Words, str]]:
    """Figures that a cell saves; `known` learns what its variables were made from."""
    for statement in ast.parse(source).body:
        for call in (n for n in ast.walk(statement) if isinstance(n, ast.Call)):
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            words = _words(call, known)
            if method == "save" and len(call.args) == 2:
                yield _text(call.args[1]), words, _title(call, known)
            elif method in ("draw", "draw_printed"):
                yield _text(call.args[0]), words, _title(call, known)
        if isinstance(statement, ast.Assign | ast.AugAssign):
            targets = (
                statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            )
            made = _words(statement, known)
            for target in targets:
                for node in ast.walk(target):
                    if isinstance(node, ast.Name):
                        known[node.id] = made


def _words(node: ast.AST, known: Mapping[str, Words]) -> Words:
    """The texts and experiments in a piece of code, and in the variables that it uses."""
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
        return Words(frozenset({_template(text)} if text else ()))
    if isinstance(node, ast.JoinedStr):
        return Words(frozenset({_text(node)}))
    if isinstance(node, ast.Name):
        return known.get(node.id, Words())
    found = Words()
    for child in ast.iter_child_nodes(node):
        found |= _words(child, known)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        first = _TAKES_EXPERIMENTS.get(node.func.attr)
        if first is not None:
            for argument in node.args[first:]:
                found |= Words(experiments=_words(argument, known).texts)
    return found


def _text(node: ast.expr) -> str:
    """A text as the code writes it, with `*` where it is filled in."""
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else _HOLE for p in node.values]
        return _template("".join(parts))
    return _template(str(node.value)) if isinstance(node, ast.Constant) else ""


def _template(text: str) -> str:
    pieces = []
    rest = text
    while "{" in rest and "}" in rest.partition("{")[2]:
        before, _, rest = rest.partition("{")
        pieces.append(before + _HOLE)
        rest = rest.partition("}")[2]
    return "".join(pieces) + rest


def _title(call: ast.Call, known: Mapping[str, Words]) -> str:
    """The title that a figure's call gives it; empty if it gives none or several."""
    titles = [
        _words(word.value, known).texts
        for node in ast.walk(call)
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "title"
    ]
    return next(iter(titles[0])) if len(titles) == 1 and len(titles[0]) == 1 else ""


def _selector(text: str) -> selectors.Selector | None:
    if "[" not in text:
        return None
    try:
        # The metric may be a hole; which one does not matter here. A variant's value that is one
        # fits no run, and is left out.
        parsed = selectors.parse(text.replace(f".{_HOLE}", ".any"))
    except ValueError:
        return None
    given = tuple(pair for pair in parsed.variant if _HOLE not in pair[1])
    return selectors.Selector(parsed.experiment, given, parsed.metric)


@dataclass(frozen=True)
class Shown:
    """Figures for a claim.

    Attributes:
        own: figures whose calls name the claim, or that are drawn from its runs and cite its
            place in the paper; where none does, those of its runs that stand in a section of
            the notebook whose heading cites it.
        same_runs: other figures that are drawn from the runs behind the claim.
    """

    own: tuple[Figure, ...]
    same_runs: tuple[Figure, ...]


def of_claim(found: PaperEvidence, statement: Statement, figures: Sequence[Figure]) -> Shown:
    """The figures that belong to a claim.

    Of a figure that several profiles drew, the one of the claim's most telling profile stands.
    """
    supported = statement.claim.supports
    places = {statement.group}
    if supported is not None:
        places |= {s.group for s in found.statements if s.id == supported}
    named: list[Figure] = []
    behind: list[Figure] = []
    here = {f.name for f in figures if f.profile == statement.telling.profile}
    for figure in figures:
        entry = statement.entries.get(figure.profile)
        if entry is None or (figure.profile != statement.telling.profile and figure.name in here):
            continue
        if figure.names(statement.id):
            named.append(figure)
        elif any(figure.draws(found.records[run]) for run in entry.runs):
            behind.append(figure)
    own = [
        *named,
        *(f for f in behind if any(f.cites(place) for place in places)),
    ] or [f for f in behind if any(_cites(f.section, place) for place in places)]
    return Shown(tuple(own), tuple(f for f in behind if f not in own))

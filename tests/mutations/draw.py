"""Draw 60 single-line mutations of the library's code and write them to ``mutations.yaml``.

The draw depends on the seed and the code alone. It was made once, at commit ca55a86; the file it
wrote stays as it is when the code changes, so that measurements before and after can be compared.

Usage: ``python tests/mutations/draw.py [--force]``
"""

import argparse
import ast
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from places import equal_lines

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutations.yaml")
SEED = 20261201
PACKAGES = ("claims", "runs", "keypoints", "metrics")
PER_PACKAGE = 15

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="} | {
    "is": "is not",
    "is not": "is",
    "in": "not in",
    "not in": "in",
}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
BOOLEAN = {"and": "or", "or": "and"}
# Calls whose arguments are messages.
MESSAGES = {"print", "warn", "warning", "info", "debug", "error", "log", "say"}

# Drawn, read and left out: file, function and mutated line, and the reason.
SKIPPED = {
    (
        "lib/replab/claims/paper_file.py",
        "Tolerance._numbers_fit_rule",
        'expected = ", ".join(sorted(wanted)) and "no numbers"',
    ): "changes the message of an error only",
    (
        "lib/replab/claims/statistics.py",
        "combine_by_seed",
        "for seed in list(seeds)",
    ): "the order of the seeds changes no mean and no interval",
    (
        "lib/replab/runs/kept_weights.py",
        "find_record",
        'found = list((store.folder / "runs").glob(f"*/{run}.json"))',
    ): "an id belongs to one paper, so there is at most one file",
    (
        "lib/replab/runs/record.py",
        "parse",
        "unknown = list(set(values) - known)",
    ): "changes the message of an error only",
    (
        "lib/replab/keypoints/suppression.py",
        "_alike",
        "step = min(1, PAIRS // max(1, len(one)))",
    ): "changes how much is computed at once, and so the speed only",
    (
        "lib/replab/metrics/pck.py",
        "bootstrap",
        "step = min(1, CHUNK // people)",
    ): "changes how much is computed at once, and so the speed only",
    (
        "lib/replab/metrics/coco_entries.py",
        "kind",
        "if not (isinstance(value, bool)):",
    ): "changes the messages of errors only",
}

Mutation = dict[str, str | int]
Edit = tuple[str, int, int, str]  # kind, first byte, end byte, new text


class Source:
    """A file's bytes, and where its nodes lie in them."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.tree = ast.parse(self.data)
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        """Offset of a node's first byte."""
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.AST) -> int:
        """Offset after a node's last byte."""
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        """A node's source."""
        return self.data[self.start(node) : self.end(node)].decode()

    def operator(self, left: ast.AST, right: ast.AST, swaps: dict[str, str]) -> Iterator[Edit]:
        """The swap of the operator that stands between two nodes."""
        begin = self.end(left)
        between = self.data[begin : self.start(right)].decode()
        found = re.fullmatch(r"([\s)]*)([^\s()]+(?: (?:not|in))?)([\s(]*)", between)
        if found and found[2] in swaps:
            place = begin + found.start(2)
            yield "operator", place, place + len(found[2]), swaps[found[2]]


def edits(source: Source, node: ast.AST) -> Iterator[Edit]:
    """The mutations of one node, not of those below it."""
    where = source.start(node), source.end(node)
    match node:
        case ast.Compare():
            for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
                yield from named("comparison", source.operator(left, right, COMPARISONS))
        case ast.BinOp() if not (is_text(node.left) or is_text(node.right)):
            yield from named("arithmetic", source.operator(node.left, node.right, ARITHMETIC))
        case ast.BoolOp():
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from named("boolean", source.operator(left, right, BOOLEAN))
        case ast.UnaryOp(op=ast.Not()):
            yield "not removed", where[0], source.start(node.operand), ""
        case ast.Constant(value=bool()):
            yield "true and false", *where, str(not node.value)
        case ast.Constant(value=int() | float()):
            step = 0.1 if isinstance(node.value, float) and abs(node.value) < 1 else 1
            yield "number", *where, repr(round(node.value + step, 10))
        case ast.Return(value=ast.expr()) if source.text(node) != "return None":
            yield "return None", *where, "return None"
        case ast.Call(func=ast.Name(id=("min" | "max") as name)):
            other = {"min": "max", "max": "min"}[name]
            yield "min and max", where[0], source.end(node.func), other
        case ast.Call(func=ast.Attribute(attr=("min" | "max") as name)):
            other = {"min": "max", "max": "min"}[name]
            yield "min and max", source.end(node.func) - 3, source.end(node.func), other
        case ast.Call(func=ast.Name(id="sorted")):
            yield "sorted to list", *where, f"list({source.text(node.args[0])})"
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        test = node.test
        yield "condition", source.start(test), source.end(test), f"not ({source.text(test)})"


def named(kind: str, found: Iterator[Edit]) -> Iterator[Edit]:
    """The same edits under another kind."""
    return ((kind, *rest) for _, *rest in found)


def is_text(node: ast.AST) -> bool:
    """Whether a node is a string or a list, which are joined by + rather than added."""
    literal = isinstance(node, ast.JoinedStr | ast.List | ast.Tuple)
    return literal or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_message(node: ast.AST) -> bool:
    """Whether a node is no code that computes: a message, an assertion, a list of exports."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", "")) in MESSAGES
    if isinstance(node, ast.Assign):
        return any(getattr(target, "id", "") == "__all__" for target in node.targets)
    return isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom)


def walk(
    node: ast.AST, function: str, default: bool = False
) -> Iterator[tuple[ast.AST, str, bool]]:
    """Nodes that run, each with the qualified name of its function, and whether in a default."""
    if is_message(node):
        return
    yield node, function, default
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        inner = node.name if function == "<module>" else f"{function}.{node.name}"
    else:
        inner = function
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walk(child, inner, default or isinstance(node, ast.arguments))


def mutations(path: Path) -> Iterator[Mutation]:
    """All mutations of a file that change one line and still compile."""
    source = Source(path)
    text = source.data.decode()
    lines = text.split("\n")
    for node, function, default in walk(source.tree, "<module>"):
        for kind, begin, end, new in edits(source, node) if hasattr(node, "lineno") else ():
            changed = (source.data[:begin] + new.encode() + source.data[end:]).decode().split("\n")
            number = source.data[:begin].count(b"\n")
            if len(changed) != len(lines) or not compiles("\n".join(changed)):
                continue
            line = lines[number].strip()
            yield {
                "file": path.relative_to(ROOT).as_posix(),
                "function": function,
                "kind": "default" if default else kind,
                "line": line,
                "mutated": changed[number].strip(),
                "index": equal_lines(text, function, line).index(number),
            }


def compiles(text: str) -> bool:
    """Whether Python takes a text as a module."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def draw(package: str, chance: random.Random) -> list[Mutation]:
    """The mutations of a package: each kind in turn, by chance within a kind, one of a line."""
    by_kind: dict[str, list[Mutation]] = {}
    for path in sorted((ROOT / "lib/replab" / package).rglob("*.py")):
        for mutation in mutations(path):
            by_kind.setdefault(str(mutation["kind"]), []).append(mutation)
    kinds = sorted(by_kind)
    chance.shuffle(kinds)
    for kind in kinds:
        chance.shuffle(by_kind[kind])
    taken: dict[tuple[object, ...], Mutation] = {}
    for kind in itertools.cycle(kinds):
        if len(taken) == PER_PACKAGE:
            return list(taken.values())
        while by_kind[kind]:
            mutation = by_kind[kind].pop()
            place = tuple(mutation[key] for key in ("file", "function", "line", "index"))
            if tuple(mutation[key] for key in ("file", "function", "mutated")) in SKIPPED:
                continue
            if place not in taken:
                taken[place] = mutation
                break
    raise AssertionError("the kinds never end")


def main() -> None:
    """Draw and write the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="replace the list that is there")
    force = parser.parse_args().force
    if LIST.exists() and not force:
        raise SystemExit(f"{LIST} is there already; --force replaces it")
    chance = random.Random(SEED)
    drawn = [mutation for package in PACKAGES for mutation in draw(package, chance)]
    named = [{"id": f"m{number:02}", **mutation} for number, mutation in enumerate(drawn, 1)]
    LIST.write_text(yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    main()

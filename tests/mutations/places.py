"""Where a line of code belongs: what drawing and applying mutations share."""

import ast
import functools


@functools.cache
def scopes(text: str) -> list[str]:
    """The qualified name of the innermost function or class of each line, else ``<module>``."""
    names = ["<module>"] * len(text.split("\n"))

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{outer}.{child.name}".removeprefix("<module>.")
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                names[first - 1 : child.end_lineno] = [name] * (child.end_lineno - first + 1)
            visit(child, name)

    visit(ast.parse(text), "<module>")
    return names


def equal_lines(text: str, function: str, line: str) -> list[int]:
    """Numbers, from 0, of the lines of a function that read ``line`` without their indentation."""
    pairs = zip(text.split("\n"), scopes(text), strict=True)
    return [
        n for n, (found, name) in enumerate(pairs) if (found.strip(), name) == (line, function)
    ]

"""The graph of imports, read from the syntax trees: late imports and imports by string included."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
DOTTED = re.compile(r"rooflab(\.[a-z_][a-z0-9_]*)+")


@dataclass(frozen=True)
class Import:
    """`importer` imports the module `imported` (and `name` from it); `how` is "statement", "string" or "types" (for
    checking only)."""

    importer: str
    imported: str
    name: str
    how: str
    line: int


@cache
def modules() -> Mapping[str, Path]:
    """Path of every module by dotted name; a package is named without ``__init__``."""
    found = {}
    for path in sorted((SOURCE / "rooflab").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> tuple[Import, ...]:
    """Every import of one of our modules by another."""
    return tuple(
        found for module, path in modules().items() for found in _of(module, ast.parse(path.read_text("utf-8")))
    )


def _of(module: str, tree: ast.Module) -> Iterator[Import]:
    types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _checking(node.test)
        for inner in ast.walk(node)
    }
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    # the package whose data files are read: a folder, not code
    folders = {id(node.args[0]) for node in ast.walk(tree) if isinstance(node, ast.Call) and _files(node.func)}
    for node in ast.walk(tree):
        how = "types" if id(node) in types else "statement"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "rooflab":
                    yield Import(module, alias.name, "", how, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            if node.module and node.module.split(".")[0] == "rooflab":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    whole = inner in modules()
                    yield Import(module, inner if whole else node.module, "" if whole else alias.name, how, node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | folders:
            named = node.value.partition(":")[0]
            if DOTTED.fullmatch(named) and named in modules():
                yield Import(module, named, "", "string", node.lineno)


def _checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _files(function: ast.expr) -> bool:
    return getattr(function, "id", "") == "files" or getattr(function, "attr", "") == "files"


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for to in sorted(edges.get(node, ())):
            if to not in index:
                visit(to)
                low[node] = min(low[node], low[to])
            elif to in stack:
                low[node] = min(low[node], index[to])
        if low[node] == index[node]:
            at = stack.index(node)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found

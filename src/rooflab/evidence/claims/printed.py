"""Published numbers in a paper's code: literals, arithmetic of literals and texts that spell numbers are found anywhere
in its modules and in what they import from `rooflab.domains`: functions, classes, defaults, tables of the module.

A number counts as found within 2 %, since a constant that is one per cent off its answer is still the answer. Small
whole numbers and a few plain shares may stand in any code; whether a figure hangs on them is for the other parts of the
audit. What stands in the code for another reason is named in KEY.yaml (``numbers: {60: seconds of a minute}``). What
the code asks for beside its lab is looked at, too (`asks`).

What is held against a number (compared with it, a difference from it) is kept farther away: within a quarter of what
was published it is a goal or a window that something is looked for by.
"""

from __future__ import annotations

import ast
import math
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from rooflab.evidence.claims.asks import asks_for
from rooflab.evidence.claims.folded import folded, spelled, tree
from rooflab.papers.registry import source_of

__all__ = ["answers_in_code", "is_plain", "sources_of"]

NEAR: Final = 0.02
_ABOUT: Final = 1.25
"""Times a published number, or a part of it, up to which nothing is compared with a number of the code."""
_HOLD: Final = (
    "isclose", "allclose", "clip", "searchsorted", "bisect", "bisect_left", "bisect_right", "interp",
)  # fmt: skip
"""Calls that hold something against a number."""
_PLAIN: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_LIBRARIES: Final = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))
"""Where libraries are installed."""


def is_plain(x: float) -> bool:
    """Whether any code may contain `x` without having copied it: whole numbers up to 16, powers of two, a few
    shares."""
    if abs(x) in _PLAIN or (x == int(x) and abs(x) <= 16):
        return True
    return x > 0 and math.log2(x) == int(math.log2(x))


def answers_in_code(
    expected: Iterable[float], files: Iterable[Path], allowed: Collection[float] = (), sourced: Collection[float] = ()
) -> str:
    """Which of `expected` stands in `files`, and where, or where they read it from KEY.yaml; empty if neither. What is
    `sourced` (constants of KEY.yaml) may have something compared with it."""
    telling = [x for x in expected if not is_plain(x) and not any(_near(x, a) for a in allowed)]
    for path in files:
        read = _asks(path)
        if read:
            return read
        for number, line in _numbers(path):
            for x in telling:
                if number == x or (_near(number, x) and not is_plain(number)):
                    return f"{path.name}:{line} contains {number:g}, where {x:g} was published"
        for number, line in _compared(path):
            for x in telling:
                if not (is_plain(number) or number in sourced) and 1 / _ABOUT <= number / x <= _ABOUT:
                    return f"{path.name}:{line} holds something against {number:g}, about where {x:g} was published"
    return ""


@cache
def sources_of(file: Path) -> tuple[Path, ...]:
    """The modules of the paper in `file`, those of its folder that it imports (a package's are all of it), and domains.

    `file` comes first.
    """
    pending = [file, *(sorted(file.parent.rglob("*.py")) if file.stem == "paper" else ())]
    found: dict[Path, None] = {}
    while pending:
        path = pending.pop(0)
        if path in found:
            continue
        found[path] = None
        pending += [p for p in _imported(path) if p.is_relative_to(file.parent) or "domains" in p.parts[:-1]]
        pending += _neighbours(path)
    return tuple(found)


def _neighbours(path: Path) -> Iterator[Path]:
    """Sources of the modules that a file imports and that are neither of Python, of Rooflab, of its own package nor
    installed as libraries are: they belong to the paper, whatever they are called."""
    names = [a.name for n in ast.walk(tree(path)) if isinstance(n, ast.Import) for a in n.names]
    names += [str(n.module) for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom) and not n.level]
    for name in dict.fromkeys(names):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("rooflab", _package(path)):
            continue
        origin = source_of(name)
        if origin is not None and not any(origin.is_relative_to(folder) for folder in _LIBRARIES):
            yield origin


def _imported(path: Path) -> Iterator[Path]:
    """Sources of the modules beside `path`, and of domains, that a file imports."""
    for node in ast.walk(tree(path)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if node.level else None
            if base is not None:
                inside = base.joinpath(*(node.module or "").split(".")) if node.module else base
                yield from (p for a in node.names for p in _files(inside) + _files(inside / a.name))
                continue
            names = [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
        for name in names:
            parts = name.split(".")
            yield from _files(path.parent.joinpath(*parts))  # a script's neighbour
            if parts[0] == _package(path):
                yield from _files(_root(path).joinpath(*parts))
            elif name.startswith("rooflab.domains."):
                origin = source_of(name)
                if origin is not None:
                    yield origin


def _files(module: Path) -> list[Path]:
    return [p for p in (module.with_name(f"{module.name}.py"), module / "__init__.py") if p.is_file()]


def _root(path: Path) -> Path:
    """The folder that the package of a file lies in."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _package(path: Path) -> str:
    return path.relative_to(_root(path)).parts[0]


@cache
def _asks(path: Path) -> str:
    return asks_for(tree(path), path.name)


@cache
def _numbers(path: Path) -> tuple[tuple[float, int], ...]:
    """Every number that the code of a file spells, with its line."""
    module = tree(path)
    docs = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.expr) and id(node) not in docs:
            value = folded(node)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                found.append((float(value), node.lineno))
            elif isinstance(value, str) and (number := spelled(value)) is not None:
                found.append((number, node.lineno))
    return tuple(found)


@cache
def _compared(path: Path) -> tuple[tuple[float, int], ...]:
    """Numbers that the code of a file compares something with, or takes from it, with the line: spelled there, or by a
    name that is given a number anywhere in it."""
    module = tree(path)
    named: dict[str, list[Any]] = {}
    for node in ast.walk(module):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and isinstance(node, (ast.Assign, ast.AnnAssign))
                and node.value is not None
            ):
                named.setdefault(target.id, []).append(folded(node.value))
    found = []
    for node in ast.walk(module):
        for one in _held(node):
            name = one.id if isinstance(one, ast.Name) else one.attr if isinstance(one, ast.Attribute) else ""
            for value in named.get(name, ()) if name else (folded(one),):
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    found.append((float(value), one.lineno))
    return tuple(found)


def _held(node: ast.AST) -> Iterable[ast.expr]:
    """What stands on either side of a comparison or a difference."""
    if isinstance(node, ast.Compare):
        return (node.left, *node.comparators)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and folded(node) is None:
        return (node.left, node.right)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return node.args if name in _HOLD else ()
    return ()


def _near(number: float, expected: float) -> bool:
    return number == expected or abs(number - expected) <= NEAR * abs(expected)

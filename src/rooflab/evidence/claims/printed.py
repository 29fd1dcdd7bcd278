"""Published numbers in a paper's code: literals, arithmetic of literals and texts that spell numbers are found anywhere
in its modules and in what they import from `rooflab.domains`: functions, classes, defaults, tables of the module.

A number counts as found within 2 %, since a constant that is one per cent off its answer is still the answer. Small
whole numbers and a few plain shares may stand in any code; whether a figure hangs on them is for the other parts of the
audit. What stands in the code for another reason is named in KEY.yaml (``numbers: {60: seconds of a minute}``). Nor may
the code ask for what KEY.yaml states, for what it says of itself, for its machine or for what the audit changes.

What is held against a number (compared with it, a difference from it) is kept farther away: within a quarter of what
was published it is a goal or a window that something is looked for by.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from rooflab.papers.registry import source_of

__all__ = ["answers_in_code", "folded", "is_plain", "sources_of", "tree"]

NEAR: Final = 0.02
_ABOUT: Final = 1.25
"""Times a published number, or a part of it, up to which nothing is compared with a number of the code."""
_HOLD: Final = (
    "isclose", "allclose", "clip", "searchsorted", "bisect", "bisect_left", "bisect_right", "interp",
)  # fmt: skip
"""Calls that hold something against a number."""
_PLAIN: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_STATED: Final = ("stated", "expect", "claims", "left_out", "read_facts", "constants")
_ITSELF: Final = (
    "hash", "eval", "exec", "compile", "globals", "locals", "vars", "dir", "inspect", "getattr_static", "_getframe",
    "__doc__", "__name__", "__qualname__", "__code__", "__annotations__", "__defaults__", "__kwdefaults__", "__dict__",
)  # fmt: skip
"""What code learns of itself by: names, documentation, digests of them."""
_AROUND: Final = ("environ", "getenv", "argv", "condition")
"""What code learns of its machine by, and of the audit: none of it is handed over by a lab."""
_DECODERS: Final = (
    "fromhex", "literal_eval", "b64decode", "b85decode", "a85decode", "unhexlify", "fromisoformat", "strptime",
)  # fmt: skip
"""What turns a text into numbers, and breaks when the text is respelled."""
_WHY: Final = {
    **dict.fromkeys(_STATED, "where published figures stand"),
    **dict.fromkeys(_ITSELF, "numbers can be read out of what code says of itself"),
    **dict.fromkeys(_AROUND, "what a claim follows is handed over by its lab"),
    **dict.fromkeys(_DECODERS, "numbers are handed over as numbers, not as texts"),
}
_LIBRARIES: Final = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))
"""Where libraries are installed."""
_BY_TEXT: Final = ("getattr", "attrgetter", "methodcaller")
_REGISTERS: Final = ("technique", "method", "claim", "setup", "draws")
"""What code does with its paper."""
_ARITHMETIC: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


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
        read = _read_from_facts(path)
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
def tree(path: Path) -> ast.Module:
    """The code of a file, parsed."""
    return ast.parse(path.read_text("utf-8"))


@cache
def _read_from_facts(path: Path) -> str:
    """Where the code of a paper asks for what KEY.yaml states, or for another thing that it is not handed."""
    module = tree(path)
    told = {id(inner) for text in ast.walk(module) if isinstance(text, ast.JoinedStr) for inner in ast.walk(text)}
    registers = {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Attribute) and n.attr in _REGISTERS}
    for node in ast.walk(module):
        name = _asked_for(node)
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if name in _WHY and not (name == "__name__" and id(node) in told):
            return f"{where} asks for {name!r}: {_WHY[name]}"
        if _is_paper(node) and id(node) not in registers:
            return f"{where} asks for 'paper', which is there to register with: it holds what KEY.yaml states"
    return ""


def _asked_for(node: ast.AST) -> str:
    """The name that an expression asks for: of a variable, of an attribute, or the text that `getattr` is given."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _BY_TEXT:
        texts = (x.partition(".")[0] for x in map(folded, node.args) if isinstance(x, str))
        return next((x for x in texts if x in _WHY), "")
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_paper(node: ast.AST) -> bool:
    """Whether an expression reads the module's `paper`."""
    return isinstance(node, ast.Name) and node.id == "paper" and isinstance(node.ctx, ast.Load)


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
            elif isinstance(value, str) and (number := _spelled(value)) is not None:
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


def folded(node: ast.expr) -> Any:
    """The value of literals and of arithmetic over them; None where something else takes part."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, (int, float, str, bytes)) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = folded(node.operand)
        return None if not isinstance(inner, (int, float)) else -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = folded(node.left), folded(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Pow) and isinstance(right, (int, float)) and abs(right) > 64:
            return None
        try:
            return _ARITHMETIC[type(node.op)](left, right)
        except (ArithmeticError, TypeError, ValueError):
            return None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "int"):
        inner = folded(node.args[0]) if len(node.args) == 1 else None
        return inner if isinstance(inner, (int, float)) else _spelled(inner) if isinstance(inner, str) else None
    return None


def _spelled(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _near(number: float, expected: float) -> bool:
    return number == expected or abs(number - expected) <= NEAR * abs(expected)

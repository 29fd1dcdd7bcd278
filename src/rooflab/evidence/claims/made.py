"""Numbers that a paper's code makes by itself: of lengths, texts, keys, names, libraries, counts of its own loops.

Followed from what is written alone: an expression of literals, of names that were given such expressions, of what is
imported, and of calls of those is the same in every lab. One that comes to a number is changed while the claim runs
again, like a number that is spelled (`hidden`). So is what is read out of a text (a length, a number that it spells),
wherever the text comes from. What a lab hands over, what Rooflab says, and what KEY.yaml names with a source is not
looked at.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from rooflab.evidence.claims.folded import folded, tree
from rooflab.evidence.claims.literals import STRUCTURE, Place, asked_of_lab, is_place

__all__ = ["MAKE", "READ", "Made", "applied", "made", "made_in", "numeric", "reads"]

MAKE: Final = "__made__"
READ: Final = "__reads__"
"""Names under which changed code finds `made` and `reads`."""
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_MAKES_NONE: Final = (
    ast.Constant, ast.Compare, ast.Lambda, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Starred, ast.Slice,
)  # fmt: skip
"""What is no number by itself; what stands in it may be."""
_READERS: Final = ("float", "int", "len", "ord", "complex", "sum", "Decimal", "Fraction")
_READING: Final = ("count", "index", "find", "rfind", "numeric", "digit", "decimal", "from_bytes", "frombuffer")
_SAME_EVERYWHERE: Final = {"library", "domains", "catalogue", "metrics"}
"""Rooms of papers' own code, and of facts that are the same whatever a lab hands over."""

applied: dict[str, float] = {}
"""By how much what was made has been changed in the last run, as a logarithm, by place."""
numeric: set[str] = set()
"""Places where what was made has been a number in any run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An expression that makes a number, or the function that reads one out of a text (`reads`), in `top` of `file`."""

    file: Path
    place: Place
    top: str
    text: str
    reads: bool = False

    @property
    def key(self) -> str:
        """What tells it from others."""
        return f"{self.file}:{self.place}"

    def __str__(self) -> str:
        return f"{self.text[:40]!r} in {self.file.name}:{self.place[0]}"

    def around(self, node: ast.expr, factor: float) -> ast.expr:
        """The expression with what it makes times `factor`."""
        arguments: list[ast.expr] = [node, ast.Constant(factor), ast.Constant(self.key)]
        call = ast.Call(ast.Name(READ if self.reads else MAKE, ast.Load()), arguments, [])
        return ast.fix_missing_locations(ast.copy_location(call, node))


def made(value: Any, factor: float, key: str) -> Any:
    """`value` times `factor` where it is a number that is no unit or count of one or two; whole ones stay whole."""
    kind = type(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, complex)) or abs(value) in STRUCTURE:
        return value
    other: Any = value * factor
    if isinstance(value, int):
        other = round(other) if round(other) != value else value + (1 if factor > 1 else -1)
    numeric.add(key)
    if other and value:
        applied[key] = max(applied.get(key, 0.0), abs(math.log(abs(other / value))))
    return kind(other)


def reads(function: Callable[..., Any], factor: float, key: str) -> Callable[..., Any]:
    """`function`, with its result times `factor` where it is given a text."""

    def reading(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        given = (*arguments, getattr(function, "__self__", None))
        return made(result, factor, key) if any(isinstance(x, (str, bytes)) for x in given) else result

    return reading


def made_in(files: Sequence[Path], named: Collection[str]) -> list[Made]:
    """What makes numbers in modules; `named` are the constants of KEY.yaml."""
    called = _calls(tuple(files))
    found: list[Made] = []
    for file in files:
        scope = _Scope(names=_modules_names(file), named=frozenset(named), called=called)
        look = _Look(file, scope)
        for node in tree(file).body:
            look.visit(node, scope)
        found += look.found
    return found


@dataclass(slots=True)
class _Scope:
    """Names as a function sees them: True where every value is written down in the code, False where it may not be."""

    names: dict[str, bool]
    named: frozenset[str]
    called: Mapping[str, tuple[ast.Call, ...] | None]
    counters: set[str] = field(default_factory=set)

    def static(self, node: ast.AST) -> bool:
        """Whether an expression is the same in every lab."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, hasattr(builtins, node.id))
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.JoinedStr, ast.NamedExpr)):
            return False
        if isinstance(node, _COMPREHENSIONS):
            inner = self.within(node)
            return all(map(inner.static, ast.iter_child_nodes(node)))
        if isinstance(node, ast.Lambda):
            return self.with_names(_arguments(node), True).static(node.body)
        return all(map(self.static, ast.iter_child_nodes(node)))

    def with_names(self, names: Iterable[str], known: bool) -> _Scope:
        """The scope with further names, all of which are written down or none."""
        return _Scope({**self.names, **dict.fromkeys(names, known)}, self.named, self.called, self.counters)

    def within(self, node: _Comprehension) -> _Scope:
        """The scope inside of a comprehension: what goes through something that varies varies, too."""
        scope = self
        for g in node.generators:
            scope = scope.with_names(_stored(g.target), scope.static(g.iter) and all(map(scope.static, g.ifs)))
        return scope

    def sourced(self, node: ast.AST) -> bool:
        """Whether something in an expression is named in KEY.yaml."""
        known = {name.rpartition(".")[2] for name in self.named}
        return any(
            (n.id if isinstance(n, ast.Name) else n.attr) in known
            for n in ast.walk(node)
            if isinstance(n, (ast.Name, ast.Attribute))
        )


@dataclass(slots=True)
class _Look:
    """A walk through one module for the widest expressions that make numbers."""

    file: Path
    module: _Scope
    owner: str = ""
    found: list[Made] = field(default_factory=list)

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        """Add what makes numbers in `node`."""
        outer, name = self.owner, getattr(node, "name", "") or next(_targets(node), "")
        if name and not isinstance(node, (ast.For, ast.ExceptHandler)):
            self.owner = f"{outer}.{name}" if outer else name
        self._visit(node, scope)
        self.owner = outer

    def _visit(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(isinstance(d, ast.Attribute) and d.attr == "draws" for d in node.decorator_list):
                return
            inner = _inside(node, scope)
            for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d)):
                self.visit(default, scope)
            for statement in node.body:
                self.visit(statement, inner)
            return
        if isinstance(node, (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)):
            return
        if isinstance(node, ast.expr) and self._adds(node, scope):
            return
        if isinstance(node, _COMPREHENSIONS):
            scope = scope.within(node)
        if isinstance(node, ast.Lambda):
            scope = scope.with_names(_arguments(node), False)
        for child in self._parts(node):
            self.visit(child, scope)

    def _parts(self, node: ast.AST) -> Iterable[ast.AST]:
        """What in a node may make numbers."""
        if isinstance(node, ast.AnnAssign):
            return [node.value] if node.value else []
        if isinstance(node, ast.ClassDef):
            return node.body
        if isinstance(node, ast.Subscript):
            return [node.value] if is_place(node.slice) else [node.value, node.slice]
        if isinstance(node, ast.Call):
            asked = asked_of_lab(node)
            if getattr(node.func, "id", "") in _READERS or getattr(node.func, "attr", "") in _READING:
                self._add(node.func, reads=True)
            of = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            return [*of, *(a for a in (*node.args, *(k.value for k in node.keywords)) if a not in asked)]
        return ast.iter_child_nodes(node)

    def _adds(self, node: ast.expr, scope: _Scope) -> bool:
        """Whether an expression is written down whole, and so looked at as one; it is added if it may make a number."""
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or not scope.static(node):
            return False
        if isinstance(node, ast.Name):
            if node.id in scope.counters:
                self._add(node)
            return True
        if isinstance(node, _MAKES_NONE):
            return isinstance(node, (ast.Constant, ast.Compare))
        if folded(node) is not None or not scope.sourced(node):
            if folded(node) is None:
                self._add(node)
            return True
        return isinstance(node, ast.Attribute)

    def _add(self, node: ast.expr, *, reads: bool = False) -> None:
        if any(self.owner == n or self.owner.startswith(f"{n}.") for n in self.module.named):
            return
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        top = self.owner.partition(".")[0]
        self.found.append(Made(file=self.file, place=place, top=top, text=ast.unparse(node), reads=reads))


def _inside(node: ast.FunctionDef | ast.AsyncFunctionDef, outer: _Scope) -> _Scope:
    """Names as the body of a function sees them."""
    every = list(_arguments(node))
    scope = _Scope({**outer.names, **dict.fromkeys(every, False)}, outer.named, outer.called)
    for i, argument in enumerate([*node.args.posonlyargs, *node.args.args]):
        calls = outer.called.get(node.name) if argument.arg != "self" else None
        if calls and all(_given(c, i, argument.arg, outer) for c in calls):
            scope.names[argument.arg] = True
    body = list(_own_statements(node))
    stored = {n: True for s in body for n in _targets(s)}
    scope.names.update({n: stored[n] for n in stored if n not in every})
    scope.names.update(dict.fromkeys(_filled(body), False))
    for _ in range(len(stored) + 1):  # what depends on what varies varies, too
        before = dict(scope.names)
        for statement, condition in _conditioned(node.body, ()):
            value = statement.iter if isinstance(statement, ast.For) else getattr(statement, "value", None)
            varies = value is not None and not scope.static(value)
            if varies or any(not scope.static(c) for c in condition) or isinstance(statement, ast.With):
                scope.names.update(dict.fromkeys(_targets(statement), False))
        if before == scope.names:
            break
    scope.counters = {n for s in body if isinstance(s, (ast.AugAssign, ast.For)) for n in _targets(s)}
    return scope


def _given(call: ast.Call, place: int, name: str, scope: _Scope) -> bool:
    """Whether a call gives a parameter what is written down."""
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return False
    named = next((k.value for k in call.keywords if k.arg == name), None)
    value = call.args[place] if place < len(call.args) and isinstance(call.func, ast.Name) else named
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and scope.names.get(value.id, False))


def _conditioned(
    body: Iterable[ast.stmt], under: tuple[ast.expr, ...]
) -> Iterator[tuple[ast.stmt, tuple[ast.expr, ...]]]:
    """Statements of a body with what they are under: tests and iterables."""
    for statement in body:
        yield statement, under
        held = [getattr(statement, name) for name in ("test", "iter") if hasattr(statement, name)]
        for name in ("body", "orelse", "finalbody"):
            yield from _conditioned(getattr(statement, name, ()) if not _defines(statement) else (), (*under, *held))
        for handler in getattr(statement, "handlers", ()):
            yield from _conditioned(handler.body, under)


def _defines(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def _own_statements(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.stmt]:
    yield from (statement for statement, _ in _conditioned(node.body, ()))


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    yield from (a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg))


def _filled(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names of what is filled as it goes (by a method, in a statement of its own), and of functions within."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield statement.name
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            yield from _stored(call.func.value)


def _targets(statement: ast.AST) -> Iterator[str]:
    """Names that a statement gives something."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _stored(target)
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign, ast.For)):
        yield from _stored(statement.target)
    elif isinstance(statement, ast.With):
        for item in statement.items:
            yield from _stored(item.optional_vars) if item.optional_vars is not None else ()


def _stored(target: ast.expr) -> Iterator[str]:
    """Names in a target; of an entry or attribute the name that has it, which then varies with it."""
    yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


@cache
def _modules_names(file: Path) -> dict[str, bool]:
    """Names of a module: what is imported from Rooflab's rooms varies with them."""
    names: dict[str, bool] = {"__file__": False}
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            source = str(getattr(node, "module", "") or node.names[0].name)
            rooms = source.split(".")
            ours = rooms[0] == "rooflab" and not _SAME_EVERYWHERE & set(rooms[1:2])
            names |= {(a.asname or a.name).partition(".")[0]: not ours for a in node.names}
    for node in tree(file).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = True
        if isinstance(node, ast.For):
            names |= dict.fromkeys(_stored(node.target), _Scope(names, frozenset(), {}).static(node.iter))
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            static = _Scope(names, frozenset(), {}).static(node.value)
            names |= dict.fromkeys(_targets(node), static)
    return names


@cache
def _calls(files: tuple[Path, ...]) -> Mapping[str, tuple[ast.Call, ...] | None]:
    """Calls of each function of modules; None where it is handed on, or more is done with it."""
    found: dict[str, tuple[ast.Call, ...] | None] = {}
    for file in files:
        module = tree(file)
        calls = {id(n.func): n for n in ast.walk(module) if isinstance(n, ast.Call)}
        for node in ast.walk(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list:
                found[node.name] = None
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                name = node.id if isinstance(node, ast.Name) else node.attr
                so_far = found.get(name, ())
                call = calls.get(id(node))
                found[name] = None if call is None or so_far is None else (*so_far, call)
    return found

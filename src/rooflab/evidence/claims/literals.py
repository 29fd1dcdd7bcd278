"""Numbers and texts that a paper's code spells, each with what it stands for.

A number is looked at as it is written out in full: ``7777 / 100`` and ``float("77" + "77")`` are one number each. What
needs no source is structure (0, 1, 2, a half, powers of ten, units of time and of bytes), a place in a sequence, digits
that are shown, a setting with a name (a parameter of a technique or method), what a lab is handed, and what only a plot
shows. `named` are the constants of KEY.yaml, by the name that the code gives them: ``LAUNCH_S`` of a module,
``Growth.noise`` of a class, ``policy.gap`` of a function's argument or variable.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from rooflab.evidence.claims.folded import folded, tree

__all__ = ["STRUCTURE", "Literal", "Place", "asked_of_lab", "is_place", "literals", "reached"]

Place = tuple[int, int, int | None, int | None]
"""Line and column where an expression begins and ends."""

STRUCTURE: Final = frozenset(
    {
        0.0,
        1.0,
        2.0,
        0.5,
        60.0,
        3600.0,
        86400.0,
        8.0,
        *(10.0**k for k in range(-15, 19) if k),
        *(1024.0**k for k in range(1, 6)),
    }
)
"""Counts, halves and units: what may stand in a formula without a source."""
_HANDED: Final = ("data", "assume", "scenario", "hardware", "model", "sample", "rng", "table")
"""What a lab is asked for by: the audit changes what it hands over. What a scenario is made of (set-up)
is also a number as any other where a figure takes it from there as it is."""
_TELLS: Final = (
    "require",
    "InputError",
    "Infeasible",
    "needed",
    "Figure",
    "Outcome",
    "Series",
    "Plot",
    "claim",
    "setup",
)
"""What people read, and what things are called."""
_WITH_A_NAME: Final = ("Technique", "Method")


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A number or text of the code: where, in what (`owner`, dotted: function, variable, class), and what it stands for
    (`role`; empty: nothing that is known)."""

    file: Path
    place: Place
    value: float | str | bytes
    owner: str
    role: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return not isinstance(self.value, (str, bytes))

    @property
    def top(self) -> str:
        """The function, class or name of the module that it belongs to."""
        return self.owner.partition(".")[0]

    def __str__(self) -> str:
        shown = f"{self.value:g}" if isinstance(self.value, (int, float)) else repr(self.value)[:40]
        return f"{shown} in {self.file.name}:{self.place[0]}"


@dataclass(slots=True)
class _Walk:
    """A walk through one module."""

    file: Path
    handed: frozenset[str]
    named: tuple[str, ...]
    allowed: tuple[float, ...]
    found: list[Literal] = field(default_factory=list)

    def visit(self, node: ast.AST, owner: str, role: str) -> None:
        """Add what stands in `node`, a part of `owner`; `role` is what it stands for, if that is known."""
        if isinstance(node, ast.expr):
            value = folded(node)
            if value is not None:
                self._add(node, value, owner, role)
                return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._function(node, owner, role)
        elif isinstance(node, ast.ClassDef):
            self._class(node, owner, role)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            self._assignment(node, owner, role)
        elif isinstance(node, ast.Call):
            self._call(node, owner, role)
        elif isinstance(node, ast.Subscript):
            self.visit(node.value, owner, role)
            self.visit(node.slice, owner, role or ("index" if is_place(node.slice) else ""))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        elif isinstance(node, ast.FormattedValue):
            self.visit(node.value, owner, role)
        elif isinstance(node, ast.Compare):
            for child in ast.iter_child_nodes(node):
                self.visit(child, owner, "words" if _is_text(child) or _are_texts(child) else role)
        elif isinstance(node, ast.Dict):
            for key in node.keys:
                if key is not None:
                    self.visit(key, owner, "words" if _is_text(key) else role)
            for item in node.values:
                self.visit(item, owner, role)
        else:
            for child in ast.iter_child_nodes(node):
                self.visit(child, owner, role)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: str, role: str) -> None:
        name = _joined(owner, node.name)
        if any(isinstance(d, ast.Attribute) and d.attr == "draws" for d in node.decorator_list):
            role = role or "plot"
        arguments = [*node.args.posonlyargs, *node.args.args][::-1]
        for argument, default in zip(arguments, node.args.defaults[::-1], strict=False):
            self.visit(default, _joined(name, argument.arg), role)
        for argument, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if value is not None:
                self.visit(value, _joined(name, argument.arg), role)
        for child in node.body:
            self.visit(child, name, role)

    def _class(self, node: ast.ClassDef, owner: str, role: str) -> None:
        name = _joined(owner, node.name)
        bases = {b.id for base in node.bases for b in ast.walk(base) if isinstance(b, ast.Name)}
        for child in node.body:
            setting = isinstance(child, ast.AnnAssign) and bases & set(_WITH_A_NAME)
            self.visit(child, name, role or ("setting" if setting else ""))

    def _assignment(self, node: ast.Assign | ast.AnnAssign, owner: str, role: str) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        values = [node.value] if node.value is not None else []
        if len(targets) == 1 and isinstance(targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            targets, values = targets[0].elts, node.value.elts  # a, b = 1, 2
        if len(targets) != len(values):
            targets = targets[:1] * len(values)
        for target, value in zip(targets, values, strict=True):
            name = target.id if isinstance(target, ast.Name) else ""
            if name == "__all__":
                continue
            own = _joined(owner, name) if name else owner
            self.visit(value, own, role or ("handed over" if own in self.handed else ""))

    def _call(self, node: ast.Call, owner: str, role: str) -> None:
        self.visit(node.func, owner, role)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        asked = asked_of_lab(node)
        for i, argument in enumerate([*node.args, *(k.value for k in node.keywords)]):
            why = "digits" if name == "round" and i == 1 else "words" if name in _TELLS and _is_text(argument) else ""
            if argument in asked:
                why = "purpose" if name == "rng" else "set-up" if name == "scenario" else "handed over"
            self.visit(argument, owner, role or why)

    def _add(self, node: ast.expr, value: float | str | bytes, owner: str, role: str) -> None:
        if isinstance(value, bool):
            return
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        if isinstance(value, (int, float)):
            why = next((f"named: {n}" for n in self.named if owner == n or owner.startswith(f"{n}.")), "")
            stated = "stated" if any(value == a for a in self.allowed) else ""
            plain = "structure" if abs(value) in STRUCTURE else stated
            role = why or (plain or role if role in ("words", "set-up") else role or plain)
        self.found.append(Literal(file=self.file, place=place, value=value, owner=owner, role=role))


def literals(files: Iterable[Path], named: Iterable[str] = (), allowed: Iterable[float] = ()) -> list[Literal]:
    """Numbers and texts in modules, in order. `named`: constants of KEY.yaml; `allowed`: numbers whose reason
    KEY.yaml states."""
    found: list[Literal] = []
    for file in files:
        module = tree(file)
        walk = _Walk(file, frozenset(_handed(module)), tuple(named), tuple(allowed))
        for node in module.body:
            walk.visit(node, "", "")
        found += walk.found
    return found


def _handed(module: ast.Module) -> Iterator[str]:
    """Names whose values a lab is handed: those of the module that stand in a question to it, and variables of the
    function that asks."""
    for top in module.body:
        for node in ast.walk(top):
            for argument in asked_of_lab(node) if isinstance(node, ast.Call) else ():
                names = [n.id for n in ast.walk(argument) if isinstance(n, ast.Name)]
                yield from names
                if isinstance(top, (ast.FunctionDef, ast.ClassDef)):
                    yield from (_joined(top.name, n) for n in names)


def asked_of_lab(node: ast.Call) -> Sequence[ast.expr]:
    """What a call asks a lab, if it does; what a lab computes and keeps is code as any other."""
    f = node.func
    if not (isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id == "lab"):
        return ()
    every = [*node.args, *(k.value for k in node.keywords)]
    return every if f.attr in _HANDED else every[:1] if f.attr == "cached" else ()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _are_texts(node: ast.AST) -> bool:
    return isinstance(node, (ast.Tuple, ast.List, ast.Set)) and all(map(_is_text, node.elts))


def _joined(owner: str, name: str) -> str:
    return f"{owner}.{name}" if owner else name


def is_place(node: ast.expr) -> bool:
    """Whether what stands in brackets is a place (1, -1, 2:5) rather than a computed one."""
    return all(
        isinstance(n, (ast.Constant, ast.UnaryOp, ast.USub, ast.Slice, ast.Tuple, ast.Load)) for n in ast.walk(node)
    )


@cache
def _uses(file: Path) -> Mapping[str, frozenset[str]]:
    """What each function, class and name of a module mentions; under "" what the module does when it is imported."""
    found: dict[str, set[str]] = {"": set()}
    for node in tree(file).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        mentioned = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        mentioned |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        for name in names if not isinstance(node, ast.For) and names else [""]:
            found.setdefault(name, set()).update(mentioned)
    return {name: frozenset(said) for name, said in found.items()}


def reached(files: Iterable[Path], start: Iterable[str]) -> set[str]:
    """Names of functions, classes and variables of modules that the code of `start` may come to; what is done on import
    counts."""
    uses: dict[str, set[str]] = {}
    for file in files:
        for name, said in _uses(file).items():
            uses.setdefault(name, set()).update(said)
    found: set[str] = {""}
    pending = [name for name in start if name in uses]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [other for other in uses[name] if other in uses]
    return found

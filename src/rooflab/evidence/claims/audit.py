"""Claims that do not move are not computed: every physical input of a claim is halved and doubled, and the figure must
follow.

A claim passes when

1. its code does not contain its expected value, nor ask for it;
2. it asked its lab for something (a scenario, hardware, a datum);
3. the figure moves with at least one of the inputs that it asked for;
4. the inputs that it declares (`moves`) move it in the direction declared.

The code of the claim is not changed: it runs again in a lab that hands over the scaled input. Declared inputs are all
tried; of the others, one that moves the figure is enough, data first (they are the claim's own, and cheap). What is
tried follows from the claim alone, so that a verdict is the same on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType
from typing import Any, Final

from rooflab.errors import RooflabError
from rooflab.inputs.scenario import Perturbation
from rooflab.papers.lab import Engines, Lab
from rooflab.papers.paper import Claim

__all__ = ["Audit", "Labs", "audit", "reads_its_answer"]

FACTORS: Final = (0.5, 2.0)
_MOVED: Final = 1e-6
"""Relative change below which a figure has not moved."""
_PLAIN: Final = (0.0, 0.25, 0.5, 1.0)
"""Values that any code may contain without having copied them, beside whole numbers up to 16 and powers of two."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The verdict on a claim: `reason` where it fails; inputs that moved the figure with its values at half and double;
    inputs tried."""

    passed: bool
    reason: str
    moved: dict[str, tuple[float, float]]
    tried: tuple[str, ...]


class Labs:
    """Labs by perturbation, so that claims of a paper share what each has computed; all ask the same `engines`."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self._labs: dict[Perturbation | None, Lab] = {}

    def get(self, perturbation: Perturbation | None = None) -> Lab:
        """The lab with `perturbation` (or none), its record empty."""
        lab = self._labs.setdefault(perturbation, Lab(self.engines, perturbation))
        lab.forget()
        return lab


def audit(claim: Claim, got: float, asked: tuple[str, ...], labs: Labs) -> Audit:
    """Audit `claim`, whose figure is `got` and which asked for the inputs `asked`."""
    copied = reads_its_answer(claim)
    if copied:
        return Audit(False, copied, {}, ())
    if not asked:
        return Audit(False, "asks its lab for nothing", {}, ())
    for name in claim.moves:
        if name not in asked:
            return Audit(False, f"declares {name!r} and never asks for it", {}, ())
    moved: dict[str, tuple[float, float]] = {}
    tried = []
    others = sorted((a for a in asked if a not in claim.moves), key=lambda a: not a.startswith("data: "))
    for name in (*claim.moves, *others):
        declared = name in claim.moves
        if moved and not declared:
            break
        tried.append(name)
        half, double = (_figure(claim, labs.get(Perturbation(name, factor))) for factor in FACTORS)
        if any(not math.isnan(x) and abs(x - got) > _MOVED * max(abs(got), 1e-300) for x in (half, double)):
            moved[name] = (half, double)
        if declared:
            problem = _direction(name, claim.moves[name], half, double)
            if problem:
                return Audit(False, problem, moved, tuple(tried))
    if not moved:
        return Audit(False, f"does not move with any of {', '.join(tried)}", {}, tuple(tried))
    return Audit(True, "", moved, tuple(tried))


def _figure(claim: Claim, lab: Lab) -> float:
    """The figure in `lab`; NaN where the scaled scenario cannot be done."""
    try:
        return float(claim.function(lab))
    except (RooflabError, ArithmeticError):
        return math.nan


def _direction(name: str, sign: int, half: float, double: float) -> str:
    """What is wrong with the way the figure moved; empty if nothing is, or if one of the two cannot be done."""
    if math.isnan(half) or math.isnan(double):
        return ""
    if sign * (double - half) > _MOVED * max(abs(half), abs(double)):
        return ""
    return f"should go {'up' if sign > 0 else 'down'} with {name}: {half:.4g} at half, {double:.4g} at double"


def reads_its_answer(claim: Claim) -> str:
    """How a claim's code knows its expected value: as a constant, or by asking its paper; empty if it does not."""
    expected = claim.expect if isinstance(claim.expect, tuple) else (claim.expect,)
    telling = {float(x) for x in expected if not _plain(float(x))}
    function: Any = claim.function
    while isinstance(function, partial):
        copied = telling & set(_numbers((*function.args, *function.keywords.values())))
        if copied:
            return f"is handed its expected value {copied.pop():g}"
        function = function.func
    for code, scope in _codes(function):
        asked = {"expect", "claims", "find"} & {*code.co_names, *_words(code.co_consts)}
        if asked:
            return f"asks for {sorted(asked)[0]!r}, where its expected value stands"
        for constant in _numbers(code.co_consts):
            if constant in telling:
                return f"contains its expected value {constant:g}"
        for name in code.co_names:
            if telling & set(_numbers((scope.get(name),))):
                return f"reads its expected value in {name}"
    return ""


def _plain(x: float) -> bool:
    if x in _PLAIN or (x == int(x) and abs(x) <= 16):
        return True
    return x > 0 and math.log2(x) == int(math.log2(x))


def _codes(function: Any) -> Iterator[tuple[CodeType, Mapping[str, Any]]]:
    """Code of a function, of what it defines, and of the functions of its own paper that it calls, each with the names
    of its module."""
    pending: list[tuple[Any, Mapping[str, Any]]] = [(function, getattr(function, "__globals__", {}))]
    seen: set[int] = set()
    while pending:
        item, scope = pending.pop()
        code = getattr(item, "__code__", item)
        if not isinstance(code, CodeType) or id(code) in seen:
            continue
        seen.add(id(code))
        yield code, scope
        pending.extend((c, scope) for c in code.co_consts if isinstance(c, CodeType))
        for name in code.co_names:
            called = scope.get(name)
            if isinstance(called, FunctionType) and _own(called.__module__, function.__module__):
                pending.append((called, called.__globals__))


def _own(module: str, paper: str) -> bool:
    """Whether `module` is the paper's, or stands beside it in its folder."""
    folder, _, name = paper.rpartition(".")
    return module == paper or (name == "paper" and module.startswith(f"{folder}."))


def _numbers(values: Any) -> Iterator[float]:
    for v in values:
        if isinstance(v, (int, float)) and not isinstance(v, bool):
            yield float(v)
        elif isinstance(v, Mapping):
            yield from _numbers((*v.keys(), *v.values()))
        elif isinstance(v, (tuple, list, frozenset, set)):
            yield from _numbers(v)


def _words(constants: Any) -> Iterator[str]:
    return (c for c in constants if isinstance(c, str))

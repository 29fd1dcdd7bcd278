"""Can a figure be believed? Questions asked of the claim's unchanged code in labs that change what they hand over.

printed   No number that KEY.yaml states for the claim stands in the paper's code (`printed`).
poison    A datum that holds a published figure is shifted by 7 %: the figure must not follow, unless KEY.yaml declares
          that datum an input. A figure that nothing but such data moves only restates what was put in.
null      Without the paper's idea (technique taken out, method ablated, input disturbed as KEY.yaml says) the claim
          fails, and the figure is the null that is stated; an executed one on every seed that is tried. Executed claims
          that are no set-up facts must state one.
physics   A modelled figure asks an engine, and follows what the engine says: it moves when a physical input is changed
          behind the engine's door, where code that reads datasheets does not see it. What KEY.yaml declares (`moves`)
          moves it in the direction stated and by about the power stated.
bound     A bound, an order or a lack of difference has no figure to miss: its null, or half or double of a declared
          input, has to break it.

What is tried follows from the claim alone, so that a verdict is the same on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rooflab.errors import RooflabError
from rooflab.evidence.claims.printed import answers_in_code, is_plain, sources_of
from rooflab.inputs.scenario import HARDWARE_INPUTS, WORKLOAD_INPUTS, Perturbation
from rooflab.papers.claim import Claim, Move
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got
from rooflab.papers.lab import SHIFT, Engines, Lab
from rooflab.papers.paper import Paper

__all__ = ["SEEDS", "Audit", "Labs", "audit"]

FACTORS: Final = (0.5, 2.0)
SEEDS: Final = (0, 1)
"""Seeds that a null is tried on."""
_MOVED: Final = 1e-6
"""Relative change below which a figure has not moved."""
_POWER: Final = 0.35
"""How far a measured power may lie from the stated one."""
_BOUNDS: Final = ("at least", "at most", "order", "no difference")
_NULL: Final = 0.1
"""How near a figure without the idea has to come to its stated null, as a share of it."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The verdict: `reason` where it fails; `inputs_only` where the figure restates data; inputs that moved the
    figure."""

    passed: bool
    reason: str = ""
    inputs_only: bool = False
    moved: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Labs:
    """Labs by condition, so that claims of a paper share what each has computed; all ask the same `engines`."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self._labs: dict[Condition, Lab] = {}

    def get(self, condition: Condition | None = None) -> Lab:
        """The lab under `condition` (or none), its record empty."""
        condition = condition or Condition()
        lab = self._labs.setdefault(condition, Lab(self.engines, condition))
        lab.forget()
        return lab


def audit(paper: Paper, claim: Claim, got: Got, lab: Lab, labs: Labs) -> Audit:
    """Audit `claim`, whose figure is `got` and which `lab` was asked for; `labs` makes the others."""
    asked, data = tuple(lab.asked), dict(lab.given_data)
    reason = _looked_at(paper, claim, lab)
    if reason:
        return Audit(False, reason)
    poisoned = _poison(claim, got, data, labs)
    if poisoned.reason or poisoned.inputs_only:
        return poisoned
    tried: list[Got] = []
    reason = _null(claim, asked, labs, tried)
    if reason:
        return Audit(False, reason)
    verdict = _moves(claim, got, asked, data, labs=labs, tried=tried)
    unbroken = claim.expect.sort in _BOUNDS and claim.holds(got) and all(claim.holds(x) for x in tried)
    if verdict.passed and unbroken:
        return Audit(False, "nothing that was tried breaks its bound: it needs a null, or inputs that move it across")
    return verdict


def _looked_at(paper: Paper, claim: Claim, lab: Lab) -> str:
    """What is wrong with the code and with what it asks for, before anything is changed."""
    copied = ""
    if paper.file is not None:
        copied = answers_in_code(claim.expect.telling(), sources_of(paper.file), paper.numbers)
    if copied:
        return copied
    if not lab.asked:
        return "asks its lab for nothing"
    if claim.kind == "modelled" and not lab.priced:
        return "asks no engine for anything: nothing is modelled"
    missing = [name for name in claim.moves if name not in lab.asked]
    return f"declares {missing[0]!r} and never asks for it" if missing else ""


def _poison(claim: Claim, got: Got, data: Mapping[str, Any], labs: Labs) -> Audit:
    """Shift every datum that holds one of the claim's numbers."""
    telling = [x for x in claim.expect.telling() if not is_plain(x)]
    suspect = [name for name, value in data.items() if any(_holds(value, x) for x in telling)]
    follows = []
    for name in (*suspect, *(n for n in claim.inputs if n in data and n not in suspect)):
        shifted = _figure(claim, labs.get(Condition(shifted=name)))
        if shifted is not None and _power(got, shifted, SHIFT) > 0.5:
            follows.append(name)
    undeclared = [name for name in follows if name not in claim.inputs]
    if undeclared:
        return Audit(False, f"follows its own published figure in {undeclared[0]!r}, which is not declared an input")
    return Audit(not follows, inputs_only=bool(follows))


def _null(claim: Claim, asked: tuple[str, ...], labs: Labs, tried: list[Got]) -> str:
    """What is wrong with the claim's control; empty if nothing is. Adds what the control gives to `tried`."""
    null = claim.null
    if null is None:
        needs = claim.kind == "executed" and claim.role != "fact"
        return "has no control: KEY.yaml does not say what remains without the idea" if needs else ""
    if null.by not in asked:
        return f"its control takes away {null.by!r}, which it never asks for"
    for seed in SEEDS if claim.kind == "executed" else SEEDS[:1]:
        condition = Condition(
            bare=null.by == "technique", ablated=null.by == "ablation", seed=seed,
            disturbance="" if null.by in ("technique", "ablation") else null.by,
        )  # fmt: skip
        without = _figure(claim, labs.get(condition))
        if without is None:
            if null.by == "technique":
                continue  # a scenario that needs the technique to be done at all has no gain without it
            return f"its control cannot be computed ({null.by} taken away, seed {seed})"
        tried.append(without)
        if claim.holds(without):
            return f"holds without its idea ({null.by} taken away, seed {seed}: {_said(without)})"
        if null.value is not None and any(
            abs(x - null.value) > _NULL * max(abs(null.value), _MOVED) for x in _all(without)
        ):
            return f"without its idea it is {_said(without)}, not {null.value:g} ({null.by} taken away, seed {seed})"
    return ""


def _moves(
    claim: Claim, got: Got, asked: tuple[str, ...], data: Mapping[str, Any], *, labs: Labs, tried: list[Got]
) -> Audit:
    """Whether the figure follows its inputs: declared ones as declared, then any that may move one of its kind. Adds
    what declared inputs give to `tried`."""
    moved: dict[str, tuple[float, float]] = {}
    for name, move in claim.moves.items():
        half, double = _ends(claim, name, labs)
        tried += [x for x in (half, double) if x is not None]
        if _has_moved(got, half, double):
            moved[name] = (_first(half), _first(double))
        if problem := _direction(name, move, half, double):
            return Audit(False, problem, moved=moved)
    physical = [a for a in asked if a in HARDWARE_INPUTS or a in WORKLOAD_INPUTS]
    own = [f"data: {name}" for name, value in data.items() if not _is_unit(value)]
    modelled = claim.kind == "modelled"
    candidates = physical if modelled else [*own, *physical]
    if not modelled and (set(moved) & set(candidates) or "ablation" in asked):
        return Audit(True, moved=moved)
    for name in sorted(candidates, key=lambda n: n not in claim.moves):
        half, double = _ends(claim, name, labs, at_engines=modelled)
        if _has_moved(got, half, double):
            moved.setdefault(name, (_first(half), _first(double)))
            return Audit(True, moved=moved)
    what = "anything that the engine is asked for" if modelled else "anything that it is handed"
    return Audit(False, f"does not move with {what}", moved=moved)


def _ends(claim: Claim, name: str, labs: Labs, *, at_engines: bool = False) -> tuple[Got | None, Got | None]:
    """The figure at half and at double of an input."""
    half, double = (
        _figure(claim, labs.get(Condition(perturbation=Perturbation(name, f), at_engines=at_engines))) for f in FACTORS
    )
    return half, double


def _has_moved(got: Got, *others: Got | None) -> bool:
    return any(x is not None and _apart(got, x) > _MOVED for x in others)


def _is_unit(value: Any) -> bool:
    """Whether a datum is 1, by which anything can be multiplied."""
    return isinstance(value, (int, float)) and abs(value) == 1


def _direction(name: str, move: Move, half: Got | None, double: Got | None) -> str:
    """What is wrong with the way the figure moved; empty if nothing is, or if one of the two cannot be done."""
    low, high = _first(half), _first(double)
    if math.isnan(low) or math.isnan(high):
        return ""
    if move.sign * (high - low) <= _MOVED * max(abs(low), abs(high)):
        return f"should go {'up' if move.sign > 0 else 'down'} with {name}: {low:.4g} at half, {high:.4g} at double"
    if move.power is not None and low > 0 and high > 0:
        power = math.log(high / low) / math.log(FACTORS[1] / FACTORS[0])
        if abs(power - move.power) > _POWER:
            return f"should go as {name} to the power {move.power:g}: {power:.2f}"
    return ""


def _figure(claim: Claim, lab: Lab) -> Got | None:
    """The figure in `lab`; None where the changed case cannot be done."""
    try:
        got = claim.function(lab)
        claim.error(got)
    except (RooflabError, ArithmeticError):
        return None
    return got if all(math.isfinite(x) for x in _all(got)) else None


def _all(got: Got) -> Iterable[float]:
    if isinstance(got, Mapping):
        return [float(x) for x in got.values()]
    return [float(x) for x in got] if isinstance(got, (tuple, list)) else [float(got)]


def _first(got: Got | None) -> float:
    """One number that stands for several: their geometric mean of sizes, or NaN."""
    if got is None:
        return math.nan
    values = list(_all(got))
    if len(values) == 1:
        return values[0]
    return math.exp(sum(math.log(max(abs(x), 1e-300)) for x in values) / len(values))


def _apart(a: Got, b: Got) -> float:
    pairs = zip(_all(a), _all(b), strict=False)
    return max((abs(x - y) / max(abs(x), 1e-300) for x, y in pairs), default=0.0)


def _power(got: Got, shifted: Got, factor: float) -> float:
    """How strongly the figure follows a shift: d ln figure / d ln datum."""
    a, b = _first(got), _first(shifted)
    if a == 0 or b == 0 or math.isnan(a) or math.isnan(b):
        return 0.0
    return abs(math.log(abs(b / a)) / math.log(factor))


def _holds(value: Any, number: float) -> bool:
    """Whether a datum holds `number`, within 2 %."""
    if isinstance(value, Mapping):
        return any(_holds(v, number) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds(v, number) for v in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return abs(float(value) - number) <= 0.02 * abs(number)
    if hasattr(value, "ravel") and getattr(value, "size", 1 << 20) <= 1 << 12:
        return any(_holds(v, number) for v in value.ravel().tolist())
    return False


def _said(got: Got) -> str:
    return ", ".join(f"{x:.4g}" for x in _all(got))

"""What a figure rests on: the data and constants that it was handed, one by one.

A figure that is computed follows two things at least: data that were published apart from each other, a device or a
model of the catalogue, what is searched or learned from. One that follows a single number, and nothing else, can be
turned back into it: it restates what was put in, whatever its value, and whether it is twice that number or one less.
What a claim rests on has its source in KEY.yaml (`constants`, or the claim's `inputs`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from rooflab.evidence.claims.code import Code, scaled
from rooflab.evidence.claims.figures import BROKEN, MOVED, Labs, change, figure, has_moved, one
from rooflab.evidence.claims.replay import Learnt, Replay
from rooflab.inputs.perturb import SCENARIO_INPUTS, Perturbation
from rooflab.papers.claim import Claim
from rooflab.papers.condition import Assumption, Condition
from rooflab.papers.expectation import Got
from rooflab.papers.heard import Answer
from rooflab.papers.lab import SHIFT, Lab

__all__ = ["Asked", "Rests", "direct", "rests_on"]

_BOUNDS: Final = ("at least", "at most", "order", "no difference")
_DIRECT: Final = 0.9
"""Share of a number's change that a figure takes over, engines aside, from which on it is that number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a claim asked its lab for, and the results that it got there."""

    inputs: tuple[str, ...]
    data: Mapping[str, Any]
    assumed: Mapping[str, Assumption]
    answers: tuple[Answer, ...]

    @classmethod
    def by(cls, lab: Lab) -> Asked:
        """What `lab` has written down."""
        return cls(inputs=tuple(lab.asked), data=dict(lab.given_data), assumed=dict(lab.assumed), answers=lab.answers)


@dataclass(frozen=True, slots=True)
class Rests:
    """What is wrong (`reason`), the number that the figure only `restates`, and what `moved` it."""

    reason: str = ""
    restates: str = ""
    moved: tuple[str, ...] = ()


def rests_on(claim: Claim, code: Code, got: Got, asked: Asked, labs: Labs) -> Rests:
    """What the figure of a claim that no engine prices rests on."""
    moving: list[_Own] = []
    for x in _own(claim, code, asked, labs):
        # two things are enough; of data each that moves the figure needs its source, and ends are wanted anyway
        if (len(moving) < 2 or not x.of_code) and any(has_moved(got, x.at(factor)) for factor in x.factors):
            moving.append(x)
    moved = tuple(x.name for x in moving)
    if len(moving) < 2:
        other = next((name for name in _others(claim, asked) if has_moved(got, *_ends(claim, labs, name))), "")
        moved += (other,) if other else ()
    if not moved:
        return Rests("does not move with anything that it is handed")
    for x in moving if claim.kind != "analogue" else ():
        if x.datum and x.datum not in code.paper.constants and x.datum not in claim.inputs:
            return Rests(f"rests on {x.datum!r}, which has no source: name it in KEY.yaml (constants)", moved=moved)
    if len(moved) > 1 or not moving:
        return Rests(moved=moved)
    (only,) = moving
    several = only.parts > 1 and _more_than_one(got, only)
    if several or (claim.expect.sort in _BOUNDS and not _law(got, only)):
        return Rests(moved=moved)
    return Rests(restates=only.name, moved=moved)


def direct(claim: Claim, code: Code, got: Got, asked: Asked, labs: Labs) -> str:
    """The datum, assumption or constant that a figure takes over as it is while its engines answer as before; empty if
    there is none."""
    again = partial(Replay, labs.engines, asked.answers, learnt=Learnt())
    tried: dict[str, Callable[[], tuple[Got | None, float]]] = {}
    for name in asked.data:
        shifted = Condition(perturbation=Perturbation(f"data: {name}", SHIFT))
        tried[f"data: {name}"] = partial(_shifted, claim, again, shifted, SHIFT)
    for name, a in asked.assumed.items():
        end = a.high if a.high != a.value else a.low
        if a.value and end / a.value > 0 and end != a.value:
            at = Condition(assumptions=((name, "high" if end == a.high else "low"),))
            tried[f"assumption: {name}"] = partial(_shifted, claim, again, at, end / a.value)
    for name in code.constants_of(claim):
        changed = code.claim(claim.id, scaled(code.constant(name), SHIFT))
        if changed is not None:
            tried[f"constant: {name}"] = partial(_shifted, changed, again, Condition(), SHIFT)
    for name, ask in tried.items():
        other, factor = ask()
        by = change(got, other)
        if math.isfinite(by) and by > _DIRECT * abs(math.log(factor)):
            return name
    return ""


def _shifted(claim: Claim, again: Callable[..., Lab], at: Condition, factor: float) -> tuple[Got | None, float]:
    return figure(claim, again(at), BROKEN), factor


Part = tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """A number (or `parts` of them) that a paper's code has (`of_code`) or is handed: the figure at a factor of it, of
    all its parts or of those whose place has a bit, and the `factors` to try; `datum` names what a lab was asked
    for."""

    name: str
    at: Callable[..., Got | None]
    factors: tuple[float, float]
    parts: int = 1
    datum: str = ""
    of_code: bool = False


def _own(claim: Claim, code: Code, asked: Asked, labs: Labs) -> Iterable[_Own]:
    # twice and three times a whole number are whole numbers, too
    for name, value in asked.data.items():
        at = partial(_datum, claim, labs, name)
        yield _Own(name=f"data: {name}", at=at, factors=(2.0, 3.0), parts=_parts(value), datum=name)
    for name, a in asked.assumed.items():
        if a.value:
            ends = (a.low / a.value, a.high / a.value)
            yield _Own(name=f"assumption: {name}", at=partial(_assumed, claim, labs, a), factors=ends)
    for name in code.constants_of(claim):
        ask = _constant(claim, code, labs, name)
        yield _Own(
            name=f"constant: {name}", at=ask, factors=(2.0, 3.0), parts=len(code.constant(name)), of_code=True
        )  # fmt: skip


def _datum(claim: Claim, labs: Labs, name: str, factor: float, part: Part = None) -> Got | None:
    return figure(claim, labs.get(Condition(perturbation=Perturbation(f"data: {name}", factor, part))))


def _assumed(claim: Claim, labs: Labs, assumption: Assumption, factor: float) -> Got | None:
    end: Literal["low", "high"] = "low" if factor * assumption.value == assumption.low else "high"
    return figure(claim, labs.get(Condition(assumptions=((assumption.name, end),))))


def _constant(claim: Claim, code: Code, labs: Labs, name: str) -> Callable[..., Got | None]:
    def at(factor: float, part: Part = None) -> Got | None:
        chosen = [x for i, x in enumerate(code.constant(name)) if part is None or i >> part[0] & 1 == part[1]]
        changes = scaled(chosen, factor)
        changed = code.claim(claim.id, changes)
        return None if changed is None else figure(changed, labs.get(changes=changes), BROKEN)

    return at


def _others(claim: Claim, asked: Asked) -> Iterable[str]:
    """Inputs of another sort that were asked for: of a scenario, or ways to disturb a sample; declared ones first."""
    found = [
        x for x in asked.inputs if x in SCENARIO_INPUTS or (": " in x and not x.startswith(("data: ", "method: ")))
    ]
    return sorted(found, key=lambda name: name not in claim.moves)


def _ends(claim: Claim, labs: Labs, name: str) -> Iterable[Got | None]:
    if name not in SCENARIO_INPUTS:
        return [figure(claim, labs.get(Condition(disturbance=name)))]
    return (figure(claim, labs.get(Condition(perturbation=Perturbation(name, f)))) for f in (0.5, 2.0))


def _parts(datum: Any) -> int:
    """How many numbers a datum has."""
    if isinstance(datum, Mapping):
        return sum(map(_parts, datum.values()))
    if isinstance(datum, (list, tuple)):
        return sum(map(_parts, datum))
    return int(getattr(datum, "size", 1)) if datum is not None else 0


def _more_than_one(got: Got, own: _Own) -> bool:
    """Whether a figure follows more than one of several numbers: those with a bit of their place, and those without."""
    bits = range((own.parts - 1).bit_length())
    return any(all(has_moved(got, own.at(2.0, (bit, value))) for value in (0, 1)) for bit in bits)


def _law(got: Got, own: _Own) -> bool:
    """Whether a figure is a straight line or a power of one number, exactly: nothing was computed on the way."""
    a, b = own.factors
    f, first, second = one(got), one(own.at(a)), one(own.at(b))
    if math.isnan(first) or math.isnan(second) or a == 1 or b in (1, a):
        return False
    slopes = (first - f) / (a - 1), (second - f) / (b - 1)
    if abs(slopes[0] - slopes[1]) <= MOVED * max(map(abs, slopes)):
        return True
    if not (f > 0 and first > 0 and second > 0 and a > 0 and b > 0):
        return False
    powers = math.log(first / f) / math.log(a), math.log(second / f) / math.log(b)
    return abs(powers[0] - powers[1]) <= MOVED

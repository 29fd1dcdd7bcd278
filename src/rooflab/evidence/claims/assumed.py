"""What becomes of a verdict within the ranges of a claim's assumptions.

Each assumption goes to both of its ends by itself; then those that move the figure go to their ends together, all as
they raise it and all as they lower it, so that an answer is not split over several of them none of which breaks it. A
number whose range is narrow is no assumption, and has to be named in KEY.yaml with its source (`constants`). A claim
depends on an assumption that its figure is proportional to, within a range that its tolerance spans: nothing in that
range could break it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from rooflab.errors import RooflabError
from rooflab.evidence.claims.figures import Labs, has_moved, one
from rooflab.papers.claim import Claim
from rooflab.papers.condition import Assumption, Condition
from rooflab.papers.expectation import Got

__all__ = ["flips", "narrow"]

End = Literal["low", "high"]
_ENDS: Final[tuple[End, ...]] = ("low", "high")
_LEAST: Final = 0.25
"""Width of a range, as a share of the value taken, below which it is none."""
_PROPORTIONAL: Final = 0.9
"""Power from which on a figure is proportional to an assumption."""


def narrow(assumed: Iterable[Assumption], named: Collection[str]) -> str:
    """What is wrong with the ranges of assumptions; `named` are the constants of KEY.yaml."""
    for a in assumed:
        least = _LEAST * abs(a.value)
        if a.name not in named and (a.high - a.low < least or a.high == a.low):
            return (
                f"assumes {a.name!r} within {a.low:g} to {a.high:g}, which is no range: name it in KEY.yaml "
                f"(constants) with its source, or widen it to {least:.3g}"
            )
    return ""


def flips(
    claim: Claim, got: Got, assumed: Sequence[Assumption], labs: Labs, named: Collection[str] = ()
) -> tuple[str, ...]:
    """Assumptions at an end of which the verdict is another, or that could be at none; where there is neither, those
    that turn it together. `named` are the constants of KEY.yaml."""
    held = claim.holds(got)
    found: list[str] = []
    up: dict[str, End] = {}
    down: dict[str, End] = {}
    for a in assumed:
        at = {end: _at(claim, {a.name: end}, labs) for end in _ENDS if a.at(end) != a.value}
        free = a.name not in named and _spanned(claim, a, at)
        if free or any(_held(claim, other) != held for other in at.values()):
            found.append(a.name)
        elif has_moved(got, *at.values()):
            ranked = sorted(at, key=lambda end: one(at[end]))
            if one(at[ranked[-1]]) > one(got):
                up[a.name] = ranked[-1]
            if one(at[ranked[0]]) < one(got):
                down[a.name] = ranked[0]
    for together in (up, down) if held and not found and claim.kind != "analogue" else ():
        if len(together) > 1 and _held(claim, _at(claim, together, labs)) != held:
            return tuple(together)
    return tuple(found)


def _at(claim: Claim, ends: dict[str, End], labs: Labs) -> Got | None:
    """The figure with assumptions at their ends; None where it cannot be done there."""
    try:
        return claim.function(labs.get(Condition(assumptions=tuple(ends.items()))))
    except (RooflabError, ArithmeticError):
        return None


def _spanned(claim: Claim, a: Assumption, at: Mapping[End, Got | None]) -> bool:
    """Whether the figure is proportional to an assumption whose whole range lies within the claim's tolerance."""
    if len(at) < 2 or not 0 < a.low < a.high or a.high - a.low >= 2 * claim.tolerance * a.value:
        return False
    low, high = one(at["low"]), one(at["high"])
    return low > 0 and high > 0 and abs(math.log(high / low)) >= _PROPORTIONAL * math.log(a.high / a.low)


def _held(claim: Claim, got: Got | None) -> bool:
    return got is not None and claim.holds(got)

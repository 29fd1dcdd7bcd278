"""Whether a figure follows its inputs: those that are declared as they are declared, and a modelled one the engine.

A modelled figure moves when a physical input is changed behind the engine's door, where code that reads datasheets does
not see it; and when the model is, or how it is deployed, or by which engine: what the set-up names has a part in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rooflab.evidence.claims.figures import MOVED, Labs, change, figure, has_moved, one
from rooflab.inputs.perturb import (
    DEPLOYMENT_INPUTS,
    HARDWARE_INPUTS,
    MODEL_INPUTS,
    SCENARIO_INPUTS,
    WORKLOAD_INPUTS,
    Perturbation,
)
from rooflab.papers.claim import Claim, Move
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got

__all__ = ["LEAST", "Moved", "declared", "engine_heard", "hears", "least_of"]

FACTORS: Final = (0.5, 2.0)
LEAST: Final = 0.02
"""Change of a modelled figure, as a logarithm, by half or double of some input of its engines below which it hardly
hears them; half its tolerance where that is less."""
_POWER: Final = 0.35
"""How far a measured power may lie from the stated one."""


@dataclass(slots=True)
class Moved:
    """Names of inputs that moved a figure, every figure that was `tried`, and what is wrong."""

    names: dict[str, None] = field(default_factory=dict)
    tried: list[Got] = field(default_factory=list)
    reason: str = ""


def declared(claim: Claim, got: Got, labs: Labs) -> Moved:
    """How the inputs that KEY.yaml declares move the figure."""
    found = Moved()
    for name, move in claim.moves.items():
        half, double = (_at(claim, name, factor, labs) for factor in FACTORS)
        found.tried += [x for x in (half, double) if x is not None]
        if has_moved(got, half, double):
            found.names[name] = None
        found.reason = _direction(name, move, half, double)
        if found.reason:
            break
    return found


def engine_heard(claim: Claim, got: Got, labs: Labs, moved: Moved) -> tuple[str, float]:
    """Add to `moved` what moves a modelled figure behind the engine's door, or what is wrong; the input of hardware or
    load that does, and by how much anything does (a logarithm, as far as `least_of` asks)."""
    least = least_of(claim) if claim.holds(got) else MOVED
    most, first = 0.0, ""
    for what, names in (
        ("anything that the engine is asked for", (*HARDWARE_INPUTS, *WORKLOAD_INPUTS)),
        ("the model, the deployment or the engine that it names", (*MODEL_INPUTS, *DEPLOYMENT_INPUTS)),
    ):
        enough = least if most < least else MOVED
        name, by = _strongest(claim, got, labs, sorted(names, key=lambda n: n not in claim.moves), enough)
        if not name:
            moved.reason = f"does not move with {what}"
            return first, most
        moved.names[name] = None
        first, most = first or name, max(most, by)
    return first, most


def least_of(claim: Claim) -> float:
    """By how much half or double of some input has to move the figure of a claim that holds: what is looked for until
    it is as published is found about there whatever the engines say."""
    return max(min(LEAST, claim.tolerance / 2), MOVED)


def hears(claim: Claim, got: Got, labs: Labs, least: float) -> bool:
    """Whether half or double of anything that an engine is asked for changes a figure by `least`, as a logarithm."""
    found = (_at(claim, name, factor, labs, at_engines=True) for name in SCENARIO_INPUTS for factor in FACTORS)
    return any(x is not None and change(got, x) >= least for x in found)


def _strongest(claim: Claim, got: Got, labs: Labs, names: Iterable[str], enough: float) -> tuple[str, float]:
    """The first input that moves the figure by `enough` (a logarithm), else the one that moves it most, and by how
    much."""
    strongest, most = "", MOVED
    for name in names:
        for factor in FACTORS:
            other = _at(claim, name, factor, labs, at_engines=True)
            by = 0.0 if other is None else change(got, other)
            if by > most:
                strongest, most = name, by
            if by > enough:
                return name, by
    return strongest, most


def _at(claim: Claim, name: str, factor: float, labs: Labs, *, at_engines: bool = False) -> Got | None:
    """The figure at half or at double of an input."""
    return figure(claim, labs.get(Condition(perturbation=Perturbation(name, factor), at_engines=at_engines)))


def _direction(name: str, move: Move, half: Got | None, double: Got | None) -> str:
    """What is wrong with the way the figure moved; empty if nothing is, or if one of the two cannot be done."""
    low, high = one(half), one(double)
    if math.isnan(low) or math.isnan(high):
        return ""
    if move.sign * (high - low) <= MOVED * max(abs(low), abs(high)):
        return f"should go {'up' if move.sign > 0 else 'down'} with {name}: {low:.4g} at half, {high:.4g} at double"
    if move.power is not None and low > 0 and high > 0:
        power = math.log(high / low) / math.log(FACTORS[1] / FACTORS[0])
        if abs(power - move.power) > _POWER:
            return f"should go as {name} to the power {move.power:g}: {power:.2f}"
    return ""

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

__all__ = ["Moved", "declared", "engine_heard", "hears"]

FACTORS: Final = (0.5, 2.0)
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


def engine_heard(claim: Claim, got: Got, labs: Labs, moved: Moved) -> None:
    """Add to `moved` what moves a modelled figure behind the engine's door, or what is wrong."""
    for what, names in (
        ("anything that the engine is asked for", (*HARDWARE_INPUTS, *WORKLOAD_INPUTS)),
        ("the model, the deployment or the engine that it names", (*MODEL_INPUTS, *DEPLOYMENT_INPUTS)),
    ):
        name = _first(claim, got, labs, sorted(names, key=lambda n: n not in claim.moves), moved)
        if not name:
            moved.reason = f"does not move with {what}"
            return


def hears(claim: Claim, got: Got, labs: Labs, least: float) -> bool:
    """Whether half or double of anything that an engine is asked for changes a figure by `least`, as a logarithm."""
    found = (_at(claim, name, factor, labs, at_engines=True) for name in SCENARIO_INPUTS for factor in FACTORS)
    return any(x is not None and change(got, x) >= least for x in found)


def _first(claim: Claim, got: Got, labs: Labs, names: Iterable[str], moved: Moved) -> str:
    """The first input that moves the figure."""
    for name in names:
        if any(has_moved(got, _at(claim, name, factor, labs, at_engines=True)) for factor in FACTORS):
            moved.names[name] = None
            return name
    return ""


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

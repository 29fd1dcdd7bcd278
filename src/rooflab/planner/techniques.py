"""Papers' techniques as dimensions of a plan: each that applies, alone and with another, each planned for over all
deployments.

A technique changes the scenario before the search, so everything that a plan weighs (memory, splits, limits, service
levels) is weighed again with it in place.  Of every technique the setting with the best deployment is kept; the best
few are then tried in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np

from rooflab.errors import RooflabError
from rooflab.papers.offers import offers
from rooflab.papers.quality import QualityCost
from rooflab.papers.registry import keys, paper
from rooflab.papers.technique import Technique
from rooflab.planner.result import Plan
from rooflab.planner.search import plan
from rooflab.scenario.scenario import Scenario

__all__ = ["Option", "plan_with_techniques"]

_PAIRED: Final = 3
"""Best techniques that are tried in pairs."""
_CANDIDATES: Final = 3000
"""Deployments priced for each technique: a coarser search than a plan's own."""


@dataclass(frozen=True, slots=True)
class Option:
    """A plan with techniques in it (none: the plan without), what they cost in quality, and the objective's gain over
    none.

    `gain` above 1 is better; NaN where the plan without techniques has no choice.
    """

    techniques: tuple[Technique, ...]
    quality: tuple[QualityCost, ...]
    plan: Plan
    gain: float

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        best = self.plan.best
        return {
            "techniques": [{t.key: t.parameters()} for t in self.techniques],
            "quality": [{"status": c.status, "delta": c.delta, "unit": c.unit, "task": c.task} for c in self.quality],
            "gain": None if math.isnan(self.gain) else self.gain,
            "deployment": best.label if best else None,
            self.plan.objective.metric: best.metrics[self.plan.objective.metric] if best else None,
        }

    def __str__(self) -> str:
        return " | ".join(str(t) for t in self.techniques) or "none"


def plan_with_techniques(scenario: Scenario, *, max_quality_loss: float | None = None, **options: Any) -> list[Option]:
    """Plans with no technique, one and two, best objective first; `options` are those of `rooflab.plan`.

    `max_quality_loss` bounds what a technique may cost, in the unit of its published figure; one whose cost is unknown
    for this model is then left out. Techniques that only a simulation sees are left out, too: a plan is closed-form.
    Papers are imported whose techniques are tried; what the others offer is known (`rooflab.papers.offers`).
    """
    options = {"limit": _CANDIDATES} | options | {"explain": False}
    without = plan(scenario, **options)
    found = [Option((), (), without, 1.0 if without.best is not None else float("nan"))]
    singles = []
    for offer in offers(keys()).every:
        if offer.sort == "estimate":
            variants = _variants(offer.technique(), scenario)
            tried = [_option(scenario, (v,), without, max_quality_loss, options) for v in variants]
            best = max((o for o in tried if o is not None), key=lambda o: _merit(o, without), default=None)
            if best is not None:
                singles.append(best)
    singles.sort(key=lambda o: -_merit(o, without))
    found += singles
    for a, b in permutations([o.techniques[0] for o in singles[:_PAIRED]], 2):
        pair = _option(scenario, (a, b), without, max_quality_loss, options)
        if pair is not None and not any({a, b} == set(o.techniques) for o in found):
            found.append(pair)
    return sorted(found, key=lambda o: -_merit(o, without))


def _variants(cls: type[Technique], scenario: Scenario) -> Sequence[Technique]:
    try:
        return cls.variants(scenario)
    except RooflabError:
        return ()


def _option(
    scenario: Scenario, techniques: tuple[Technique, ...], without: Plan, most: float | None, options: dict[str, Any]
) -> Option | None:
    costs = tuple(paper(t.paper).quality_cost(t, scenario.model) for t in techniques)
    if most is not None and not all(c.delta is not None and c.delta <= most for c in costs):
        return None
    changed = scenario
    try:
        for t in techniques:
            changed = changed | t
        planned = plan(changed, **options)
    except RooflabError:
        return None
    return None if planned.best is None else Option(techniques, costs, planned, _gain(planned, without))


def _gain(planned: Plan, without: Plan) -> float:
    if planned.best is None or without.best is None:
        return float("nan")
    metric = planned.objective.metric
    got, base = float(planned.best.metrics[metric]), float(without.best.metrics[metric])
    return got / base if planned.objective.more_is_better else base / got


def _merit(o: Option, without: Plan) -> float:
    """What options are ordered by: the objective of their best deployment, less is better turned round."""
    if o.plan.best is None:
        return -np.inf
    return -float(
        without.objective.cost(np.array([o.plan.best.metrics[without.objective.metric]], dtype=np.float64))[0]
    )

"""The plan again while some of the work is paid for in part, over the same candidates: for loads that no rate decides,
where what is got done makes the money."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.planner.filled import NOTHING, Found
from rooflab.planner.judge import judge
from rooflab.planner.objective import Objective
from rooflab.planner.search import Field, check, judged_field
from rooflab.scenario.paid import paying
from rooflab.scenario.scenario import Scenario

__all__ = ["Replan"]

Index = npt.NDArray[np.intp]

_OPTIONS: Final[Mapping[str, Any]] = {"fixed": (), "quantise": False, "formats": None, "limit": 4_000}
"""The space of a plan that is asked for nothing, coarser: it is asked some twenty times."""


@dataclass(frozen=True, slots=True)
class Replan:
    """The candidates of a scenario's plan."""

    field: Field
    target: Objective

    @staticmethod
    def of(scenario: Scenario, target: Objective) -> Replan:
        """The plan of `scenario` in closed form. Raises what a plan does."""
        check(scenario)
        return Replan(judged_field(scenario, target, dict(_OPTIONS)), target)

    def found(self, shares: Mapping[str, float], among: Index | None = None) -> Found:
        """The least of the objective while work counts in `shares`, of the candidates `among` (all), and the deployment
        that has it; no rate decides."""
        judged = self.field.judged
        if shares:
            asked = judged.deployments if among is None else [judged.deployments[i] for i in among]
            if not asked:
                return NOTHING
            with paying(**shares):
                judged = judge(self.field.base, asked)
        values = judged.metrics[self.target.metric]
        costs = np.where(judged.feasible & ~np.isnan(values), values, math.inf)
        i = int(np.argmin(costs))
        if not np.isfinite(costs[i]):
            return replace(NOTHING, costs=costs)
        best = judged.deployments[i]
        return Found(float(costs[i]), best, math.nan, float(best.devices), costs)

"""What a technique costs in quality: published points, what lies between them, and what nobody has measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rooflab.catalogue.models import model as catalogued
from rooflab.scenario.model import Model

__all__ = ["EXACT", "QualityCost", "QualityPoint", "quality_cost"]


@dataclass(frozen=True, slots=True)
class QualityPoint:
    """A published change of a task's metric on one model: `delta` in `unit`; above zero is worse.

    `when` names the technique's parameters that the figure holds for.
    """

    model: str
    task: str
    delta: float
    unit: str
    source: str
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class QualityCost:
    """Quality lost on a model: `delta` in `unit` of `task` (above zero is worse), None where nothing was published.

    `status`: "exact" (outputs are the same), "published" (this model), "interpolated" (between models of the
    same shape family and settings), "unknown".
    """

    status: Literal["exact", "published", "interpolated", "unknown"]
    delta: float | None = None
    unit: str = ""
    task: str = ""
    source: str = ""

    def __str__(self) -> str:
        if self.delta is None:
            return self.status
        if self.status == "exact":
            return "unchanged"
        sign = "+" if self.delta >= 0 else "−"
        text = f"{sign}{abs(self.delta):.3g} {self.unit} {self.task}"
        return text if self.status == "published" else f"{text} ({self.status})"


EXACT: Final = QualityCost("exact", 0.0)
"""Outputs are those of the model without the technique."""


def quality_cost(points: Sequence[QualityPoint], model: Model, parameters: Mapping[str, Any]) -> QualityCost:
    """The cost on `model` under `parameters`: its own published point, or linear in log parameters between two of its
    family.

    Points of the first task that has any are used; outside the sizes published the cost is unknown.
    """
    fitting = [p for p in points if all(parameters.get(k) == v for k, v in p.when.items())]
    for point in fitting:
        if catalogued(point.model).name == model.name:
            return QualityCost("published", point.delta, point.unit, point.task, point.source)
    for task in dict.fromkeys(p.task for p in fitting):
        sized = sorted(
            (catalogued(p.model).parameters, p)
            for p in fitting
            if p.task == task and catalogued(p.model).family == model.family
        )
        below = [(n, p) for n, p in sized if n <= model.parameters]
        above = [(n, p) for n, p in sized if n >= model.parameters]
        if below and above:
            (n0, low), (n1, high) = below[-1], above[0]
            share = 0.0 if n0 == n1 else math.log(model.parameters / n0) / math.log(n1 / n0)
            delta = low.delta + share * (high.delta - low.delta)
            return QualityCost(
                "interpolated", delta, low.unit, task, f"{low.source}; {high.source}" if low is not high else low.source
            )
    return QualityCost("unknown")

"""Estimates of scenarios: those with one kind of engine together as arrays, those with pools one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate, ValueOf
from rooflab.estimator.serving.engines import estimate_alike
from rooflab.estimator.serving.pools import estimate_pools
from rooflab.scenario.scenario import Scenario

__all__ = ["estimate", "estimate_many"]


def estimate(scenario: Scenario, *, value_of: ValueOf | None = None) -> Estimate:
    """Closed-form metrics of one scenario. Raises InputError for an impossible split, Infeasible when it does not
    fit."""
    result = estimate_many([scenario], value_of=value_of)[0]
    if isinstance(result, RooflabError):
        raise result
    return result


def estimate_many(scenarios: Sequence[Scenario], *, value_of: ValueOf | None = None) -> list[Estimate | RooflabError]:
    """Metrics of each scenario, in order; a scenario that cannot be done yields the error that `estimate` would raise.

    `value_of` knows the intervals of their metrics (see `Estimate.value`).
    """
    results: list[Estimate | RooflabError | None] = [
        _pooled(s, value_of) if s.deployment.cluster.pools else None for s in scenarios
    ]
    alike = iter(estimate_alike([s for s in scenarios if not s.deployment.cluster.pools], value_of))
    return [next(alike) if result is None else result for result in results]


def _pooled(scenario: Scenario, value_of: ValueOf | None) -> Estimate | RooflabError:
    try:
        return replace(estimate_pools(scenario), value_of=value_of)
    except RooflabError as error:
        return error

"""Estimates of scenarios: those with one kind of engine together as arrays, those with pools one by one."""

from __future__ import annotations

from collections.abc import Sequence

from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.engines import estimate_alike
from rooflab.estimator.serving.pools import estimate_pools
from rooflab.scenario.scenario import Scenario

__all__ = ["estimate", "estimate_many"]


def estimate(scenario: Scenario) -> Estimate:
    """Closed-form metrics of one scenario. Raises InputError for an impossible split, Infeasible when it does not
    fit."""
    result = estimate_many([scenario])[0]
    if isinstance(result, RooflabError):
        raise result
    return result


def estimate_many(scenarios: Sequence[Scenario]) -> list[Estimate | RooflabError]:
    """Metrics of each scenario, in order; a scenario that cannot be done yields the error that `estimate` would
    raise."""
    results: list[Estimate | RooflabError | None] = [
        _pooled(s) if s.deployment.cluster.pools else None for s in scenarios
    ]
    alike = iter(estimate_alike([s for s in scenarios if not s.deployment.cluster.pools]))
    return [next(alike) if result is None else result for result in results]


def _pooled(scenario: Scenario) -> Estimate | RooflabError:
    try:
        return estimate_pools(scenario)
    except RooflabError as error:
        return error

"""The engines that a lab is handed: plain functions, so that a lab can be made in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rooflab.errors import InputError
from rooflab.papers.apply import load
from rooflab.papers.lab import Engines
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.deploy.engine import Engine
    from rooflab.estimator.serving.answer import Estimate
    from rooflab.estimator.serving.breakdown import OperatorRow

__all__ = ["engines"]


def engines() -> Engines:
    """The engines without a planner, which stands above the papers: whoever has one puts it in."""
    return Engines(
        load=load, estimate=_estimate, simulate=_simulate, plan=_no_plan, engine=_engine, operators=_operators
    )


def _estimate(scenario: Scenario) -> Estimate:
    from rooflab.estimator.serving.front import estimate

    return estimate(scenario)


def _simulate(scenario: Scenario, **options: Any) -> Any:
    from rooflab.simulator.serving.scenario import simulate

    return simulate(scenario, **({"partial": False} | options))


def _no_plan(scenario: Scenario, **options: Any) -> Any:
    raise InputError("this lab was handed no planner (rooflab.api.engines has one)", "plan")


def _engine(scenario: Scenario) -> Engine:
    from rooflab.deploy.engine import engine_of

    return engine_of(scenario)


def _operators(scenario: Scenario, phase: str, **load: float) -> list[OperatorRow]:
    from rooflab.deploy.complete import complete
    from rooflab.estimator.serving.breakdown import step_rows

    return step_rows(complete(scenario), phase, **load)

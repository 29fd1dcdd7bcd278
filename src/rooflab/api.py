"""The Python face: read, estimate, simulate, plan, write. Engines are imported when they are first asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooflab.errors import RooflabError
from rooflab.papers.apply import load, read
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.estimator.serving.answer import Estimate
    from rooflab.metrics.value import Value
    from rooflab.papers.lab import Engines
    from rooflab.planner.ceiling import Ceiling
    from rooflab.planner.result import Choice, Plan
    from rooflab.simulator.results.serving import ServingResult

__all__ = ["ceiling", "engines", "estimate", "estimate_many", "load", "plan", "read", "simulate", "write"]


def estimate(scenario: str | Path | Mapping[str, Any] | Scenario) -> Estimate:
    """Closed-form metrics of a scenario (or of a file or mapping that describes one).

    Raises InputError for an impossible split, Infeasible when it does not fit.
    """
    from rooflab.estimator.serving.front import estimate as solve

    return solve(load(scenario), value_of=_value_of)


def estimate_many(scenarios: Iterable[Scenario]) -> list[Estimate | RooflabError]:
    """Closed-form metrics of many scenarios, in order; those that share a model and hardware are solved together as
    arrays.

    A scenario that cannot be done yields the error that `estimate` would raise.
    """
    from rooflab.estimator.serving.front import estimate_many as solve

    return solve(list(scenarios), value_of=_value_of)


def simulate(scenario: str | Path | Mapping[str, Any] | Scenario, **options: Any) -> ServingResult:
    """Event-by-event metrics of a scenario; options are those of `rooflab.simulator.serving.scenario.simulate` (seed,
    progress, log_steps, partial).

    The first run on a machine compiles the loop, which takes a while and is kept on disk.
    """
    from rooflab.simulator.serving.scenario import simulate as solve

    return solve(load(scenario), **options)


def plan(scenario: str | Path | Mapping[str, Any] | Scenario, **options: Any) -> Plan:
    """The best deployments for a scenario, of every engine that serves it where it names none, each simulated before it
    is called a choice (`prove=False`: by the closed form alone); options are those of `rooflab.planner.search.plan`.

    `space` names what is tried beside them, of "pools", "speculation", "offload" and "all": what holds is in `beside`.
    """
    from rooflab.planner.search import plan as solve

    asked, names = load(scenario), tuple(options.pop("space", ()))
    if names:
        from rooflab.planner.beside import plan_beside, spaces_of

        names = spaces_of(names, asked)
        found = plan_beside(asked, solve(asked, **({"prove": True} | options)), names)
        found = replace(found, beside=_told(found.beside))
    else:
        found = solve(asked, **({"prove": True} | options))
    return replace(found, choices=_told(found.choices), by_devices=_told(found.by_devices), front=_told(found.front))


def ceiling(
    scenario: str | Path | Mapping[str, Any] | Scenario, objective: str = "", *, simulated: bool = False
) -> Ceiling:
    """What a scenario could gain at the most in `objective` ("cost", "throughput", "ttft", "tpot", "joules", "grams")
    if one kind of work were free, or halved; see `rooflab.planner.ceiling`."""
    from rooflab.planner.ceiling import ceiling as solve

    return solve(load(scenario), objective, simulated=simulated)


def _told(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    return tuple(replace(c, estimate=replace(c.estimate, value_of=_value_of)) for c in choices)


def _value_of(estimate: Estimate, metric: str) -> Value:
    from rooflab.evidence.intervals.intervals import value_of

    return value_of(estimate, metric)


def write(scenario: Scenario, path: str | Path) -> None:
    """Write what was asked to a YAML (or .json) file that `load` reads as an equal scenario, its techniques by name.

    Raises InputError for what no file can say; see `rooflab.scenario.write`.
    """
    from rooflab.scenario.write import write_scenario

    write_scenario(scenario, path)


def engines() -> Engines:
    """What a lab asks (`rooflab.papers.lab.Lab`): the engines with the planner, which stands above the papers."""
    from rooflab.papers.engines import engines as below

    return replace(below(), plan=plan)

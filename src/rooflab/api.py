"""The Python face: read a scenario, estimate, simulate, plan. Engines are imported when they are first asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooflab.errors import InputError, RooflabError, unknown
from rooflab.scenario.scenario import Resolvers, Scenario, read_file, read_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rooflab.estimator.serving.answer import Estimate
    from rooflab.planner.result import Plan
    from rooflab.simulator.results.serving import ServingResult

__all__ = ["apply_techniques", "estimate", "estimate_many", "load", "plan", "read", "simulate"]


def load(source: str | Path | Mapping[str, Any] | Scenario) -> Scenario:
    """A scenario from a YAML or JSON file, or from a mapping with the same fields; its techniques are applied.

    A relative path inside a file (a model's config, a trace) is looked for beside that file first.
    Raises InputError that names the file, the field, the value and the nearest valid ones.
    """
    if isinstance(source, Scenario):
        return source
    if isinstance(source, Mapping):
        return read(source)
    path = Path(source)
    fields = read_file(path)
    with inside(path):
        return read(beside(fields, path.parent))


def read(fields: Mapping[str, Any]) -> Scenario:
    """A scenario from its fields: names looked up in the catalogue, techniques applied in their order."""
    from rooflab.catalogue.hardware import hardware
    from rooflab.catalogue.models import model
    from rooflab.catalogue.workloads import resolve

    return apply_techniques(read_scenario(fields, Resolvers(model, hardware, resolve)))


def estimate(scenario: str | Path | Mapping[str, Any] | Scenario) -> Estimate:
    """Closed-form metrics of a scenario (or of a file or mapping that describes one).

    Raises InputError for an impossible split, Infeasible when it does not fit.
    """
    from rooflab.estimator.serving.engines import estimate as solve

    return solve(load(scenario))


def estimate_many(scenarios: Iterable[Scenario]) -> list[Estimate | RooflabError]:
    """Closed-form metrics of many scenarios, in order; those that share a model and hardware are solved together as
    arrays.

    A scenario that cannot be done yields the error that `estimate` would raise.
    """
    from rooflab.estimator.serving.engines import estimate_many as solve

    return solve(list(scenarios))


def simulate(scenario: str | Path | Mapping[str, Any] | Scenario, **options: Any) -> ServingResult:
    """Event-by-event metrics of a scenario; options are those of `rooflab.simulator.serving.scenario.simulate` (seed,
    progress, log_steps).

    The first run on a machine compiles the loop, which takes a while and is kept on disk.
    """
    from rooflab.simulator.serving.scenario import simulate as solve

    return solve(load(scenario), **options)


def plan(scenario: str | Path | Mapping[str, Any] | Scenario, **options: Any) -> Plan:
    """The best deployments for a scenario; options are those of `rooflab.planner.search.plan`."""
    from rooflab.planner.search import plan as solve

    return solve(load(scenario), **options)


def apply_techniques(scenario: Scenario) -> Scenario:
    """The scenario with the techniques that its file names applied, in their order.

    Raises InputError for a technique that no paper offers.
    """
    if not scenario.techniques:
        return scenario
    registry = _techniques()
    for i, (key, parameters) in enumerate(scenario.techniques):
        if key not in registry:
            raise unknown("technique", key, registry, f"techniques[{i}]")
        scenario = scenario | registry[key](**dict(parameters))
    return scenario


def _techniques() -> Mapping[str, Any]:
    """Techniques by key, from the registry of papers; empty as long as there is none."""
    from importlib import import_module
    from importlib.util import find_spec

    if find_spec("rooflab.papers.registry") is None:
        return {}
    found: Mapping[str, Any] = import_module("rooflab.papers.registry").techniques()
    return found


@contextmanager
def inside(path: str | Path) -> Iterator[None]:
    """Errors of a field that are raised in this block get the file's name in front."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, f"{path}: {error.where}" if error.where else str(path)) from None


def beside(fields: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """`fields` with relative paths of model and trace pointing into `folder`, where there is such a file."""
    changed = dict(fields)
    if isinstance(fields.get("model"), str) and fields["model"].strip():
        changed["model"] = _near(fields["model"], folder)
    workload = fields.get("workload")
    if isinstance(workload, Mapping) and isinstance(workload.get("trace"), str):
        changed["workload"] = {**workload, "trace": _near(workload["trace"], folder)}
    return changed


def _near(text: str, folder: Path) -> str:
    path = folder / text
    return str(path) if not Path(text).is_absolute() and (path.is_file() or (path / "config.json").is_file()) else text

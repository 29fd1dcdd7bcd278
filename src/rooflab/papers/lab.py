"""The lab that a claim works in: everything it may ask for, recorded and cached.

The audit hands a claim another lab, in which one physical input is halved or doubled, and the same code runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rooflab.inputs.scenario import HARDWARE_INPUTS, WORKLOAD_INPUTS, Perturbation
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario, Technique

if TYPE_CHECKING:
    from rooflab.costs.step import StepCost
    from rooflab.deploy.engine import Engine
    from rooflab.estimator.serving.answer import Estimate
    from rooflab.estimator.serving.breakdown import OperatorRow

__all__ = ["Engines", "Lab"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What a lab asks, handed to it.

    `load` reads a scenario from a file or from fields, `estimate` and `simulate` give its metrics, `plan` searches
    deployments; `engine` completes, accounts and prices the engine of a scenario, `operators` lists what a step of one
    phase under a load runs.
    """

    load: Callable[[Any], Scenario]
    estimate: Callable[[Scenario], Estimate]
    simulate: Callable[..., Any]
    plan: Callable[..., Any]
    engine: Callable[[Scenario], Engine]
    operators: Callable[..., list[OperatorRow]]


class Lab:
    """Scenarios, hardware, models, engines and data for a claim.

    It asks the `engines` that it was handed. What it hands over is scaled by its `perturbation`, if it has one; `asked`
    names the inputs that were handed over since `forget`, which are those that the audit can vary. Results are cached
    by what they depend on.
    """

    def __init__(self, engines: Engines, perturbation: Perturbation | None = None) -> None:
        self.engines = engines
        self.perturbation = perturbation
        self.asked: dict[str, None] = {}
        self._results: dict[Any, Any] = {}

    def forget(self) -> None:
        """Start a new record of what is asked for; results stay cached."""
        self.asked = {}

    def scenario(self, fields: Mapping[str, Any] | str | Path | None = None, **more: Any) -> Scenario:
        """A scenario from its fields, as a file has them: ``lab.scenario(model="…", hardware="8 x a100",
        workload={…})``."""
        made = self.engines.load(fields if isinstance(fields, (str, Path)) else {**(fields or {}), **more})
        return self._changed(made)

    def hardware(self, spec: Any) -> Hardware:
        """Hardware by name or mapping, for claims that compute with its figures."""
        from rooflab.catalogue.hardware import hardware

        self._ask(HARDWARE_INPUTS)
        found = hardware(spec)
        return self.perturbation.hardware(found) if self.perturbation else found

    def model(self, name: Any) -> Model:
        """A model by name, path or inline config."""
        from rooflab.catalogue.models import model

        found: Model = model(name)
        return found

    def data(self, name: str, value: T) -> T:
        """A datum of the paper's setup, or what an algorithm works on: numbers, arrays, lists and mappings of them.

        The audit scales every number in it, so constants of a claim that matter go through here.
        """
        self._ask([f"data: {name}"])
        changed: T = self.perturbation.datum(name, value) if self.perturbation else value
        return changed

    def estimate(self, scenario: Scenario, technique: Technique | None = None) -> Estimate:
        """Closed-form metrics of `scenario` (with `technique` in it)."""
        changed = self._changed(scenario)
        if technique is not None:
            changed = changed | technique
        return self.cached(("estimate", changed), lambda: self.engines.estimate(changed))

    def simulate(self, scenario: Scenario, technique: Technique | None = None, **options: Any) -> Any:
        """Event-by-event metrics; options are those of `rooflab.simulate`."""
        changed = self._changed(scenario)
        if technique is not None:
            changed = changed | technique
        return self.cached(
            ("simulate", changed, tuple(sorted(options.items()))), lambda: self.engines.simulate(changed, **options)
        )

    def plan(self, scenario: Scenario, **options: Any) -> Any:
        """The best deployments; options are those of `rooflab.plan`."""
        changed = self._changed(scenario)
        return self.cached(
            ("plan", changed, repr(sorted(options.items()))), lambda: self.engines.plan(changed, **options)
        )

    def engine(self, scenario: Scenario) -> Engine:
        """One engine of `scenario`, completed: its deployment, memory account and step price."""
        changed = self._changed(scenario)
        return self.cached(("engine", changed), lambda: self.engines.engine(changed))

    def step_cost(self, scenario: Scenario) -> StepCost:
        """The price of a step of one engine of `scenario`."""
        return self.engine(scenario).step_cost

    def operators(self, scenario: Scenario, phase: str = "decode", **load: float) -> list[OperatorRow]:
        """Operators of one step of `scenario`, longest first; `load` as in `StepCost.step`."""
        changed = self._changed(scenario)
        return self.cached(
            ("operators", changed, phase, tuple(sorted(load.items()))),
            lambda: self.engines.operators(changed, phase, **load),
        )

    def cached(self, key: Any, compute: Callable[[], T]) -> T:
        """The result under `key`, computed once in this lab; a claim's own costly steps may use it, too."""
        if key not in self._results:
            self._results[key] = compute()
        result: T = self._results[key]
        return result

    def _changed(self, scenario: Scenario) -> Scenario:
        self._ask(HARDWARE_INPUTS)
        self._ask(WORKLOAD_INPUTS)
        return self.perturbation.scenario(scenario) if self.perturbation else scenario

    def _ask(self, inputs: Any) -> None:
        for name in inputs:
            self.asked[name] = None

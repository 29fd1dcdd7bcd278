"""The lab that a claim works in: everything it may ask for, recorded and cached.

The audit hands a claim another lab, in which one physical input is halved or doubled, and the same code runs again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from rooflab.errors import InputError
from rooflab.inputs.perturb import HARDWARE_INPUTS, MODEL_INPUTS, SCENARIO_INPUTS, Perturbation
from rooflab.papers.condition import Assumption, Condition
from rooflab.papers.heard import Answer, Heard
from rooflab.papers.outcome import Outcome
from rooflab.papers.work import Work
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario, Technique

if TYPE_CHECKING:
    import numpy as np

    from rooflab.costs.engine_constants import ServingCalibration
    from rooflab.costs.step import StepCost
    from rooflab.deploy.engine import Engine
    from rooflab.estimator.serving.answer import Estimate
    from rooflab.estimator.serving.breakdown import OperatorRow
    from rooflab.papers.budget import Budget

__all__ = ["SHIFT", "Engines", "Lab"]

T = TypeVar("T")
K = TypeVar("K")
Given_contra = TypeVar("Given_contra", contravariant=True)

SHIFT: Final = 1.07
"""By how much published numbers are shifted when they are poisoned: enough to be seen, not enough to break a setup."""


class Runs(Protocol[Given_contra]):
    """What a lab needs of a method (`rooflab.papers.method`)."""

    @property
    def key(self) -> str:
        """Its name."""
        ...

    def run(self, lab: Lab, given: Given_contra) -> Outcome:
        """What it gives on an input."""
        ...

    def ablated(self, seed: int) -> Runs[Given_contra] | None:
        """The same without the paper's idea."""
        ...


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
    """Scenarios, hardware, models, samples, engines and data for a claim or a method.

    It asks the `engines` that it was handed. What it hands over is changed as its `condition` says. `asked` names the
    inputs that were handed over since `forget`, which are those that the audit can vary; `assumed` holds the
    assumptions. Results are cached by what they depend on, each with what was asked for on its way. `work` is put in by
    whoever runs a method for a reader: it keeps cells, holds the budget and tells how far it is; a claim's and the
    audit's keeps nothing, has all the time, and tells nobody.
    """

    def __init__(self, engines: Engines, condition: Condition | None = None) -> None:
        self.engines = engines
        self.condition = condition or Condition()
        self.work = Work()
        self.forget()
        self._results: dict[Any, tuple[Any, Heard]] = {}
        self._held: dict[int, Any] = {}

    def forget(self) -> None:
        """Start a new record of what is asked for; results stay cached."""
        self._record = Heard()

    @property
    def asked(self) -> dict[str, None]:
        """Names of the inputs that were handed over."""
        return self._record.asked

    @property
    def assumed(self) -> dict[str, Assumption]:
        """Assumptions by name."""
        return self._record.assumed

    @property
    def given_data(self) -> dict[str, Any]:
        """Data by name, as the paper states them."""
        return self._record.data

    @property
    def priced(self) -> list[tuple[Scenario, ServingCalibration]]:
        """What engines were asked for, with the constants in force then."""
        return list(self._record.priced.values())

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Results that were given, in order."""
        return tuple(self._record.answers)

    @property
    def drew(self) -> bool:
        """Whether a seed or random numbers were asked for: what never does is the same with every seed."""
        return self._record.drew

    @property
    def seed(self) -> int:
        """What random choices are drawn with."""
        self._record.drew = True
        return self.condition.seed

    def rng(self, purpose: str) -> np.random.Generator:
        """A stream of random numbers for one purpose; the same in every run of the same seed."""
        import numpy as np

        return np.random.default_rng([self.seed, *purpose.encode()])

    def scenario(self, fields: Mapping[str, Any] | str | Path | None = None, **more: Any) -> Scenario:
        """A scenario from its fields, as a file has them: ``lab.scenario(model="…", hardware="8 x a100",
        workload={…})``."""
        made = self.engines.load(fields if isinstance(fields, (str, Path)) else {**(fields or {}), **more})
        self._ask(SCENARIO_INPUTS)
        return made if self.condition.at_engines else self._scaled(made)

    def hardware(self, spec: Any) -> Hardware:
        """Hardware by name or mapping, for claims that compute with its figures."""
        from rooflab.catalogue.hardware import hardware

        self._ask(HARDWARE_INPUTS)
        found = hardware(spec)
        scale = None if self.condition.at_engines else self.condition.perturbation
        return scale.hardware(found) if scale else found

    def model(self, name: Any) -> Model:
        """A model by name, path or inline config."""
        from rooflab.catalogue.models import model

        self._ask(MODEL_INPUTS)
        found: Model = model(name)
        scale = None if self.condition.at_engines else self.condition.perturbation
        return scale.model(found) if scale else found

    def data(self, name: str, value: T) -> T:
        """A datum of the paper's setup, or what an algorithm works on: numbers, arrays, lists and mappings of them.

        The audit scales every number in it, and shifts it where it was published, so constants of a claim that matter
        go through here. Raises InputError for a text: numbers are handed over as numbers.
        """
        if isinstance(value, (str, bytes)):
            raise InputError("is a text; numbers are handed over as numbers", f"datum {name!r}")
        self._ask([f"data: {name}"])
        self.given_data[name] = value
        if self.condition.shifted == name:
            shifted: T = Perturbation(f"data: {name}", SHIFT).datum(name, value)
            return shifted
        scale = self.condition.perturbation
        changed: T = scale.datum(name, value) if scale else value
        return changed

    def table(self, path: str | Path) -> Any:
        """The numbers in a file beside the paper (.csv, .json, .yaml, .npz), as a datum of the file's name."""
        from rooflab.papers.table import read_table

        return self.data(Path(path).name, read_table(Path(path)))

    def assume(self, name: str, value: float, *, low: float, high: float, source: str) -> float:
        """A number that nobody published: `value`, which could as well lie anywhere from `low` to `high`.

        `source` says why there. The check computes the claim again at both ends: a verdict that flips depends on it.
        Raises InputError when the value lies outside its ends, or nothing says why.
        """
        if not low <= value <= high or not source.strip():
            raise InputError(
                f"{value:g} has to lie between {low:g} and {high:g}, with a source", f"assumption {name!r}"
            )
        assumption = self.assumed[name] = Assumption(name, value, low, high, source)
        return assumption.at(dict(self.condition.assumptions).get(name, ""))

    def sample(self, kind: type[T], name: str = "") -> T:
        """Data that ship with a kind of input (`name`; the first without), disturbed where the audit says so."""
        from rooflab.inputs.kinds import kind_of

        known = kind_of(kind)
        data = known.sample(name)
        for way in known.disturbances(data):
            self.asked[f"{known.name}: {way.name}"] = None
        of, _, disturbance = self.condition.disturbance.partition(": ")
        if of == known.name:
            data = known.disturb(data, disturbance, self.rng("disturb"))
        return data

    def run(self, method: Runs[T], given: T) -> Outcome:
        """What `method` gives on `given`; the same method without its idea where the audit says so."""
        self.asked[f"method: {method.key}"] = None
        chosen: Runs[T] = method
        if self.condition.ablated:
            without = method.ablated(self.condition.seed)
            if without is None:
                raise InputError("has no form without its idea", method.key)
            self.asked["ablation"] = None
            chosen = without
        elif method.ablated(self.condition.seed) is not None:
            self.asked["ablation"] = None
        self._held[id(given)] = given  # what is named by its place must stay in it
        with self.work.inside(chosen, given):
            return self.cached(("run", type(chosen), str(chosen), id(given)), lambda: chosen.run(self, given))

    def with_idea(self) -> bool:
        """Whether the paper's idea is in, for an execution that is no method of an input: False where the audit takes
        it out."""
        self.asked["ablation"] = None
        return not self.condition.ablated

    def with_technique(self, scenario: Scenario, technique: Technique | None) -> Scenario:
        """`scenario` with `technique` in it, or as it is where the audit takes techniques out."""
        if technique is None:
            return scenario
        self.asked["technique"] = None
        return scenario if self.condition.bare else scenario | technique

    def estimate(self, scenario: Scenario, technique: Technique | None = None) -> Estimate:
        """Closed-form metrics of `scenario` (with `technique` in it, unless the audit takes techniques out)."""
        changed = self.priced_as(scenario, technique)
        return self._asked(("estimate", changed), lambda: self.engines.estimate(changed))

    def simulate(self, scenario: Scenario, technique: Technique | None = None, **options: Any) -> Any:
        """Event-by-event metrics; options are those of `rooflab.simulate`."""
        changed = self.priced_as(scenario, technique)
        return self._asked(
            ("simulate", changed, tuple(sorted(options.items()))), lambda: self.engines.simulate(changed, **options)
        )

    def plan(self, scenario: Scenario, **options: Any) -> Any:
        """The best deployments; options are those of `rooflab.plan`."""
        changed = self.priced_as(scenario)
        return self._asked(
            ("plan", changed, repr(sorted(options.items()))), lambda: self.engines.plan(changed, **options)
        )

    def engine(self, scenario: Scenario) -> Engine:
        """One engine of `scenario`, completed, accounted and priced."""
        changed = self.priced_as(scenario)
        return self._asked(("engine", changed), lambda: self.engines.engine(changed))

    def step_cost(self, scenario: Scenario) -> StepCost:
        """The price of a step of one engine of `scenario`."""
        return self.engine(scenario).step_cost

    def operators(self, scenario: Scenario, phase: str = "decode", **load: float) -> list[OperatorRow]:
        """Operators of one step of `scenario`, longest first; `load` as in `StepCost.step`."""
        changed = self.priced_as(scenario)
        return self._asked(
            ("operators", changed, phase, tuple(sorted(load.items()))),
            lambda: self.engines.operators(changed, phase, **load),
        )

    def cells(
        self, name: str, items: Iterable[K], compute: Callable[[K], T], *, least: int | None = None
    ) -> dict[K, T]:
        """``compute(item)`` of every item, one by one, by item: for what takes more than two seconds in all.

        `name` says in the plural what one is ("searches"), items are small plain values (numbers, names, tuples), the
        most telling ones first. A value is made of plain values and arrays; it depends on the method's input and
        parameters, the seed and the item, and on nothing else: what other cells gave belongs into the item, and what is
        drawn comes from ``self.rng`` with the item in its purpose. In a run for a reader `compute` is called for items
        that no earlier run of the same finished. Where `least` is given so many serve: after Ctrl-C, or at the end of
        the budget, there may be fewer than were asked for, and the figures are of those (see `Figure.mean`).
        """
        found = self.work.through(name, items, lambda item: self._recorded(lambda: compute(item)), least)
        for value, heard in found.values():
            self._note(value, heard, engine=False)
        return {item: value for item, (value, _) in found.items()}

    def cell(self, name: str, compute: Callable[[], T]) -> T:
        """One cell: a step that takes long and that everything after it needs."""
        return self.cells(name, [0], lambda _: compute())[0]

    @property
    def budget(self) -> Budget:
        """The time that the run has. ``budget.fits("requests", 2000, least=200, trial=...)`` says how many fit; what is
        cut to fit is noted in the outcome."""
        return self.work.budget

    def cached(self, key: Any, compute: Callable[[], T]) -> T:
        """The result under `key`, computed once in this lab; a claim's own costly steps may use it, too."""
        return self._answer(key, compute, engine=False)

    def _asked(self, key: Any, compute: Callable[[], T]) -> T:
        """What an engine says under `key`."""
        return self._answer(key, compute, engine=True)

    def _answer(self, key: Any, compute: Callable[[], T], *, engine: bool) -> T:
        if key not in self._results:
            self._results[key] = self._recorded(compute)
        result: T
        result, heard = self._results[key]
        self._note(result, heard, engine=engine)
        return result

    def _recorded(self, compute: Callable[[], T]) -> tuple[T, Heard]:
        """A result, and what was asked for on its way."""
        outer, self._record = self._record, Heard()
        started = time.process_time()
        try:
            return compute(), self._record
        finally:
            inner, self._record = self._record, outer
            inner.seconds = time.process_time() - started
            outer.add(inner)

    def _note(self, result: Any, heard: Heard, *, engine: bool) -> None:
        """Write a result down, with what was asked for on its way."""
        self._record.add(heard)
        self._record.answers.append(Answer(result, engine, heard.seconds, tuple(heard.answers)))

    def priced_as(self, scenario: Scenario, technique: Technique | None = None) -> Scenario:
        """`scenario` (with `technique` in it) as an engine of this lab gets it: for papers that run engines."""
        from rooflab.costs.engine_constants import active

        self._ask(SCENARIO_INPUTS)
        changed = self.with_technique(self._scaled(scenario), technique)
        self._record.priced[id(changed)] = changed, active()
        return changed

    def _scaled(self, scenario: Scenario) -> Scenario:
        scale = self.condition.perturbation
        if self.condition.reseeded:
            scenario = scenario.with_workload(seed=self.condition.seed)
        return scale.scenario(scenario) if scale else scenario

    def _ask(self, inputs: Iterable[str]) -> None:
        for name in inputs:
            self.asked[name] = None

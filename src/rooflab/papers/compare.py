"""A technique on a scenario: before, after and why. What `papers run`, `papers rank` and pages show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.front import estimate, estimate_many
from rooflab.metrics.registry import METRICS
from rooflab.papers.causes import alone, under_load, when_full
from rooflab.papers.quality import QualityCost
from rooflab.papers.reasons import SAME, Reason, fact, label, moved, same, sentence, way
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario
from rooflab.units import significant

__all__ = ["Change", "Comparison", "Measured", "at_capacity", "compare", "explained", "measure", "weigh"]

_SHOWN: Final = (
    "output_tokens_per_s_per_gpu", "ttft_s_p50", "ttft_s_p99", "tpot_s_mean", "tpot_s_p99", "e2e_s_p99", "usd_per_mtok",
    "j_per_token",
    "power_w",
)  # fmt: skip
_SEEN: Final = ("queue_s_mean", "running_mean", "preemptions", "itl_s_p99", "weights_bytes")
"""What a simulation tells of a change for which a technique has no words."""
_RATE: Final = "output_tokens_per_s_per_gpu"
_RATES: Final = ("total_tokens_per_s_per_gpu", "requests_per_s_per_gpu")
_FULL: Final = "throughput when full"
_IDLE: Final = 0.5
"""Share of the sequences of a full engine below which its tokens under the load are another case."""
SIMULATED_REQUESTS: Final = 2000
"""Requests of a comparison by simulation when the scenario names no number: p99 rests on twenty of them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of a scenario under its own load, and of one engine kept full by the same requests (`capacity`)."""

    scenario: Scenario
    load: dict[str, float]
    capacity: dict[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and after; `gain` above 1 is better, NaN where one side is unknown."""

    metric: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """How many times better."""
        worse, better = (
            (self.after, self.before) if METRICS[self.metric].better == "lower" else (self.before, self.after)
        )
        if not (math.isfinite(self.before) and math.isfinite(self.after)) or worse == 0:
            return math.nan
        return better / worse

    @property
    def way(self) -> int:
        """1: better, -1: worse, 0: the same, or one side is unknown."""
        return way(self.before, self.after, METRICS[self.metric].better)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A technique on a scenario: metrics under the scenario's load (`changes`), capacity in tokens/s/device, why, and
    quality.

    `before` is None where the scenario cannot be done without the technique; `note` then says why. `reasons` are there
    once it was `explained`.
    """

    technique: Technique
    before: Measured | None
    after: Measured
    changes: tuple[Change, ...]
    capacity: Change
    quality: QualityCost
    reasons: tuple[Reason, ...] = ()
    note: str = ""

    @property
    def because(self) -> str:
        """Why, as a sentence."""
        return sentence(self.reasons)

    @property
    def about(self) -> Change:
        """What the technique is about, before and after: of an engine kept full where the closed form knows."""
        metric = self.technique.saves
        if metric == _RATE and self.after.capacity:
            return self.capacity
        was = self.before.load.get(metric, math.nan) if self.before else math.nan
        return Change(metric, was, self.after.load.get(metric, math.nan))

    @property
    def headline(self) -> tuple[float, str]:
        """The gain in the metric that the technique is about, and its name; 0 where nothing can be compared, infinity
        where what never ended does now."""
        change = self.about
        of = _FULL if change is self.capacity else label(change.metric)
        gain = change.gain
        return (math.inf if change.way > 0 else 0.0) if math.isnan(gain) else gain, of

    @property
    def verdict(self) -> str:
        """Whether it pays on this scenario: what it is about first, then what gets better and worse with it."""
        if self.before is None:
            return "it runs only with this"
        gain, of = self.headline
        asks = ", if the answers stay good enough" if self.quality.status == "unknown" else ""
        was, now = (m.load.get("devices", math.nan) for m in (self.before, self.after))
        if same(gain, 1.0):
            said = f"changes nothing here in what it is about ({of})"
        else:
            pays = "pays here, for more than it gains" if self.costs_more else "pays here"
            pays = "pays only if engines are kept full" if self.only_full else pays
            pays = "pays with more devices" if now > was else pays
            said = f"{pays + asks if gain > 1 else 'does not pay here'}: {of} {significant(gain)} ×"
        said += f" (on {now:,.0f} devices instead of {was:,.0f})" if was != now else ""
        under = "under this load " if self.only_full else ""
        for words, direction in (("better", 1), (f"{under}worse", -1)):
            listed = [_listed(c) for c in self.changes if c.way == direction]
            said += f"; {words}: {', '.join(listed)}" if listed else ""
        return said

    @property
    def costs_more(self) -> bool:
        """Whether something under the load gets worse by a larger factor than that by which what it is about gains."""
        gain, _ = self.headline
        return any(c.gain * gain < 1 for c in self.changes if c.way == -1)

    @property
    def only_full(self) -> bool:
        """Whether only engines that are kept full gain: under the scenario's load nothing gets better and some does
        worse."""
        gain, of = self.headline
        ways = {c.way for c in self.changes}
        return gain > 1 + SAME and of == _FULL and -1 in ways and 1 not in ways


def _listed(c: Change) -> str:
    """A change with its gain; without where what never ended does now, or the other way round."""
    return label(c.metric) + ("" if math.isnan(c.gain) else f" {significant(c.gain)} ×")


def at_capacity(scenario: Scenario) -> Scenario:
    """The same requests, as many at once as fit: what the deployment can do when it is never idle."""
    return scenario.with_workload(
        rate=None, concurrency=None, batch=None, burst=None, trace=None, scenario="max-throughput"
    )


def measure(scenario: Scenario, engine: str = "estimate") -> Measured:
    """Metrics of `scenario` by closed form or by simulation. Raises Infeasible when it does not fit."""
    if engine == "estimate":
        found = estimate(scenario)
        full = estimate(at_capacity(scenario)).metrics if scenario.workload.mode != "max-throughput" else found.metrics
        return Measured(found.scenario, dict(found.metrics), dict(full))
    asked = scenario if scenario.workload.requests else scenario.with_workload(requests=SIMULATED_REQUESTS)
    from rooflab.simulator.serving.scenario import simulate  # what needs no simulation must not wait for the compiler

    result = simulate(asked, partial=False)
    load = dict(result.metrics)
    return Measured(getattr(result, "scenario", asked), load, {})


def settled(scenario: Scenario) -> Scenario:
    """The scenario with its split chosen where it is open: the tensor parallelism that serves most when full.

    Both sides of a comparison then run on the same split, and a technique is not credited with what another split would
    give.
    """
    if scenario.deployment.split.tp is not None:
        return scenario
    most = min(scenario.hardware.count, scenario.hardware.devices_per_host)
    tried = [scenario.with_deployment(tp=2**i) for i in range(most.bit_length()) if 2**i <= most]
    found = estimate_many([at_capacity(t) for t in tried])
    fitting = [
        (e.metrics["output_tokens_per_s_per_gpu"], -i) for i, e in enumerate(found) if not isinstance(e, RooflabError)
    ]
    return tried[-max(fitting)[1]] if fitting else scenario


def compare(
    scenario: Scenario, technique: Technique, measure: Callable[[Scenario, str], Measured] = measure
) -> Comparison:
    """`technique` on `scenario`, both as `measure` sees them, with the reasons. Raises Infeasible, with the reason,
    where it does not apply or the result does not fit."""
    scenario = settled(scenario)
    return explained(weigh(scenario, technique, measure), scenario)


def weigh(
    scenario: Scenario, technique: Technique, measure: Callable[[Scenario, str], Measured] = measure
) -> Comparison:
    """What `compare` gives, of a settled scenario, without the reasons, which take most of its time."""
    after = measure(scenario | technique, technique.engine)
    note = ""
    before: Measured | None = None
    try:
        before = measure(scenario, technique.engine)
    except Infeasible as error:
        note = str(error)
    changes = tuple(
        Change(m, before.load.get(m, math.nan) if before else math.nan, after.load[m])
        for m in _SHOWN
        if m in after.load
    )
    return Comparison(
        technique=technique, before=before, after=after, changes=changes, capacity=_capacity(before, after),
        quality=paper(technique.paper).quality_cost(technique, scenario.model), note=note,
    )  # fmt: skip


def explained(c: Comparison, scenario: Scenario) -> Comparison:
    """A comparison on `scenario` with its reasons."""
    return replace(c, reasons=reasons(c.technique, scenario, scenario | c.technique, c.before, c.after))


def _capacity(before: Measured | None, after: Measured) -> Change:
    """Throughput of a device: generated tokens, or what a model that generates none gets through."""
    own = after.capacity or after.load
    base = (before.capacity or before.load) if before else {}
    name = next((n for n in (_RATE, *_RATES) if own.get(n)), _RATE)
    return Change(name, base.get(name, math.nan), own.get(name, math.nan))


def reasons(
    technique: Technique, scenario: Scenario, changed: Scenario, before: Measured | None, after: Measured
) -> tuple[Reason, ...]:
    """Why the figures changed: the technique's own reasons, then where a token's time goes, what memory holds, and
    each cause alone; or what a simulation saw."""
    own = tuple(technique.because(before, after))
    if before is None:
        return own or (fact("it fits now"),)
    if not after.capacity:
        seen = () if own else (r for metric in _SEEN for r in moved(metric, before, after))
        return (*own, *seen) or (fact("nothing that a simulation sees changed"),)
    general = list(when_full(before, after))
    busy = before.capacity.get("running", 0.0)
    if before.load.get("running", 0.0) < _IDLE * busy and scenario.workload.mode != "static":
        general += under_load(before, after)
    told = {r.metric for r in own}
    for metric, full in (("max_running", True), ("weights_bytes", False)):
        general += [r for r in moved(metric, before, after, full=full) if metric not in told]
    general += alone(at_capacity(scenario), at_capacity(changed), before.capacity.get(_RATE, math.nan))
    return (*own, *general) or (fact("nothing that a step is spent on changed"),)


def attempt(scenario: Scenario, technique: Technique) -> Comparison | RooflabError:
    """`compare`, with a refusal as a value."""
    try:
        return compare(scenario, technique)
    except RooflabError as error:
        return error


def with_requests(scenario: Scenario, requests: int) -> Scenario:
    """The same scenario with at most `requests` requests to simulate."""
    w = scenario.workload
    return replace(scenario, workload=replace(w, requests=min(w.requests or requests, requests)))


def plain(value: Any) -> Any:
    """A number for JSON: NaN and infinity become None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

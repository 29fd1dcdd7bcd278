"""A technique on a scenario: before, after and why. What `papers run`, `papers rank` and pages show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.front import estimate, estimate_many
from rooflab.metrics.registry import METRICS
from rooflab.papers.quality import QualityCost
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Change", "Comparison", "Measured", "at_capacity", "compare", "measure"]

_SHOWN: Final = (
    "output_tokens_per_s_per_gpu", "ttft_s_p50", "ttft_s_p99", "tpot_s_mean", "tpot_s_p99", "e2e_s_p99", "usd_per_mtok",
    "j_per_token",
    "power_w",
)  # fmt: skip
_PARTS: Final = ("weights_bandwidth", "arithmetic", "attention", "communication", "host", "offload")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A technique on a scenario: metrics under the scenario's load (`changes`), capacity in tokens/s/device, why, and
    quality.

    `before` is None where the scenario cannot be done without the technique; `note` then says why.
    """

    technique: Technique
    before: Measured | None
    after: Measured
    changes: tuple[Change, ...]
    capacity: Change
    because: str
    quality: QualityCost
    note: str = ""

    @property
    def headline(self) -> tuple[float, str]:
        """The gain that the technique is about, and in what: throughput when full, or the latency that gains most where
        only a simulation sees it; 0 where nothing can be compared."""
        capacity = self.capacity.gain
        if self.technique.engine == "estimate":
            return (0.0 if math.isnan(capacity) else capacity), "throughput when full"
        latency = {"ttft_s_p99": "TTFT p99", "tpot_s_p99": "TPOT p99"}
        gains = [(c.gain, latency[c.metric]) for c in self.changes if c.metric in latency]
        known = [(gain, of) for gain, of in [(capacity, "throughput"), *gains] if not math.isnan(gain)]
        return max(known, default=(0.0, "throughput"))


def at_capacity(scenario: Scenario) -> Scenario:
    """The same requests, as many at once as fit: what the deployment can do when it is never idle."""
    return scenario.with_workload(rate=None, concurrency=None, batch=None, trace=None, scenario="max-throughput")


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
    """`technique` on `scenario`, both as `measure` sees them. Raises Infeasible, with the reason, where it does not
    apply or the result does not fit."""
    scenario = settled(scenario)
    changed = scenario | technique
    after = measure(changed, technique.engine)
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
        because=because(technique, before, after),
        quality=paper(technique.paper).quality_cost(technique, scenario.model), note=note,
    )  # fmt: skip


def _capacity(before: Measured | None, after: Measured) -> Change:
    name = "output_tokens_per_s_per_gpu"
    own = after.capacity or after.load
    base = (before.capacity or before.load) if before else {}
    return Change(name, base.get(name, math.nan), own.get(name, math.nan))


def because(technique: Technique, before: Measured | None, after: Measured) -> str:
    """Why the figures changed: the technique's own reason, or what a step is spent on and what memory holds."""
    own = technique.because(before, after)
    if own or before is None:
        return own or "it fits now"
    return "; ".join(_reasons(before, after)) or "nothing that a step is spent on changed"


def _reasons(before: Measured, after: Measured) -> Sequence[str]:
    b, a = before.capacity or before.load, after.capacity or after.load
    reasons = []
    changed = {p: (b[f"share_{p}"], a[f"share_{p}"]) for p in _PARTS if f"share_{p}" in b and f"share_{p}" in a}
    top = sorted(changed, key=lambda p: changed[p][0] - changed[p][1])
    for part in (top[-1], top[0]) if top else ():
        was, now = changed[part]
        if abs(was - now) >= 0.02:
            reasons.append(f"{part.replace('_', ' ')} {was:.0%} → {now:.0%} of a full step")
    if "max_running" in b and abs(b["max_running"] - a["max_running"]) >= 1:
        reasons.append(f"memory holds {b['max_running']:,.0f} → {a['max_running']:,.0f} sequences")
    if "weights_bytes" in b and abs(b["weights_bytes"] / max(a["weights_bytes"], 1.0) - 1) > 0.02:
        reasons.append(f"weights {b['weights_bytes'] / 1e9:,.1f} → {a['weights_bytes'] / 1e9:,.1f} GB a device")
    return reasons


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

"""A row of a scenario's servers, simulated: how many more its budget carries under a policy, and what they lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from rooflab.deploy.engine import engine_of
from rooflab.library.serving.polca.policy import BRAKE, HIGH, LOW, POLICIES, SHARES, Policy, policy
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Fraction, PositiveFloat, Range
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.power_phases import Phases, phases_of

if TYPE_CHECKING:
    from rooflab.simulator.power_row import RowResult
    from rooflab.simulator.power_site import Load, Site, Trial

__all__ = ["PowerRow", "host_share", "phases", "share_high"]

_LIMITS: Final = {HIGH: (0.01, 0.05), LOW: (0.05, 0.5)}
"""Latency that each class may lose at the median and at the 99th percentile, as they are told of the paper."""
Servers = Annotated[int, Range(2, 10_000)]
_NAMES: Final = {HIGH: "high priority", LOW: "low priority"}
_TABLE_DAYS: Final = 42.0
"""Days of the production table: 21 June to 2 August 2023."""


def phases(scenario: Scenario, clocks: Sequence[float] = SHARES, host_share: float = 1.0) -> Phases:
    """Phases of a host full of engines of `scenario`, each with the batch that its workload keeps in flight."""
    engine = engine_of(scenario)
    h, per = engine.hardware, engine.deployment.split.devices_per_replica
    require(engine.model.kind == "decoder", f"{engine.model.name} generates no tokens: its power has no two phases")
    require(
        per <= h.devices_per_host,
        f"an engine of {per} devices spans hosts of {h.devices_per_host}; a row is made of single servers",
    )
    require(h.host_power_w > 0, f"what a host of {h.device.name} draws is not known")
    running = _in_flight(replace(scenario, deployment=engine.deployment))
    return phases_of(engine, scenario.workload, in_flight=running, clocks=clocks, host_share=host_share)


def _in_flight(s: Scenario) -> float:
    """Sequences that an engine has in flight: those asked for, or those of the steady state."""
    from rooflab.estimator.serving.front import estimate

    if s.workload.batch:
        return float(s.workload.batch)
    return float(max(round(float(estimate(s).metrics["running"]) / (s.deployment.cluster.replicas or 1)), 1))


def host_share(lab: Lab) -> float:
    """What a host draws at all times beside its GPUs, as a share of what its rating leaves for it."""
    return lab.assume(
        "draw of a host beside its GPUs, of its rating", 1.0, low=0.38, high=1.0,
        source="from what hosts drew in the single-node runs of MLPerf Training 4.0 and 5.0 to all of it",
    )  # fmt: skip


def share_high(lab: Lab) -> float:
    """Share of servers that are of high priority."""
    return lab.assume(
        "servers of high priority", 0.5, low=0.3, high=0.7,
        source="the paper states no mix; from twice as many of low priority to twice as many of high",
    )  # fmt: skip


def _limits(lab: Lab) -> Mapping[int, Sequence[float]]:
    """Service levels by class."""
    factor = lab.assume(
        "service levels, times those told of the paper", 1.0, low=0.5, high=2.0,
        source="below 1 % at the median of high priority is quoted from the paper; 5 % at its 99th percentile, 5 and "
        "50 % for low priority are told by notes alone",
    )  # fmt: skip
    return {group: tuple(factor * x for x in levels) for group, levels in _LIMITS.items()}


class PowerRow(Method[Scenario]):
    """A row of the scenario's servers under a capping policy: how many more its budget carries, what `more` of them
    lose, and how often rival policies brake (section 6).

    The row is provisioned for `servers`; thresholds are shares of its budget, commands take `delay_s`. `busy` is the
    share of time that a server works at the daily peak (0: by the scenario's rate where it has one, else assumed),
    `loss` the latency that a clock may cost whose saving is asked for.
    """

    headline = "servers more in the same budget"

    policy: Policy = "two thresholds"
    servers: Servers = 40
    more: Fraction = 0.3
    low: Fraction = 0.8
    high: Fraction = 0.89
    delay_s: PositiveFloat = 40.0
    busy: Fraction = 0.0
    loss: Fraction = 0.07

    def ablated(self, seed: int) -> PowerRow:
        """The row's own brake alone."""
        return type(self)(**self.parameters() | {"policy": "no cap"})

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader's."""
        site = self.site(lab, given)
        extra, trial = site.extra(), self.trial(site)
        brakes = {name: self.brakes(site, name) for name in POLICIES}
        share = f"with {self.more:.0%} more"
        figures = [
            *_given(site, self.table(site.phases, site.load), self.delay_s),
            _figure("servers more in the same budget", 100 * extra, "%", better="higher"),
            _figure(f"peak {share}", 100 * trial.capped_peaks.peak, "% of the budget",
                    baseline=100 * trial.uncapped_peaks.peak, better="lower"),
            _figure(f"time capped {share}", 100 * trial.time_capped, "%"),
            *(_figure(f"brakes {share}, {name}", count, _BUSIEST) for name, count in brakes.items()),
            _figure(f"brakes {share}, the best rival", min(n for p, n in brakes.items() if p != self.policy), _BUSIEST),
            _figure(f"peak of a server saved, {self.loss:.0%} lost at most", self.saved(site.phases), "%",
                    better="higher"),
        ]  # fmt: skip
        for group, name in _NAMES.items():
            p50, p99 = trial.losses(group)
            figures += [
                _figure(f"{name} loses {share}, p50", 100 * p50, "% of latency", better="lower"),
                _figure(f"{name} loses {share}, p99", 100 * p99, "% of latency", better="lower"),
                _figure(f"{name}: work late {share}", 100 * self.lost(lab, site, group), "%", better="lower"),
            ]
        return Outcome(tuple(figures), self._because(site, extra, trial))

    def served(self, lab: Lab, given: Scenario) -> Phases:
        """What a server's job takes and draws at each clock."""
        s = lab.priced_as(given)
        require(s.hardware.device.kind == "gpu", f"{s.hardware.device.name} offers no clock to lock out of band")
        return phases(s, host_share=host_share(lab))

    def site(self, lab: Lab, given: Scenario) -> Site:
        """The row under this policy."""
        from rooflab.simulator.power_site import Site

        caps = policy(self.policy, low=self.low, high=self.high, delay_s=self.delay_s)
        return Site(
            self.served(lab, given), self.load(lab, given), servers=self.servers, caps=caps,
            share_high=share_high(lab), limits=_limits(lab),
        )  # fmt: skip

    def saved(self, served: Phases) -> float:
        """Peak of a server that the lowest cap saves whose loss stays within `loss`, percent."""
        lowest = max((i for i in range(1, BRAKE) if served.loss(i) <= self.loss), default=0)
        return float(100.0 * (1.0 - served.prompt_w[lowest] / served.prompt_w[0]))

    def trial(self, site: Site) -> Trial:
        """The row with `more` servers."""
        return site.trial(round(self.servers * (1.0 + self.more)))

    def table(self, served: Phases, load: Load) -> RowResult:
        """The row as the production table shows it: six weeks, whole days, nothing capped."""
        from rooflab.simulator.power_jobs import DAY_S
        from rooflab.simulator.power_row import row_of, run_row

        row = row_of(served, self.servers, budget_w=self.servers * served.rated_w)
        return run_row(row, load.jobs(served, self.servers, _TABLE_DAYS), _TABLE_DAYS * DAY_S, latencies=False)

    def brakes(self, site: Site, name: Policy) -> int:
        """Brakes with `more` servers under a policy, in the busiest hour of each day of six weeks."""
        if name == self.policy:
            return self.trial(site).capped_peaks.brakes
        rival = site.under(policy(name, low=self.low, high=self.high, delay_s=self.delay_s))
        return self.trial(rival).capped_peaks.brakes

    def lost(self, lab: Lab, site: Site, group: int) -> float:
        """Work of a class that is late or not done with `more` servers, as a share of what is done without caps."""
        median, tail = _LIMITS[group]
        late = lab.assume(
            f"how much later a job of {_NAMES[group]} is late", tail, low=median, high=tail,
            source="its service level at the median to that at the 99th percentile",
        )  # fmt: skip
        return self.trial(site).work_lost(group, late)

    def load(self, lab: Lab, given: Scenario) -> Load:
        """What a server has to do: by the scenario's rate, or assumed."""
        from rooflab.estimator.serving.front import estimate
        from rooflab.simulator.power_jobs import shape_of
        from rooflab.simulator.power_site import Load

        s = lab.priced_as(given)
        if self.busy:
            busy: float = self.busy
        elif s.workload.mode == "open":
            busy = min(max(float(estimate(s).metrics["utilisation"]), 0.05), 0.9)
        else:
            busy = lab.assume(
                "busy at the daily peak", 0.7, low=0.5, high=0.9,
                source="the paper states no load; a fleet that is half busy at its peak to one that nearly always is",
            )  # fmt: skip
        swing = lab.assume(
            "swing of the load over a day", 0.3, low=0.1, high=0.6,
            source="the paper's row follows the day; from nearly even to four times the load of the night",
        )  # fmt: skip
        shape = shape_of(s.workload.osl)
        return Load(busy=busy, swing=swing, shape=shape)

    def _because(self, site: Site, extra: float, trial: Trial) -> str:
        count = round(self.servers * (1.0 + extra))
        if count >= site.most - 1:
            return f"in a budget for {self.servers} the row carries {count} servers or more"
        if extra == 0 and not site.trial(self.servers).fine:
            ends = "even they brake" if site.trial(self.servers).brakes_at_all else "even they break a service level"
            return f"in a budget for {self.servers} the row carries no server more: {ends}"
        ends = "brakes" if site.trial(count + 1).brakes_at_all else "breaks a service level"
        return (
            f"in a budget for {self.servers} the row carries {count} servers: one more {ends}; with {self.more:.0%} "
            f"more it is capped {trial.time_capped:.0%} of the time"
        )


_BUSIEST: Final = "in the busiest hour of 42 days"


def _given(site: Site, table: RowResult, delay_s: float) -> tuple[Figure, ...]:
    p = site.phases
    return (
        _figure("a server is rated at", p.rated_w, "W"), _figure("draws in prompts", p.prompt_w[0], "W"),
        _figure("draws in tokens", p.token_w[0], "W"), _figure("draws idle", p.idle_w[0], "W"),
        _figure("busy at the daily peak", 100 * site.load.busy, "%"),
        _figure("peak of the row in 42 days", 100 * table.peak, "% of the budget"),
        _figure("largest rise within a command", 100 * table.largest_rise(delay_s), "% of the budget"),
    )  # fmt: skip


def _figure(
    name: str, value: float, unit: str, *, baseline: float | None = None, better: Literal["higher", "lower", ""] = ""
) -> Figure:
    return Figure(name=name, value=float(value), unit=unit, how="modelled", baseline=baseline, better=better)

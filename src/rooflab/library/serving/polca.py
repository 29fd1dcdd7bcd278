"""POLCA (seed 45): more servers under a row's power budget, with two thresholds that lower clocks of less urgent work
first.

A server draws much while it reads prompts and little while it generates, so a row of servers rarely comes near the sum
of their peaks.  When it does, clocks of low-priority servers fall above T1 = 80 % of the budget, further above T2 = 89
%, then those of high-priority ones (figure 8 and section 6); commands take 40 s out of band, so T2 leaves room for the
largest rise in that time. Above the budget the brake holds all GPUs at 288 MHz.  Prompt phases slow down with the
clock, token phases hardly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.deploy.engine import engine_of
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import Fraction
from rooflab.papers.technique import Technique, require
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.power_phases import Phases, phases_of

if TYPE_CHECKING:
    from rooflab.simulator.power_row import Caps, RowResult
    from rooflab.simulator.power_site import Site

__all__ = ["Polca", "paper", "phases", "policy"]

paper = Paper.beside(__file__)

CLOCKS_MHZ: Final = (1410.0, 1305.0, 1275.0, 1110.0, 288.0)
"""Full clock, high priority capped, low priority capped, low priority capped further, brake (A100; elsewhere the same
shares)."""
SHARES: Final = tuple(round(c / CLOCKS_MHZ[0], 3) for c in CLOCKS_MHZ)
_SWING: Final = 0.3
_LIMITS: Final = {1: (0.01, 0.05), 0: (0.05, 0.5)}
"""Service levels by class (1: high priority): latency lost at the median and at the 99th percentile."""


@paper.technique
class Polca(Technique):
    """Lock the clock of the devices at a share of their full one, as the policy does to servers above a threshold
    (section 6)."""

    clock: Fraction = 0.787

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices whose clock cannot be set, or is as low already."""
        h = scenario.hardware
        require(h.device.kind == "gpu", f"{h.device.name} offers no clock to lock out of band")
        require(
            0.2 <= self.clock < h.clock,
            f"a clock of {self.clock:.0%} is no cap: devices run at {h.clock:.0%}, the brake at 20%",
        )
        return replace(scenario, hardware=replace(h, clock=self.clock))

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """The three caps of the policy."""
        return [cls(clock=c) for c in SHARES[1:4]]

    def because(self, before: Any, after: Any) -> str:
        """What a phase loses and saves."""
        if before is None:
            return ""
        was, now = (phases(m.scenario, SHARES[:1]) for m in (before, after))
        return (
            f"prompts take {now.prompt_s[0] / was.prompt_s[0]:.2f} times as long and a server draws "
            f"{now.prompt_w[0]:,.0f} instead of "
            f"{was.prompt_w[0]:,.0f} W in them; tokens take {now.token_s[0] / was.token_s[0]:.2f} times as long"
        )


def phases(scenario: Scenario, clocks: Sequence[float] = SHARES) -> Phases:
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
    return phases_of(engine, scenario.workload, in_flight=running, clocks=clocks)


def _in_flight(s: Scenario) -> float:
    """Sequences that an engine has in flight: those asked for, or those of the steady state."""
    from rooflab.estimator.serving.front import estimate

    if s.workload.batch:
        return float(s.workload.batch)
    return float(max(round(float(estimate(s).metrics["running"]) / (s.deployment.cluster.replicas or 1)), 1))


def policy(low: float, high: float, delay_s: float) -> Caps:
    """The two-threshold policy; commands take `delay_s`, and caps go 5 % of the budget below their thresholds."""
    from rooflab.simulator.power_row import Caps, Rule

    gap = 0.05
    rules = (Rule(0, low, low - gap, 2), Rule(0, high, high - gap, 3), Rule(1, high, high - gap, 1, after=1))
    return Caps(rules, delay_s, brake=4)


def _site(p: Phases, *, servers: int, busy: float, days: float, caps: Caps, most: int = 0) -> Site:
    """A row provisioned for `servers`, half of them of high priority."""
    from rooflab.simulator.power_site import Site

    return Site(
        p, servers=servers, busy=busy, days=days, caps=caps, swing=_SWING, share_high=0.5, limits=_LIMITS, most=most
    )


@paper.method
class PowerRow(Method[Scenario]):
    """A row of forty of the scenario's servers: how many more its budget carries under the policy, and what they
    lose."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        require(
            scenario.hardware.device.kind == "gpu",
            f"{scenario.hardware.device.name} offers no clock to lock out of band",
        )
        from rooflab.estimator.serving.front import estimate

        p = phases(scenario)
        busy = 0.7
        if scenario.workload.mode == "open":
            busy = min(max(float(estimate(scenario).metrics["utilisation"]), 0.05), 0.9)
        site = _site(p, servers=40, busy=busy, days=3.0, caps=policy(0.80, 0.89, 40.0))
        extra, before = site.extra(), site.trial(40)
        count = round(40 * (1 + extra))
        after = site.trial(count)
        return Outcome(
            as_figures("modelled", (
                ("a server is rated at", p.rated_w, "W"), ("draws in prompts", p.prompt_w[0], "W"),
                ("draws in tokens", p.token_w[0], "W"),
                ("draws idle", p.idle_w[0], "W"), ("busy at the daily peak", 100 * busy, "%"),
                ("peak of 40 servers", 100 * before.plain.peak, "% of the budget"),
                ("servers more in the same budget", 100 * extra, "%"),
                ("peak with them, capped", 100 * after.capped.peak, "% of the budget"),
                ("high priority loses, p50", 100 * after.losses(1)[0], "%"),
                ("low priority loses, p50", 100 * after.losses(0)[0], "%"),
            )),
            f"a row rated for 40 servers peaks at {before.plain.peak:.0%} of its budget; under the policy it carries "
            + (f"{count} or more without a brake" if count >= site.most - 1 else f"{count}: one more breaks a service "
                                                                                 f"level or the budget"),
        )  # fmt: skip


def _served(lab: Lab) -> Scenario:
    """BLOOM-176B on the servers of the row, four requests of the Azure conversation trace at a time."""
    return lab.scenario(
        model="bigscience/bloom",
        hardware="8 x a100-80gb-sxm",
        workload={"like": "azure-conv", "batch": lab.data("requests at a time", 4)},
        deployment={"engine": "transformers", "tp": 8, "weights": "fp16"},
    )


def _tested(lab: Lab) -> Site:
    s = lab.priced_as(_served(lab))
    busy, servers = lab.data("busy at the daily peak", 0.7), max(lab.data("servers", 40), 2)
    low, high, delay_s = (*lab.data("thresholds", (0.80, 0.89)), lab.data("delay", 40.0))
    caps, days = policy(min(low, 1.0), min(high, 1.1), delay_s), lab.data("days", 5.0)
    if not lab.with_idea():  # the row's own protection alone
        caps = replace(caps, rules=())
    key = ("site", s, busy, servers, low, high, delay_s, days)
    return lab.cached(key, lambda: _site(phases(s), servers=servers, busy=busy, days=days, caps=caps))


def _as_provisioned(lab: Lab) -> RowResult:
    """The row as the table shows it: its forty servers in six weeks, nothing capped."""
    s = lab.priced_as(_served(lab))
    busy, servers, days = (
        lab.data("busy at the daily peak", 0.7),
        max(lab.data("servers", 40), 2),
        lab.data("days of the table", 42.0),
    )

    def run() -> RowResult:
        site = _site(phases(s), servers=servers, busy=busy, days=days, caps=policy(0.80, 0.89, 40.0), most=servers)
        return site.trial(servers).plain

    return lab.cached(("provisioned", s, busy, servers, days), run)


@paper.claim("45-servers")
def more_servers(lab: Lab) -> float:
    """The most that the policy carries without a brake and within its service levels."""
    return 100.0 * _tested(lab).extra()


@paper.claim("45-peak-inf")
def inference_peak(lab: Lab) -> float:
    """Highest reading in six weeks."""
    return 100.0 * _as_provisioned(lab).peak


@paper.claim("45-spike-inf")
def spike(lab: Lab) -> float:
    """Largest rise between two readings at most one command apart, in six weeks."""
    return 100.0 * _as_provisioned(lab).largest_rise(lab.data("delay", 40.0))


@paper.claim("45-freq")
def locked(lab: Lab) -> float:
    """Peak of a server at the lowest cap whose loss stays below 7 %."""
    p = phases(lab.priced_as(_served(lab)))
    most = lab.data("loss allowed", 0.07)
    lowest = max((i for i in range(1, 4) if p.loss(i) <= most), default=0)
    return 100.0 * (1.0 - p.prompt_w[lowest] / p.prompt_w[0])


def _lost(lab: Lab, group: int) -> float:
    site = _tested(lab)
    return 100.0 * site.trial(round(site.servers * (1.0 + lab.data("servers more", 0.3)))).throughput_lost(group)


@paper.claim("45-hp")
def high_priority(lab: Lab) -> float:
    """Work not done in five days, of that done without caps."""
    return _lost(lab, 1)


@paper.claim("45-lp")
def low_priority(lab: Lab) -> float:
    """The same for those capped first."""
    return _lost(lab, 0)


@paper.setup("BLOOM-176B on 8 A100, four conversations at a time")
def setup(lab: Lab) -> Scenario:
    """A server of the row."""
    return _served(lab)


@paper.draws
def by_servers(lab: Lab) -> Plot:
    """Peak of a row over the servers in it, without and with the policy."""
    site = _tested(lab)
    counts = (40, 44, 48, 50, 51, 52, 54)
    added = tuple(100.0 * (n / site.servers - 1.0) for n in counts)
    peaks = {
        "no cap": tuple(round(100.0 * site.trial(n).plain.peak, 2) for n in counts),
        "two thresholds": tuple(round(100.0 * site.trial(n).capped.peak, 2) for n in counts),
    }
    return Plot("A row rated for 40 servers of BLOOM-176B", "servers more, %", "peak, % of the budget", tuple(
        Series(name, added, values) for name, values in peaks.items()
    ))  # fmt: skip

"""What the policy does to a scenario: a locked clock, and a row of engines that stays in a smaller budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from rooflab.deploy.engine import Engine, engine_of
from rooflab.errors import RooflabError
from rooflab.library.serving.polca.policy import BRAKE, SHARES, STAGES
from rooflab.papers.parameters import Fraction
from rooflab.papers.reasons import Reason, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.cluster import SpeedChange
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.power_rules import two_classes

__all__ = ["Polca", "PolcaRow"]


class Polca(Technique):
    """Lock the clock of the devices at a share of their full one, as the policy does to servers above a threshold
    (section 6)."""

    saves = "power_w"
    clock: Fraction = 0.787

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices whose clock cannot be set, or is as low already."""
        h = scenario.hardware
        require(h.device.kind == "gpu", f"{h.device.name} offers no clock to lock out of band")
        require(
            SHARES[BRAKE] <= self.clock < h.clock,
            f"a clock of {self.clock:.1%} is no cap: devices run at {h.clock:.0%}, the brake at {SHARES[BRAKE]:.1%}",
        )
        return replace(scenario, hardware=replace(h, clock=self.clock))

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """The three caps of the policy."""
        return [cls(clock=c) for c in SHARES[1:BRAKE]]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What requests lose and the devices save at the lower clock."""
        return _lost_and_saved(before, after)


class PolcaRow(Technique):
    """Run the scenario's engines as a row whose budget is what 1 / (1 + `more`) of them are rated at, clocks lowered in
    two stages, the less urgent servers first (section 6).

    The stage is the one that the policy holds under the scenario's load: above `low` of the budget servers of low
    priority are capped, above `high` further, then those of high priority, which are the share `share_high`. Hosts draw
    the share `host_draw` of what their rating leaves beside the devices.
    """

    engine = "simulate"
    saves = "power_w"
    more: Fraction = 0.3
    low: Fraction = 0.8
    high: Fraction = 0.89
    share_high: Fraction = 0.5
    host_draw: Fraction = 1.0

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses single engines, pools, engines that span hosts, and loads that reach no threshold or the brake."""
        row = _Row(scenario, self)
        share, stage = row.share(0), 0
        require(
            share > self.low,
            f"the row draws {share:.0%} of a budget for {self.more:.0%} fewer servers than it has: nothing is capped "
            f"below {self.low:.0%}",
        )
        while stage < len(STAGES) - 1 and share > (self.low if stage == 0 else self.high):
            stage += 1
            share = row.share(stage)
        require(share <= 1.0, f"with every cap the row still draws {share:.0%} of its budget: the brake would engage")
        clocks = [SHARES[STAGES[stage][group]] for group in two_classes(self.share_high, row.replicas).tolist()]
        speed = tuple(SpeedChange(0.0, clock=c, replica=i) for i, c in enumerate(clocks) if c < 1.0)
        return scenario.with_deployment(tp=row.engine.deployment.split.tp, replicas=row.replicas, speed=speed)

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """The smallest budget that the policy keeps to with every cap, in steps of five percent."""
        try:
            spare = 1.0 / _Row(scenario, cls(more=0.0)).share(len(STAGES) - 1) - 1.0
        except RooflabError:
            return [cls()]
        return [cls(more=round(_STEP * math.floor(spare / _STEP), 2))] if 0.0 <= spare <= 1.0 else [cls()]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How many engines run at a lower clock, what requests lose and the devices save."""
        speed = after.scenario.deployment.cluster.speed
        return (
            fact("", "engines at a lower clock", float(len(speed))),
            fact("", "lowest clock, of the full one", min((s.clock or 1.0 for s in speed), default=1.0), "fraction"),
            *_lost_and_saved(before, after),
        )  # fmt: skip


_STEP: Final = 0.05
"""Steps in which a smaller budget is looked for."""


class _Row:
    """The engines of a scenario as a row: what they draw in each stage of the policy, as a share of its budget."""

    def __init__(self, scenario: Scenario, technique: PolcaRow) -> None:
        h = scenario.hardware
        require(h.device.kind == "gpu", f"{h.device.name} offers no clock to lock out of band")
        require(h.host_power_w > 0, f"what a host of {h.device.name} draws is not known")
        require(not scenario.deployment.cluster.pools, "pools have no priorities: take them out")
        require(not scenario.deployment.cluster.speed, "the deployment changes clocks already")
        require(h.clock == 1.0, f"devices run at {h.clock:.0%} of their clock already")
        self._scenario, self._technique = scenario, technique
        per, replicas = self.engine.deployment.split.devices_per_replica, self.replicas
        require(replicas > 1, "a row has servers of two priorities; the scenario has one engine (a smaller tp)")
        require(per <= h.devices_per_host, f"an engine of {per} devices spans hosts of {h.devices_per_host}")
        host_w = replicas * per * h.host_power_w / h.devices_per_host
        self._host_w = technique.host_draw * host_w
        self._budget_w = (replicas * per * h.device.tdp_w + host_w) / (1.0 + technique.more)

    @cached_property
    def engine(self) -> Engine:
        """An engine of the row."""
        return engine_of(self._scenario)

    @property
    def replicas(self) -> int:
        """Engines of the row."""
        return self.engine.replicas

    def share(self, stage: int) -> float:
        """Mean power of the row in a stage, as a share of its budget."""
        low, high = (self._devices_w(clock) for clock in STAGES[stage])
        part = self._technique.share_high
        return (self._host_w + (1.0 - part) * low + part * high) / self._budget_w

    def _devices_w(self, clock: int) -> float:
        from rooflab.estimator.serving.front import estimate

        hardware = replace(self._scenario.hardware, clock=SHARES[clock])
        return float(estimate(replace(self._scenario, hardware=hardware)).metrics["power_w"])


def _lost_and_saved(before: Any, after: Any) -> tuple[Reason, ...]:
    return (
        *moved("power_w", before, after, better="devices draw less", worse="devices draw more"),
        *moved("j_per_token", before, after, better="a token takes less energy", worse="a token takes more energy"),
        *moved("ttft_s_mean", before, after, better="prompts are faster", worse="prompts are slower"),
        *moved("tpot_s_mean", before, after, better="tokens are faster", worse="tokens are slower"),
    )

"""A row of servers provisioned for some number of them: how many more its budget carries under a capping policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from rooflab.search.highest import highest, whole
from rooflab.simulator.power_phases import Phases
from rooflab.simulator.power_row import Caps, Row, RowResult, diurnal_jobs, quantiles, run_row, two_classes

__all__ = ["Site", "Trial"]


class Trial:
    """A row of servers without and with the policy, each run when it is first asked for."""

    def __init__(self, site: Site, servers: int) -> None:
        self.group, p = two_classes(site.share_high, servers), site.phases
        tables = [np.array([x, x]) for x in (p.prompt_s, p.token_s, p.prompt_w, p.token_w, p.idle_w)]
        self.row = Row(
            group=self.group, prompt_s=tables[0], token_s=tables[1], prompt_w=tables[2], token_w=tables[3],
            idle_w=tables[4], budget_w=site.servers * p.rated_w,
        )  # fmt: skip
        self.jobs, self._site = site.jobs.take(servers), site

    @cached_property
    def plain(self) -> RowResult:
        """Without caps."""
        return run_row(self.row, self.jobs, self._site.days)

    @cached_property
    def capped(self) -> RowResult:
        """Under the policy."""
        return run_row(self.row, self.jobs, self._site.days, self._site.caps)

    def losses(self, group: int) -> tuple[float, ...]:
        """Latency lost by a class at the median and the 99th percentile, as shares."""
        pairs = zip(*(quantiles(r, self.jobs, self.group, group) for r in (self.plain, self.capped)), strict=True)
        return tuple(after / before - 1.0 for before, after in pairs)

    def throughput_lost(self, group: int) -> float:
        """Work of a class that is not done in the time, as a share of what is done without caps."""
        mine = np.repeat(self.group, np.diff(self.jobs.start)) == group
        work = [float(self.jobs.length[mine & np.isfinite(r.latency_s)].sum()) for r in (self.plain, self.capped)]
        return 1.0 - work[1] / work[0]

    @property
    def fine(self) -> bool:
        """No brake, and every class within its service levels."""
        if self.capped.brakes:
            return False
        return all(
            lost <= most
            for group, limits in self._site.limits.items()
            for lost, most in zip(self.losses(group), limits, strict=True)
        )


class Site:
    """A row provisioned for `servers`, with the load of its servers; trials of rows with up to `most` of them.

    A server is busy for the share `busy` at the daily peak, its load swings by `swing`. The share `share_high` of
    servers is of class 1, the rest of class 0; `limits` are service levels by class, latency lost at the median and at
    the 99th percentile.
    """

    def __init__(
        self,
        phases: Phases,
        *,
        servers: int,
        busy: float,
        days: float,
        caps: Caps,
        swing: float,
        share_high: float,
        limits: Mapping[int, Sequence[float]],
        most: int = 0,
    ) -> None:
        self.phases, self.servers, self.days, self.caps = phases, servers, days, caps
        self.share_high, self.limits = share_high, limits
        self.most = most or 3 * servers // 2
        rate = min(busy, 0.95) / (1.0 + swing) / (phases.prompt_s[0] + phases.token_s[0])
        self.jobs = diurnal_jobs(self.most, rate, days, swing=swing)
        self._tried: dict[int, Trial] = {}

    def trial(self, servers: int) -> Trial:
        """`servers` in the budget of the row."""
        servers = min(max(servers, 1), self.most)
        if servers not in self._tried:
            self._tried[servers] = Trial(self, servers)
        return self._tried[servers]

    def extra(self) -> float:
        """Largest share of servers more that the policy carries without a brake and within every service level."""
        found = highest(lambda servers: self.trial(servers).fine, self.servers, self.most, halve=whole)
        return 0.0 if found is None else found / self.servers - 1.0

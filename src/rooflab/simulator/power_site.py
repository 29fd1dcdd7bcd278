"""A row of servers provisioned for some number of them: what more of them lose under a capping policy, and how many its
budget carries.

Service levels and late work are those of whole days; peaks and brakes those of the busiest hours of many days, since a
row comes near its budget only there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rooflab.search.highest import highest, whole
from rooflab.simulator.power_jobs import DAY_S, Jobs, diurnal_jobs
from rooflab.simulator.power_phases import Phases
from rooflab.simulator.power_row import Row, RowResult, row_of, run_row
from rooflab.simulator.power_rules import NO_CAPS, Caps

__all__ = ["Load", "Site", "Trial", "late_share"]

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """What a server of the row has to do.

    It is busy for the share `busy` at the daily peak, its load swings by `swing`, answers have the quantiles `shape`.
    Latencies are those of `days`, peaks those of the busiest `peak_hours` of each of `peak_days`.
    """

    busy: float
    swing: float
    shape: F64
    days: float = 1.0
    peak_days: float = 42.0
    peak_hours: float = 1.0

    def jobs(self, phases: Phases, servers: int, days: float, hours: float = 24.0) -> Jobs:
        """Jobs of `servers` for so many days, or for the busiest hours of each."""
        rate = min(self.busy, 0.95) / (1.0 + self.swing) / (phases.prompt_s[0] + phases.token_s[0])
        return diurnal_jobs(servers, rate, days, swing=self.swing, shape=self.shape, hours=hours)


class Site:
    """A row provisioned for `servers` under `load`; trials of rows with up to `most` of them.

    The share `share_high` of servers is of class 1, the rest of class 0; `limits` are service levels by class, latency
    lost at the median and at the 99th percentile.
    """

    def __init__(
        self,
        phases: Phases,
        load: Load,
        *,
        servers: int,
        caps: Caps,
        share_high: float,
        limits: Mapping[int, Sequence[float]],
        most: int = 0,
    ) -> None:
        self.phases, self.load, self.servers, self.caps = phases, load, servers, caps
        self.share_high, self.limits = share_high, limits
        self.most = most or 3 * servers // 2
        self._tried: dict[int, Trial] = {}

    def under(self, caps: Caps) -> Site:
        """The same row, with the jobs that were made already, under another policy."""
        other = Site(
            self.phases, self.load, servers=self.servers, caps=caps, share_high=self.share_high, limits=self.limits,
            most=self.most,
        )  # fmt: skip
        for name in ("days", "peaks", "uncapped_s"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other

    @cached_property
    def days(self) -> Jobs:
        """Jobs of whole days."""
        return self.load.jobs(self.phases, self.most, self.load.days)

    @cached_property
    def peaks(self) -> Jobs:
        """Jobs of the busiest hours."""
        return self.load.jobs(self.phases, self.most, self.load.peak_days, self.load.peak_hours)

    @cached_property
    def uncapped_s(self) -> F64:
        """Latencies of those jobs on servers at full clock: servers know nothing of each other there."""
        return run_row(self.row(self.most), self.days, self.load.days * DAY_S).latency_s

    def row(self, servers: int) -> Row:
        """`servers` in the budget of the row."""
        budget_w = self.servers * self.phases.rated_w
        return row_of(self.phases, servers, budget_w=budget_w, share_high=self.share_high)

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


class Trial:
    """A row of so many servers under the policy of a site; each run is done when it is first asked for."""

    def __init__(self, site: Site, servers: int) -> None:
        self.row, self._site = site.row(servers), site
        self.days, self.peaks = site.days.take(servers), site.peaks.take(servers)

    @cached_property
    def capped(self) -> RowResult:
        """Whole days under the policy."""
        return run_row(self.row, self.days, self._site.load.days * DAY_S, self._site.caps)

    @cached_property
    def plain(self) -> RowResult:
        """Whole days without caps."""
        return run_row(self.row, self.days, self._site.load.days * DAY_S, latencies=False)

    @property
    def time_capped(self) -> float:
        """Share of whole days in which any cap or the brake holds."""
        return self.capped.capped_s / (self._site.load.days * DAY_S)

    @cached_property
    def uncapped_peaks(self) -> RowResult:
        """The busiest hours without caps."""
        return run_row(self.row, self.peaks, self._peaks_s, NO_CAPS, latencies=False)

    @cached_property
    def capped_peaks(self) -> RowResult:
        """The busiest hours under the policy."""
        return run_row(self.row, self.peaks, self._peaks_s, self._site.caps, latencies=False)

    @cached_property
    def brakes_at_all(self) -> bool:
        """Whether any brake engages in the busiest hours; the run ends there."""
        caps = self._site.caps
        return bool(
            run_row(self.row, self.peaks, self._peaks_s, caps, stop_at_brake=True, latencies=False).brakes
            if "capped_peaks" not in self.__dict__
            else self.capped_peaks.brakes
        )

    @property
    def _peaks_s(self) -> float:
        return self._site.load.peak_days * self._site.load.peak_hours * 3600.0

    @property
    def uncapped_s(self) -> F64:
        """Latencies without caps."""
        return self._site.uncapped_s[: len(self.days.table)]

    def losses(self, group: int, levels: Sequence[float] = (0.5, 0.99)) -> tuple[float, ...]:
        """Latency lost by a class at the median and the 99th percentile, as shares."""
        mine = self._of(group)
        before, after = (
            np.quantile(latency_s[mine & np.isfinite(latency_s)], levels)
            for latency_s in (self.uncapped_s, self.capped.latency_s)
        )
        return tuple(float(x) for x in np.round(after / before - 1.0, 12))  # sums of steps differ by their rounding

    def work_lost(self, group: int, late: float) -> float:
        """Work of a class that the policy makes late, as a share of what is done without caps; see
        `late_share`."""
        mine = self._of(group)
        return late_share(self.uncapped_s[mine], self.capped.latency_s[mine], self.days.length[mine], late)

    def _of(self, group: int) -> npt.NDArray[np.bool_]:
        mine: npt.NDArray[np.bool_] = np.repeat(self.row.group, np.diff(self.days.start)) == group
        return mine

    @property
    def fine(self) -> bool:
        """No brake, and every class within its service levels."""
        if self.brakes_at_all:
            return False
        return all(
            lost <= most
            for group, limits in self._site.limits.items()
            for lost, most in zip(self.losses(group), limits, strict=True)
        )


def late_share(before_s: F64, after_s: F64, work: F64, late: float) -> float:
    """Work of jobs that take more than 1 + `late` times as long as before, or do not finish, as a share of all that
    finished before."""
    done = np.isfinite(before_s)
    in_time = done & np.isfinite(after_s) & (after_s <= (1.0 + late) * before_s + 1e-9)
    return 1.0 - float(work[in_time].sum()) / float(work[done].sum())

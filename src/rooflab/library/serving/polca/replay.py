"""The policy on a reader's own series of power: what the row would have done with more servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.series import Series
from rooflab.library.serving.polca.policy import HIGH, LOW, POLICIES, Policy, policy
from rooflab.library.serving.polca.rows import host_share, phases, share_high
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Fraction, PositiveFloat, PositiveInt
from rooflab.papers.technique import require

if TYPE_CHECKING:
    from rooflab.simulator.power_phases import Phases
    from rooflab.simulator.power_replay import Replayed

__all__ = ["PowerSeries"]

_UNITS: Final = {"_w": 1.0, "_kw": 1e3, "_mw": 1e6}
"""Watts of a channel by the end of its name; one that ends in _share is a share of the budget."""
F64 = npt.NDArray[np.float64]


class PowerSeries(Method[Series]):
    """Replay a measured series of a row's power with `more` servers under a capping policy, its rivals and no cap
    (section 6).

    `servers` drew it, of `hardware` (one server) serving `model`, which says how clocks change speed and power. The
    budget is what they are rated at (`budget_w`: another one), idle and busy ones draw what the account says (`idle_w`,
    `busy_w`: what they do). `channel`: the first whose name ends in _w, _kw, _mw or
    _share (of the budget) where none is named. Thresholds are shares of the budget, commands take `delay_s`.
    """

    policy: Policy = "two thresholds"
    servers: PositiveInt = 40
    more: Fraction = 0.3
    hardware: str = "8 x a100-80gb-sxm"
    model: str = "bigscience/bloom"
    channel: str = ""
    budget_w: PositiveFloat | None = None
    idle_w: PositiveFloat | None = None
    busy_w: PositiveFloat | None = None
    low: Fraction = 0.8
    high: Fraction = 0.89
    delay_s: PositiveFloat = 40.0

    def ablated(self, seed: int) -> PowerSeries:
        """The row's own brake alone."""
        return type(self)(**self.parameters() | {"policy": "no cap"})

    def run(self, lab: Lab, given: Series) -> Outcome:
        """Execute on a series of the reader's. Raises InputError where no channel is power, Infeasible where such
        servers do not draw that."""
        require(len(given) > 1, "one reading is no series")
        row = _Row(self, lab, given)
        chosen, bare = row.under(self.policy, self.more), row.under("no cap", self.more)
        share = f"with {self.more:.0%} more"
        figures = [
            _figure("peak of the row", 100 * float(row.share.max()), "% of the budget", how="executed"),
            _figure("mean of the row", 100 * float(row.share.mean()), "% of the budget", how="executed"),
            _figure("largest rise within a command", 100 * row.largest_rise(), "% of the budget", how="executed"),
            _figure("servers more without a brake", 100 * row.extra(self.policy), "%", 100 * row.extra("no cap"),
                    better="higher"),
            _figure(f"peak {share}", 100 * float(chosen.power.max()), "% of the budget", 100 * float(bare.power.max()),
                    better="lower"),
            _figure(f"brakes {share}", chosen.brakes, "", bare.brakes, better="lower"),
            _figure(f"time capped {share}", 100 * chosen.capped, "%", 100 * bare.capped),
            _figure(f"high priority: work late {share}", 100 * chosen.late[HIGH], "%", 100 * bare.late[HIGH],
                    better="lower"),
            _figure(f"low priority: work late {share}", 100 * chosen.late[LOW], "%", 100 * bare.late[LOW],
                    better="lower"),
        ]  # fmt: skip
        for name in POLICIES:
            if name not in (self.policy, "no cap"):
                rival = row.under(name, self.more)
                figures += [
                    _figure(f"{name}: servers more without a brake", 100 * row.extra(name), "%"),
                    _figure(f"{name}: brakes {share}", rival.brakes, ""),
                    _figure(f"{name}: high priority, work late {share}", 100 * rival.late[HIGH], "%"),
                    _figure(f"{name}: low priority, work late {share}", 100 * rival.late[LOW], "%"),
                ]
        return Outcome(tuple(figures), self._because(row), notes=row.notes)

    def _because(self, row: _Row) -> str:
        mine, bare = (_carried(self.servers, row.extra(name)) for name in (self.policy, "no cap"))
        return (
            f"the row peaks at {row.share.max():.0%} of its budget; in the place of {_servers(self.servers)} it would "
            f"have carried {mine} without a brake under this policy, {bare} with the brake alone"
        )


class _Row:
    """The reader's row: its power as a share of the budget, what its servers had to do, replays by policy and size."""

    def __init__(self, method: PowerSeries, lab: Lab, given: Series) -> None:
        from rooflab.simulator.power_replay import demand_of, pace_of

        p = _phases(lab, method.hardware, method.model)
        self.method, self.time_s = method, given.time_s
        self.budget_w = method.budget_w or method.servers * p.rated_w
        power_w = _watts(given, method.channel, self.budget_w)
        self.share = power_w / self.budget_w
        self.pace, self.share_high = pace_of(p, idle_w=method.idle_w, busy_w=method.busy_w), share_high(lab)
        self.demand = demand_of(power_w, method.servers, self.pace)
        self.step_s = given.step_s
        self._done: dict[tuple[Policy, int], Replayed] = {}
        self._check(power_w)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the series."""
        if self.step_s <= self.method.delay_s:
            return ()
        return (f"readings are {self.step_s:g} s apart: what happens in between, commands of {self.method.delay_s:g} s "
                f"included, is not seen",)  # fmt: skip

    def under(self, name: Policy, more: float) -> Replayed:
        """The replay under a policy with so many servers more."""
        from rooflab.simulator.power_replay import replay

        m = self.method
        count = round(m.servers * (1.0 + more))
        if (name, count) not in self._done:
            high = round(count * self.share_high)
            caps = policy(name, low=m.low, high=m.high, delay_s=m.delay_s)
            self._done[name, count] = replay(
                self.time_s, self.demand, (count - high, high), self.pace, budget_w=self.budget_w, caps=caps
            )
        return self._done[name, count]

    def extra(self, name: Policy) -> float:
        """Largest share of servers more that a policy carries without a brake, up to as many again."""
        from rooflab.search.highest import highest, whole

        n = self.method.servers
        found = highest(lambda count: not self.under(name, count / n - 1.0).brakes, n, 2 * n + 1, halve=whole)
        return 0.0 if found is None else found / n - 1.0

    def largest_rise(self) -> float:
        """Largest rise between two readings at most one command apart, at least one reading."""
        rise, k = 0.0, 1
        while k < len(self.share) and (k == 1 or k * self.step_s <= self.method.delay_s):
            rise = max(rise, float((self.share[k:] - self.share[:-k]).max()))
            k += 1
        return rise

    def _check(self, power_w: F64) -> None:
        m, n = self.method, self.method.servers
        least, most = float(power_w.min()) / n, float(power_w.max()) / n
        idle, busy = float(self.pace.idle_w[0]), float(self.pace.busy_w[0])
        require(idle < busy, f"a busy server draws more than an idle one: {busy:,.0f} W is no more than {idle:,.0f} W")
        what = f"{n} servers of {m.hardware} with {m.model}"
        name = "set servers, idle_w and busy_w to what it is of"
        require(
            least >= 0.99 * idle,
            f"{what} draw {idle:,.0f} W each when idle; the series falls to {least:,.0f} W a server: {name}",
        )
        require(
            most <= 1.01 * busy,
            f"{what} draw {busy:,.0f} W each when busy; the series rises to {most:,.0f} W a server: {name}",
        )


def _servers(count: int) -> str:
    return f"{count} server{'s' * (count > 1)}"


def _carried(servers: int, extra: float) -> str:
    """How many servers a row carries; more than as many again are not tried."""
    return f"at least {2 * servers}" if extra >= 1.0 else f"{round(servers * (1 + extra))}"


def _phases(lab: Lab, hardware: str, model: str) -> Phases:
    served = lab.scenario(
        model=model, hardware=hardware, workload={"like": "azure-conv", "batch": 4},
        deployment={"engine": "transformers", "weights": "fp16"},
    )  # fmt: skip
    return phases(lab.priced_as(served), host_share=host_share(lab))


def _watts(given: Series, channel: str, budget_w: float) -> F64:
    """The power of the row in watts. Raises InputError where no channel is one, or it has gaps."""
    names = [channel] if channel else [n for n in given.channels if _ends(n) is not None]
    if not names:
        raise InputError(
            f"none of {', '.join(given.channels)} is power: its name ends in _w, _kw, _mw or _share", "channels"
        )
    values, unit = given.channel(names[0]), _ends(names[0])
    if unit is None:
        raise InputError(f"{names[0]!r} says no unit of power: its name ends in _w, _kw, _mw or _share", "channel")
    gaps = np.flatnonzero(~np.isfinite(values))
    if len(gaps):
        raise InputError(f"has no value at {given.time_s[gaps[0]]:g} s", names[0])
    below = np.flatnonzero(values < 0)
    if len(below):
        raise InputError(
            f"is {values[below[0]]:g} at {given.time_s[below[0]]:g} s: a row draws no less than 0", names[0]
        )
    watts: F64 = values * (budget_w if unit == "share" else unit)
    return watts


def _ends(name: str) -> float | Literal["share"] | None:
    low = name.lower()
    if low.endswith("_share"):
        return "share"
    return next((watts for end, watts in _UNITS.items() if low.endswith(end)), None)


def _figure(
    name: str, value: float, unit: str, baseline: float | None = None, *, better: Literal["higher", "lower", ""] = "",
    how: Any = "modelled",
) -> Figure:  # fmt: skip
    return Figure(name=name, value=float(value), unit=unit, how=how, baseline=baseline, better=better)

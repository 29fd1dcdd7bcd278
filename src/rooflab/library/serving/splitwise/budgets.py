"""The provisioning searches of the evaluation: DGX-A100 and DGX-H100 of the same power, cost or throughput."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from rooflab.library.serving.splitwise.fleet import Design, Fleet, Pools
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveFloat, Range
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

__all__ = ["A100", "DEVICES", "H100", "HH", "Budgets"]

A100, H100 = "a100-80gb-sxm", "h100-sxm"
POWER: Final = {A100: 1.0, H100: 1.75}
"""Provisioned power of a machine over that of a DGX-A100 (table 5)."""
COST: Final = {A100: 17.6, H100: 38.0}
"""Dollars of a machine and hour (table 1)."""
CAPPED: Final = 0.7
"""Provisioned power of a machine whose devices are capped at half of theirs (section 4.4)."""
AA, HH, HHCAP = Design(A100, A100), Design(H100, H100), Design(H100, H100, token_power=0.5)
"""Designs by prompt and token machine."""
DEVICES: Final = 8
"""Devices of a machine."""
SECONDS: Final = 120.0
"""Length of a trace (section 4.4)."""
Rate = Annotated[float, Range(0)]
Kind = Literal["HH", "AA", "HHcap"]
Hosts = Annotated[int, Range(2, 1000)]
_FIVES: Final = 20
"""Machines from which on splits are swept in fives, as the authors do; fewer are swept one by one."""
_TRIED: Final = 64
"""Steps of the rate that are tried at the most."""


def _machines_of(lab: Lab, given: Scenario, device: str, machines: int) -> Scenario:
    """So many machines of eight devices, an engine on each, in the place of the scenario's hardware."""

    def make() -> Scenario:
        h = lab.hardware(f"{DEVICES * machines} x {device}")
        return replace(given, hardware=h).with_deployment(tp=DEVICES, replicas=machines)

    return lab.cached(("machines", given, device, machines), make)


class Budgets(Method[Scenario]):
    """What clusters of DGX-A100 and DGX-H100 sustain of the scenario's requests in the power, or at the cost, of so
    many mixed DGX-H100 (`hosts`), and the cheapest ones that sustain as much (sections 4.4, 6.2 and 6.3).

    Of the scenario count model, lengths and engine: each machine runs one engine on eight devices, requests come at
    random for two minutes. A cluster sustains a rate if all nine slow-downs over a request alone on a DGX-A100 keep
    their limits. Splits are swept in fives (of fewer than 20 machines one by one), rates in steps of `step` requests/s
    up to 64 of them, as finely as the authors do or finer. `target`: the rate for which the cheapest split DGX-H100 are
    sought (0: that of the mixed ones).
    """

    hosts: Hosts = 40
    target: Rate = 0.0
    step: PositiveFloat = 2.5

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader's."""
        most = _TRIED * self.step
        require(
            self.target <= most,
            f"rates are tried up to {most:g} requests/s, not {self.target:g}: a larger step goes further",
        )
        rates: dict[str, Any] = lab.cells("searches", tuple(_RATES), lambda name: list(self.highest(lab, given, name)))
        h100 = rates["mixed H100"][0]
        require(h100 > 0, f"{self.hosts} mixed DGX-H100 keep the slow-downs at no rate that is tried")
        target = self.target or h100
        wanted: list[tuple[Kind, float]] = [("HH", target), ("AA", h100), ("HHcap", h100)]
        found: dict[tuple[Kind, float], Any] = lab.cells(
            "cheapest clusters", wanted, lambda item: list(self.cheapest(lab, given, *item))
        )
        return _outcome(self, rates, {name: found[name, rate] for name, rate in wanted}, target)

    def machines(self, what: Mapping[str, float]) -> int:
        """DGX-A100 in the power or at the cost of the DGX-H100."""
        return int(self.hosts * what[H100] / what[A100] + 1e-9)

    def highest(self, lab: Lab, given: Scenario, name: str) -> tuple[float, int, int]:
        """Highest rate of one of the clusters, and its pools (all machines and none where they are mixed)."""
        design, what = _RATES[name]
        count = self.hosts if what is None else self.machines(what)

        def search() -> tuple[float, int, int]:
            fleet, each = self.fleet(lab, given), 5 if count >= _FIVES else 1
            if isinstance(design, str):
                return fleet.mixed(design, count), count, 0
            rate, pools = fleet.best(design, [(count - t, t) for t in range(each, count, each)])
            return rate, *pools

        return lab.cached(("highest", str(self), given, name), search)

    def cheapest(self, lab: Lab, given: Scenario, name: Kind, rate: float) -> Pools:
        """Pools of a design that sustain `rate` at the lowest cost (HHcap: power)."""
        design, most = {"HH": HH, "AA": AA, "HHcap": HHCAP}[name], 5 * self.hosts

        def search() -> Pools:
            price = (1.0, CAPPED if name == "HHcap" else 1.0)
            found = self.fleet(lab, given).cheapest(design, rate, (most, most), price)
            require(found is not None, f"no cluster of {2 * most} split machines sustains {rate:g} requests/s")
            return found or (most, most)

        return lab.cached(("cheapest", str(self), given, name, rate), search)

    def saved(self, lab: Lab, given: Scenario, name: Kind) -> float:
        """What the cheapest cluster of a design saves of the cost (HHcap: power) of mixed DGX-H100 that sustain as
        much, percent; without the idea, the fewest mixed machines."""
        rate = self.highest(lab, given, "mixed H100")[0]
        if lab.with_idea():
            return _saved(self, name, self.cheapest(lab, given, name, rate))
        found = self.fleet(lab, given).fewest(A100 if name == "AA" else H100, rate, 10 * self.hosts)
        require(found is not None, f"no cluster of {10 * self.hosts} mixed machines sustains {rate:g} requests/s")
        return _saved(self, name, (found or 0, 0))

    def fleet(self, lab: Lab, given: Scenario) -> Fleet:
        """Clusters of the scenario's engines under its requests."""
        load = given.with_workload(
            rate=1.0,
            concurrency=None,
            batch=None,
            burst=None,
            scenario=None,
            trace=None,
            arrivals="poisson",
            arrivals_cv=1.0,
        )
        return Fleet(
            lab, lambda device, machines: _machines_of(lab, load, device, machines),
            lambda s, rate: s.with_workload(rate=rate, requests=max(round(rate * SECONDS), 1)),
            reference=_machines_of(lab, load, A100, 1), step=self.step, most=_TRIED * self.step,
        )  # fmt: skip


_RATES: Final[Mapping[str, tuple[Design | str, Mapping[str, float] | None]]] = {
    "mixed H100": (H100, None), "mixed A100": (A100, POWER), "split H100": (HH, None), "split A100": (AA, POWER),
    "split A100, same cost": (AA, COST),
}  # fmt: skip
"""Clusters whose highest rate is sought: design or device, and what they have in common with the mixed DGX-H100."""


def _saved(m: Budgets, name: str, pools: Pools) -> float:
    if name == "HHcap":
        return 100.0 * (1.0 - (pools[0] + CAPPED * pools[1]) / m.hosts)
    return 100.0 * (1.0 - sum(pools) * COST[A100] / (m.hosts * COST[H100]))


def _outcome(m: Budgets, rates: Mapping[str, Any], pools: Mapping[str, Any], target: float) -> Outcome:
    h100, a100 = rates["mixed H100"][0], rates["mixed A100"][0]
    aa, dear, hh = rates["split A100"], rates["split A100, same cost"], rates["split H100"]
    figures = [
        _figure(f"{m.hosts} mixed H100: highest rate", h100, "requests/s"),
        _figure(f"{sum(aa[1:])} mixed A100, same power: highest rate", a100, "requests/s"),
        _figure(f"{m.hosts} split H100: highest rate", hh[0], "requests/s", h100, "higher"),
        _figure(f"{sum(aa[1:])} split A100, same power: highest rate", aa[0], "requests/s", a100, "higher"),
        _figure(f"{sum(dear[1:])} split A100, same cost: highest rate", dear[0], "requests/s", h100, "higher"),
        _figure("split A100 over mixed H100, same power", aa[0] / h100, "x"),
        _figure("split A100 over mixed H100, same cost", dear[0] / h100, "x"),
        *([_figure("split A100 over mixed A100, same power", aa[0] / a100, "x")] if a100 > 0 else []),
        _figure("prompt machines of the best split H100", hh[1], ""),
        _figure("prompt machines of the best split A100", aa[1], ""),
        _figure("prompt machines of the cheapest split H100", pools["HH"][0], ""),
        _figure("token machines of the cheapest split H100", pools["HH"][1], ""),
        _figure("cost saved by split A100", _saved(m, "AA", pools["AA"]), "%"),
        _figure("power saved by split H100, tokens capped", _saved(m, "HHcap", pools["HHcap"]), "%"),
    ]
    best = max(rates, key=lambda name: rates[name][0])
    text = (
        f"in the power or at the cost of {m.hosts} mixed H100, {best} sustains most: {rates[best][0]:g} requests/s; "
        f"the cheapest split H100 for {target:g} are {pools['HH'][0]} for prompts and {pools['HH'][1]} for tokens"
    )
    most = _TRIED * m.step
    top = [name for name, found in rates.items() if found[0] >= most]
    notes = (
        f"no rate above {most:g} requests/s is tried, a larger step goes further: {', '.join(top)} may sustain more",
    )
    return Outcome(tuple(figures), text, notes=notes if top else ())


def _figure(
    name: str, value: float, unit: str, baseline: float | None = None, better: Literal["higher", "lower", ""] = ""
) -> Figure:
    return Figure(name=name, value=float(value), unit=unit, how="modelled", baseline=baseline, better=better)

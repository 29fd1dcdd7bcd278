"""POLCA (seed 45): more servers under a row's power budget, with two thresholds that lower clocks of less urgent work
first.

A server draws much while it reads prompts and little while it generates, so a row of servers rarely comes near the sum
of their peaks.  When it does, clocks of low-priority servers fall above T1 = 80 % of the budget, further above T2 = 89
%, then those of high-priority ones (figure 8 and section 6); commands take 40 s out of band, so T2 leaves room for the
largest rise in that time. Above the budget the brake holds all GPUs at 288 MHz.  Prompt phases slow down with the
clock, token phases hardly.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs import series as inputs
from rooflab.library.serving.polca.policy import HIGH, LOW, POLICIES, Policy
from rooflab.library.serving.polca.replay import PowerSeries
from rooflab.library.serving.polca.rows import PowerRow
from rooflab.library.serving.polca.technique import Polca, PolcaRow
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.simulator.power_row import RowResult
    from rooflab.simulator.power_site import Site

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(Polca)
paper.technique(PolcaRow)
paper.method(PowerRow)
paper.method(PowerSeries)


def _served(lab: Lab) -> Scenario:
    """BLOOM-176B on the servers of the row, requests as long as those of the Azure conversation trace."""
    together = lab.assume(
        "requests that a server has at a time", 4, low=1, high=16,
        source="the paper states no batch; from one at a time to as many as its largest measured batch",
    )  # fmt: skip
    return lab.scenario(
        model="bigscience/bloom",
        hardware="8 x a100-80gb-sxm",
        workload={"like": "azure-conv", "batch": round(together)},
        deployment={"engine": "transformers", "tp": 8, "weights": "fp16"},
    )


def _row(lab: Lab) -> PowerRow:
    """The row of the paper; without its idea, the row's own brake alone."""
    low, high = lab.data("thresholds", (0.80, 0.89))
    row = PowerRow(
        servers=max(lab.data("servers", 40), 2), more=min(lab.data("servers more", 0.3), 1.0),
        low=min(low, 1.0), high=min(high, 1.0), delay_s=lab.data("delay", 40.0),
    )  # fmt: skip
    return row if lab.with_idea() else row.ablated(lab.seed)


def _site(lab: Lab) -> Site:
    row = _row(lab)
    return lab.cached(("site", str(row)), lambda: row.site(lab, _served(lab)))


def _table(lab: Lab) -> RowResult:
    row = _row(lab)

    def run() -> RowResult:
        given = _served(lab)
        return row.table(row.served(lab, given), row.load(lab, given))

    return lab.cached(("table", str(row)), run)


@paper.claim("45-servers")
def more_servers(lab: Lab) -> float:
    """The most that the policy carries without a brake and within its service levels."""
    site = _site(lab)
    return 100.0 * lab.cached(("servers more", str(_row(lab))), site.extra)


@paper.claim("45-peak-inf")
def inference_peak(lab: Lab) -> float:
    """Highest reading in six weeks."""
    return 100.0 * _table(lab).peak


@paper.claim("45-spike-inf")
def spike(lab: Lab) -> float:
    """Largest rise between two readings at most one command apart, in six weeks."""
    row, table = _row(lab), _table(lab)
    return 100.0 * lab.cached(("rise", str(row)), lambda: table.largest_rise(row.delay_s))


@paper.claim("45-freq")
def locked(lab: Lab) -> float:
    """Peak of a server at the lowest cap whose loss stays below 7 %."""
    row = _row(lab)
    p = lab.cached(("served", str(row)), lambda: row.served(lab, _served(lab)))
    return PowerRow(loss=min(lab.data("loss allowed", 0.07), 1.0)).saved(p)


def _lost(lab: Lab, group: int) -> float:
    """Work of a class in a day that is late or not done with the servers added, of that done without caps."""
    row, site = _row(lab), _site(lab)
    return 100.0 * lab.cached(("lost", str(row), group), lambda: row.lost(lab, site, group))


for _id, _group in (("45-hp", HIGH), ("45-lp", LOW)):
    paper.claim(_id)(partial(_lost, group=_group))


@paper.claim("45-brakes")
def brakes(lab: Lab) -> float:
    """Brakes with the servers added, in the busiest hour of each day of six weeks."""
    return _brakes(lab, _row(lab).policy)


@paper.claim("45-brakes-rivals")
def rival_brakes(lab: Lab) -> float:
    """The same for the rival that brakes least."""
    return min(_brakes(lab, name) for name in POLICIES if name != PowerRow.policy)


def _brakes(lab: Lab, name: Policy) -> float:
    row, site = _row(lab), _site(lab)
    return float(lab.cached(("brakes", str(row), name), lambda: row.brakes(site, name)))


@paper.setup("BLOOM-176B on 8 A100, four conversations at a time")
def setup(lab: Lab) -> Scenario:
    """A server of the row."""
    return _served(lab)


@paper.setup("A day of a row of 40 servers of BLOOM-176B, simulated")
def day(lab: Lab) -> inputs.Series:
    """What the paper's row draws, read every 2 s."""
    import numpy as np

    site = _site(lab)
    share = site.trial(site.servers).plain.power
    watts = share * site.servers * site.phases.rated_w
    return inputs.Series(
        time_s=2.0 * np.arange(len(watts), dtype=np.float64), channels=("power_w",), values=watts[:, None]
    )


@paper.draws
def by_servers(lab: Lab) -> Plot:
    """Peak of a row over the servers in it, under each policy."""
    row, site = _row(lab), _site(lab)
    counts = (40, 44, 48, 50, 51, 52, 54)
    added = tuple(100.0 * (n / site.servers - 1.0) for n in counts)

    def peaks(name: Policy) -> tuple[float, ...]:
        under = type(row)(**row.parameters() | {"policy": name}).site(lab, _served(lab))
        return tuple(round(100.0 * under.trial(n).capped_peaks.peak, 2) for n in counts)

    lines = tuple(Series(name, added, peaks(name)) for name in POLICIES)
    return Plot("A row rated for 40 servers of BLOOM-176B", "servers more, %", "peak, % of the budget", lines)

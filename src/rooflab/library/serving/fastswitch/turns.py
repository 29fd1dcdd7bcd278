"""Fairness by turns on a scenario, simulated: what it costs with vLLM's swapping, and with FastSwitch's, by load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.step import StepCost
from rooflab.library.serving.fastswitch.swapping import call_s
from rooflab.library.serving.fastswitch.technique import FastSwitch
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveInt
from rooflab.scenario.limits import Rotation, Swap
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.work.requests import ITL_EDGES_S

__all__ = ["LOADS", "Turns", "keeps_up", "tails"]

LOADS: Final = (0.5, 0.75, 1.0, 1.25)
"""Shares of a scenario's rate at which gains are looked at."""
_LOOKED_AT: Final = 64
"""Iterations near the 99th percentile whose price is looked up."""
_LOGGED: Final = 1 << 18
_FEW: Final = 30
"""Requests of which nothing can be said."""
_GROWS: Final = 1.5
"""How much later first tokens of the last third of requests come than those of the first third, where a queue
grows."""
_TAILS: Final = {"ttft_p95": "TTFT p95", "ttft_p99": "TTFT p99", "ttft_p99.9": "TTFT p99.9", "tbt_p99.9": "TBT p99.9"}


class Turns(Method[Scenario]):
    """Fairness by turns on the reader's scenario: tails with vLLM's swapping and with FastSwitch's, and gains by load.

    New priorities come every `every` steps, unless the deployment says (`rotation`). `curve`: half to five quarters of
    the rate, too. `requests`: so many where the scenario does not say. `group`: blocks that FastSwitch hands out at
    once.
    """

    every: PositiveInt = 50
    group: PositiveInt = 16
    curve: bool = True
    requests: PositiveInt = 1000

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        s = self._with_turns(lab, scenario)
        before, after = lab.simulate(s, log_steps=_LOGGED), lab.simulate(s, FastSwitch(group=self.group))
        was, now = tails(before), tails(after)
        figures = [
            Figure(name=name, value=now[key], baseline=was[key], unit="s", better="lower", how="modelled")
            for key, name in _TAILS.items()
        ]
        figures.append(
            Figure(name="throughput", value=now["throughput"], baseline=was["throughput"], unit="tokens/s",
                   better="higher", how="modelled")
        )  # fmt: skip
        counts = [r.run.totals.total("preemptions") for r in (before, after)]
        figures.append(Figure(name="preemptions", value=counts[1], baseline=counts[0], how="modelled"))
        waits = 100 * _stall(before, lab.step_cost(s), _near(lab))
        figures.append(Figure(name="swapping in vLLM's P99 step", value=waits, unit="percent", how="modelled"))
        swap = (s | FastSwitch(group=self.group)).deployment.limits.swap
        assert swap is not None
        figures.append(
            Figure(name="blocks a copy", value=swap.run_blocks, baseline=1.0, unit="blocks", better="higher",
                   how="executed")
        )  # fmt: skip
        plot = self._by_load(lab, s) if self.curve and s.workload.rate else None
        if plot is not None:
            line = plot.series[0]
            figures += [
                Figure(name=f"gain of {line.name} at {rate:g}/s", value=gain, unit="x", how="modelled")
                for rate, gain in zip(line.x, line.y, strict=True)
            ]
        return Outcome(tuple(figures), _because(before, after, counts[0] == 0), plot=plot)

    def _with_turns(self, lab: Lab, scenario: Scenario) -> Scenario:
        """The scenario with vLLM's swapping and turns in it, where it does not have them."""
        limits = scenario.deployment.limits
        s = scenario.with_workload(requests=scenario.workload.requests or self.requests)
        return s.with_deployment(
            preemption="swap", swap=limits.swap or Swap(call_s(lab)), rotation=limits.rotation or Rotation(self.every)
        )

    def _by_load(self, lab: Lab, s: Scenario) -> Plot:
        """Gains of two tails over the offered load."""
        assert s.workload.rate is not None
        rates = tuple(share * s.workload.rate for share in LOADS)
        keys = ("ttft_p99", "tbt_p99.9")

        def gains(rate: float) -> list[float]:
            at = s.with_workload(rate=rate)
            was, now = tails(lab.simulate(at)), tails(lab.simulate(at, FastSwitch(group=self.group)))
            return [was[key] / now[key] for key in keys]

        found = lab.cells("loads", rates, gains, least=1)
        lines = tuple(
            Series(_TAILS[key], tuple(found), tuple(gain[i] for gain in found.values())) for i, key in enumerate(keys)
        )
        return Plot("Gain over vLLM's swapping by load", "requests/s", "x", lines, log_y=True)


def tails(result: Any) -> Mapping[str, float]:
    """TTFT at p95, p99 and p99.9, time between tokens at p99.9 (s), and tokens a second, of a simulation."""
    records, counts = result.run.records, np.cumsum(result.run.itl_counts)
    ttft = records.first_token_s - records.arrival_s
    ttft = ttft[np.isfinite(ttft)]
    p95, p99, p999 = np.percentile(ttft, [95, 99, 99.9])
    span_s = float(np.nanmax(records.last_token_s) - np.nanmin(records.arrival_s))
    tbt = ITL_EDGES_S[1:][np.searchsorted(counts, 0.999 * counts[-1])]
    return {
        "ttft_p95": p95,
        "ttft_p99": p99,
        "ttft_p99.9": p999,
        "tbt_p99.9": float(tbt),
        "throughput": records.tokens_out.sum() / span_s,
    }


def keeps_up(result: Any) -> bool:
    """Whether first tokens of the last third of the requests come about as soon as those of the first third."""
    records = result.run.records
    ttft = (records.first_token_s - records.arrival_s)[np.argsort(records.arrival_s)]
    ttft = ttft[np.isfinite(ttft)]
    if len(ttft) < _FEW:
        return True
    first, _, last = np.array_split(ttft, 3)
    return bool(last.mean() <= _GROWS * max(first.mean(), 1e-9))


def _because(before: Any, after: Any, idle: bool) -> str:
    """What decides the tails, and whether their gains have a limit."""
    if idle:
        return "memory holds all who run at this load, so turns change nothing; raise the rate to see them"
    if keeps_up(before):
        return "requests give way to others, and what a switch costs decides the tails; both keep up with the load"
    ours = "keeps up" if keeps_up(after) else "does not keep up either"
    return (
        f"vLLM's swapping does not keep up with this load: its queue, and every gain with it, grows for as long as the "
        f"run lasts; FastSwitch {ours}"
    )


def _near(lab: Lab) -> float:
    """How far iterations around the 99th percentile lie from it, as a share of it."""
    source = "the paper speaks of the iteration at the 99th percentile, not of how many it looked at"
    return lab.assume("iterations around the 99th percentile lie within", 0.1, low=0.03, high=0.3, source=source)


def _stall(result: Any, cost: StepCost, within: float) -> float:
    """Share of iterations `within` so much of the 99th percentile beyond the price of their step."""
    log = result.run.steps
    took_s = (log.end_s - log.start_s) / log.steps
    edge = np.quantile(np.repeat(took_s, log.steps), 0.99)
    near = np.flatnonzero(np.abs(took_s / edge - 1.0) < within)
    near = near[:: max(len(near) // _LOOKED_AT, 1)]
    shares = []
    for i in near:
        prompts, tokens = int(log.n_prefill[i]), int(log.prefill_tokens[i])
        area = tokens**2 / max(prompts, 1) / 2
        step = cost.step(
            n_decode=int(log.n_decode[i]),
            context=float(log.context[i]),
            n_prefill=prompts,
            prefill_tokens=tokens,
            area=area,
        )
        shares.append(max(1 - float(step.seconds[0]) / took_s[i], 0.0))
    return float(np.mean(shares))

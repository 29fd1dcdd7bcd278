"""Splitwise (seed 29): prompts and token generation on machines of their own; the cache travels while the prompt is
computed.

A prompt's cache of b bytes leaves layer by layer behind the computation, so that the second token waits for a last
layer and the transfer's own latency instead of for all of it (section 4.3):

    late = latency + b / link · (1 / layers if layer by layer else 1)

Requests join the engine with fewest tokens; a prompt beyond the pending limit of its whole pool goes to a token
machine, which then does both (the mixed pool, section 4.1).  Provisioning sweeps the split of a budget of machines and
finds for each the highest rate at which P50, P90 and P99 of TTFT, TBT and E2E stay within set slow-downs of an
uncontended DGX-A100 (sections 4.4 and 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.deploy.complete import complete
from rooflab.errors import RooflabError
from rooflab.library.serving.splitwise.rates import LIMITS, highest_rate, slow_downs
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.technique import Technique
from rooflab.scenario.lengths import value_at
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(Splitwise)

_BLOOM, _LLAMA = "bigscience/bloom", "meta-llama/Llama-2-70b-hf"
_A100, _H100 = "a100-80gb-sxm", "h100-sxm"


def _cluster(lab: Lab, device: str, machines: int, trace: str = "azure-code") -> Scenario:
    """`machines` hosts of eight devices with mixed batches of at most 2,048 tokens; BLOOM, the traces' lengths, Poisson
    arrivals."""
    s = lab.scenario(
        model=_BLOOM, hardware=f"{8 * machines} x {device}",
        workload={"like": trace, "rate": 1.0},
        deployment={
            "engine": "vllm", "engine_version": "0.2.0", "tp": 8, "replicas": machines, "weights": "fp16",
            "router": "least-loaded",
            "max_num_batched_tokens": 2048, "prefix_caching": False,
        },
    )  # fmt: skip
    return s.with_workload(arrivals="poisson", arrivals_cv=1.0)


def _keeps_up(lab: Lab, scenario: Scenario, technique: Technique | None = None) -> Callable[[float], bool]:
    """Whether a rate keeps all nine slow-downs."""
    alone, limits = lab.step_cost(_cluster(lab, _A100, 1)), lab.data("slow-downs allowed", dict(LIMITS))
    seconds = lab.data("length of a trace", 120.0)

    def holds(rate: float) -> bool:
        requests = max(round(rate * seconds), 1)
        result = lab.simulate(scenario.with_workload(rate=rate, requests=requests), technique)
        if result.metrics["pending"]:
            return False
        got = slow_downs(result, alone)
        return all((got[name] <= np.asarray(limits[name])).all() for name in got)

    return holds


_GRID, _MOST = 2.5, 160.0
"""Rates tried: four times as fine as the authors' traces, up to about theirs."""


def _mixed(lab: Lab, device: str, machines: int) -> float:
    """Highest rate of a cluster of mixed machines."""
    return lab.cached(
        ("mixed", device, machines), lambda: highest_rate(_keeps_up(lab, _cluster(lab, device, machines)), _GRID, _MOST)
    )


def _split(lab: Lab, device: str, machines: int) -> tuple[float, int]:
    """Highest rate of the best split of `machines` in fives, as the authors sweep them, and the machines for prompts in
    it."""

    def sweep() -> tuple[float, int]:
        base, rate, prompts, worse = _cluster(lab, device, machines), 0.0, 0, 0
        for decode in range(5, machines, 5):
            holds = _keeps_up(lab, base, Splitwise(prefill=machines - decode, decode=decode))
            better = highest_rate(holds, _GRID, _MOST, above=rate)
            worse = worse + 1 if rate and better == rate else 0
            rate, prompts = better, machines - decode if better > rate else prompts
            if worse == 2:  # the rate has one peak: prompts bound it on one side, decodes on the other
                break
        return rate, prompts

    return lab.cached(("split", device, machines), sweep)


_ISO_POWER: Final = {_A100: 70, _H100: 40}
"""Machines in the same power: 40 DGX-H100 of 44 kW-shares or 70 DGX-A100 of 24.8 (the authors' configurations)."""


@paper.claim("29-thr-cost")
def cheaper(lab: Lab) -> float:
    """Highest rate within the slow-downs, over the baseline's."""
    return _split(lab, _A100, _ISO_POWER[_A100])[0] / _mixed(lab, _H100, _ISO_POWER[_H100])


@paper.claim("29-thr-iso")
def same_budget(lab: Lab) -> float:
    """Highest rate within the slow-downs, over the baseline's."""
    return _split(lab, _A100, _ISO_POWER[_A100])[0] / _mixed(lab, _A100, _ISO_POWER[_A100])


@paper.claim("29-pool-code")
def prompt_machines(lab: Lab) -> float:
    """Machines for prompts where the sweep finds the highest rate."""
    return float(_split(lab, _H100, _ISO_POWER[_H100])[1])


def _second_token(lab: Lab, layerwise: bool) -> float:
    """Extra time of the second token (percent) of one request alone, split over plain; the coding trace's median
    prompt."""
    base = _cluster(lab, _A100, 2)
    one = lab.data("prompt", 1500.0)
    base = base.with_workload(
        isl=replace(base.workload.isl, kind="fixed", mean=one, cv=0.0, low=one, high=one, table=()),
        osl=replace(base.workload.osl, kind="fixed", mean=2.0, cv=0.0, low=2.0, high=2.0, table=()), correlation=0.0,
        requests=1,
    )  # fmt: skip
    plain, apart = lab.simulate(base), lab.simulate(base, Splitwise(layerwise=layerwise))
    return float(100 * (apart.metrics["tpot_s_mean"] / plain.metrics["tpot_s_mean"] - 1))


for _id, _layerwise in (("29-second-token", True), ("29-second-token-serial", False)):
    paper.claim(_id)(partial(_second_token, layerwise=_layerwise))


def _alone(lab: Lab, device: str, metric: str) -> float:
    """Kernels launched one by one, as engines did in 2023, and no further host time: constants fitted to the authors'
    rows stay out."""
    deployment = {"engine": "ideal", "tp": 8, "weights": "fp16", "cuda_graphs": False}
    s = lab.scenario(
        model=_LLAMA, hardware=f"8 x {device}", workload={"isl": 1500, "osl": 13, "batch": 1}, deployment=deployment
    )
    return float(lab.estimate(s).metrics[metric])


def _ratio(lab: Lab, metric: str) -> float:
    """A latency of one request on one machine over the other."""
    return _alone(lab, _H100, metric) / _alone(lab, _A100, metric)


for _id, _metric in (("29-ttft-ratio", "ttft_s_mean"), ("29-tbt-ratio", "tpot_s_mean")):
    paper.claim(_id)(partial(_ratio, metric=_metric))


def _median(lab: Lab, trace: str, which: str) -> float:
    """Median of a trace's prompts or answers."""
    return float(value_at(getattr(_cluster(lab, _A100, 1, trace).workload, which), 0.5))


for _name, _trace in (("coding", "azure-code"), ("conv", "azure-conv")):
    for _side, _which in (("prompt", "isl"), ("output", "osl")):
        paper.claim(f"29-trace-{_name}-{_side}")(partial(_median, trace=_trace, which=_which))


@paper.setup("BLOOM-176B on 8 DGX-H100, coding")
def setup(lab: Lab) -> Scenario:
    """A fifth of the authors' 40 machines under a fifth of a load between what mixed and split machines sustain."""
    return _cluster(lab, _H100, 8).with_workload(rate=14.0, requests=2000)


def _idle(scenario: Scenario) -> Scenario:
    """A few requests, each alone."""
    return scenario.with_workload(
        rate=0.01, concurrency=None, batch=None, trace=None, scenario=None, requests=200, arrivals="poisson"
    )


def _slo_of(alone: Mapping[str, float]) -> SLO:
    """The paper's slow-downs as limits, from latencies of requests that are alone."""
    stats = ("p50", "p90", "p99")
    return SLO(
        tuple(
            (f"{name}_{stat}", factor * alone[f"{name}_s_{stat}"])
            for name, factors in (("e2e", LIMITS["e2e"]), ("tpot", LIMITS["tbt"]), ("ttft", LIMITS["ttft"]))
            for stat, factor in zip(stats, factors, strict=True)
        )
    )


def _designs(scenario: Scenario) -> Iterator[tuple[str, Technique]]:
    """Splits of the scenario's engines, with the token machines at full and at 70 % power."""
    for t in Splitwise.variants(scenario):
        p, q = t.parameters()["prefill"], t.parameters()["decode"]
        for power in (1.0, 0.7):
            yield (
                f"{p} prefill + {q} decode" + (f" at {power:.0%} power" if power < 1 else ""),
                Splitwise(p, q, decode_power=power),
            )


@paper.method
class Provisioning(Method[Scenario]):
    """The provisioning sweep on the scenario: the highest rate that each split sustains within its service levels, and
    watts."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        from rooflab.papers.compare import settled
        from rooflab.simulator.serving.scenario import saturation

        base = complete(settled(scenario)).with_workload(requests=1000)
        if not base.slo:
            base = replace(base, slo=_slo_of(lab.simulate(_idle(base)).metrics))
        tried: dict[str, Scenario] = {"all engines mixed": base}
        refused = ""
        for name, technique in _designs(base):
            try:
                tried[name] = base | technique
            except RooflabError as error:
                refused = str(error)

        def design(name: str) -> tuple[float, float]:
            rate, run = saturation(tried[name], rounds=7)
            return rate, run.metrics["power_w"] if run else float("nan")

        found = lab.cells("designs", tried, design, least=2)
        rates = {name: rate for name, (rate, _) in found.items()}
        figures = [(f"{name}: highest rate", rate, "requests/s") for name, rate in rates.items()]
        figures += [(f"{name}: power at it", watts, "W") for name, (rate, watts) in found.items() if rate > 0]
        mixed, *splits = rates
        best = max(splits, key=lambda name: rates[name], default=mixed)
        goal = "within the service levels" if scenario.slo else "within the paper's slow-downs of an idle cluster"
        verdict = "pays" if rates[best] > rates[mixed] else "does not raise the rate"
        text = f"splitting {verdict}: {best} sustains {rates[best]:.2f} requests/s {goal}, {mixed} {rates[mixed]:.2f}."
        return Outcome(
            as_figures("modelled", figures), text + (f" Some splits do not apply: {refused}." if refused else "")
        )


@paper.draws
def by_split(lab: Lab) -> Plot:
    """Highest rate of 8 DGX-H100 over the machines given to prompts, both traces."""
    lines = []
    for trace in ("azure-code", "azure-conv"):
        base = _cluster(lab, _H100, 8, trace)
        rates = [highest_rate(_keeps_up(lab, base, Splitwise(prefill=p, decode=8 - p)), 0.5, 32.0) for p in range(1, 8)]
        lines.append(Series(f"split, {trace}", tuple(map(float, range(1, 8))), tuple(rates)))
        lines.append(Series(f"mixed, {trace}", (1.0, 7.0), (highest_rate(_keeps_up(lab, base), 0.5, 32.0),) * 2))
    return Plot(
        "BLOOM-176B on 8 DGX-H100 within the nine slow-downs", "machines for prompts", "requests/s", tuple(lines)
    )

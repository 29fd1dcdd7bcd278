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

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.splitwise.fleet import Design, Fleet, Pools
from rooflab.library.serving.splitwise.log import SizePools
from rooflab.library.serving.splitwise.provisioning import Provisioning
from rooflab.library.serving.splitwise.rates import LIMITS
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.technique import require
from rooflab.scenario.lengths import value_at
from rooflab.scenario.scenario import Scenario

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(Splitwise)
paper.method(Provisioning)
paper.method(SizePools)

_BLOOM, _LLAMA = "bigscience/bloom", "meta-llama/Llama-2-70b-hf"
_A100, _H100 = "a100-80gb-sxm", "h100-sxm"
CODE, CONV = "azure-code", "azure-conv"
OWN, APART = "0.2.0", "0.6.0"
"""vLLM as the authors ran it, whose constants rest on their own table of step times; and the next generation, whose
constants rest on what others measured (Argonne, Qwen)."""
_POWER: Final = {_A100: 1.0, _H100: 1.75}
"""Provisioned power of a machine over that of a DGX-A100 (table 5)."""
_COST: Final = {_A100: 17.6, _H100: 38.0}
"""Dollars of a machine and hour (table 1)."""
_AA, _HH, _HHCAP = Design(_A100, _A100), Design(_H100, _H100), Design(_H100, _H100, token_power=0.5)
"""Designs by prompt and token machine; a cap of half of a GPU's power is one of 70 % of its machine's (section 4.4)."""


def _cluster(lab: Lab, device: str, machines: int, trace: str = "azure-code", version: str = OWN) -> Scenario:
    """`machines` hosts of eight devices with mixed batches of at most 2,048 tokens; BLOOM, the traces' lengths, Poisson
    arrivals."""

    def make() -> Scenario:
        s = lab.scenario(
            model=_BLOOM, hardware=f"{8 * machines} x {device}", workload={"like": trace, "rate": 1.0},
            deployment={
                "engine": "vllm", "engine_version": version, "tp": 8, "replicas": machines, "weights": "fp16",
                "router": "least-loaded", "max_num_batched_tokens": 2048, "prefix_caching": False,
            },
        )  # fmt: skip
        return s.with_workload(arrivals="poisson", arrivals_cv=1.0)

    return lab.cached(("cluster", device, machines, trace, version), make)


def _fleet(lab: Lab, trace: str, version: str = OWN, *, step: float = 2.5, most: float = 160.0) -> Fleet:
    """Clusters under Poisson traces of two minutes; rates four times as fine as the authors', up to about theirs."""
    seconds, limits = lab.data("length of a trace", 120.0), lab.data("slow-downs allowed", dict(LIMITS))
    return Fleet(
        lab, lambda device, machines: _cluster(lab, device, machines, trace, version),
        lambda s, rate: s.with_workload(rate=rate, requests=max(round(rate * seconds), 1)),
        reference=_cluster(lab, _A100, 1, trace, version), step=step, most=most, limits=limits,
    )  # fmt: skip


def _mixed(lab: Lab, device: str, machines: int, trace: str, version: str = OWN) -> float:
    """Highest rate of a cluster of mixed machines."""
    key = ("mixed", device, machines, trace, version)
    return lab.cached(key, lambda: _fleet(lab, trace, version).mixed(device, machines))


def _best(lab: Lab, design: Design, machines: int, trace: str, version: str = OWN) -> tuple[float, Pools]:
    """Highest rate of the best split of `machines` in fives, as the authors sweep them, and that split."""
    splits = [(machines - t, t) for t in range(5, machines, 5)]
    key = ("best", design, machines, trace, version)
    return lab.cached(key, lambda: _fleet(lab, trace, version).best(design, splits))


def _hosts(lab: Lab) -> int:
    """DGX-H100 that set the budget."""
    return max(lab.data("DGX-H100 of the budget", 40), 6)


def _same(lab: Lab, what: Mapping[str, float]) -> int:
    """DGX-A100 in the power or at the cost of the DGX-H100."""
    return int(_hosts(lab) * _worth(lab, what) + 1e-9)


def _worth(lab: Lab, what: Mapping[str, float]) -> float:
    """A DGX-H100 over a DGX-A100."""
    each = lab.data("a machine's power and cost", {"power": _POWER, "cost": _COST})[
        "cost" if what is _COST else "power"
    ]
    return each[_H100] / each[_A100]


def _over_h100(lab: Lab, what: Mapping[str, float], trace: str, version: str = OWN) -> float:
    """Highest rate of split DGX-A100 over that of mixed DGX-H100 in the same power or at the same cost."""
    mixed = _mixed(lab, _H100, _hosts(lab), trace, version)
    return _best(lab, _AA, _same(lab, what), trace, version)[0] / mixed


def _over_a100(lab: Lab, trace: str, version: str = OWN) -> float:
    """Highest rate of split DGX-A100 over that of as many mixed ones."""
    machines = _same(lab, _POWER)
    return _best(lab, _AA, machines, trace, version)[0] / _mixed(lab, _A100, machines, trace, version)


for _id, _of in (
    ("29-thr-cost", partial(_over_h100, what=_POWER, trace=CODE)),
    ("29-thr-iso", partial(_over_a100, trace=CODE)),
    ("29-thr-cost-apart", partial(_over_h100, what=_POWER, trace=CODE, version=APART)),
    ("29-thr-iso-apart", partial(_over_a100, trace=CODE, version=APART)),
    ("29-thr-conv", partial(_over_a100, trace=CONV)),
    ("29-iso-cost", partial(_over_h100, what=_COST, trace=CONV)),
):
    paper.claim(_id)(_of)


def _prompt_machines(lab: Lab, design: Design, trace: str) -> float:
    """Machines for prompts where the sweep finds the highest rate."""
    machines = _hosts(lab) if design.prompt == _H100 else _same(lab, _POWER)
    return float(_best(lab, design, machines, trace)[1][0])


for _id, _design, _trace in (("29-pool-code", _HH, CODE), ("29-pool-code-aa", _AA, CODE), ("29-pool-conv", _HH, CONV)):
    paper.claim(_id)(partial(_prompt_machines, design=_design, trace=_trace))


def _cheapest_code(lab: Lab) -> Pools:
    """Pools of DGX-H100 that sustain 70 requests/s of the coding trace at the lowest cost (figure 12)."""
    rate, most = lab.data("target of the design space", 70.0), _hosts(lab)

    def search() -> Pools:
        found = _fleet(lab, CODE).cheapest(_HH, rate, (most, most), (1.0, 1.0))
        require(found is not None, f"{2 * most} split DGX-H100 do not sustain {rate:g} requests/s")
        return found or (0, 0)

    return lab.cached(("cheapest", rate, most), search)


@paper.claim("29-opt-prompt")
def cheapest_prompt(lab: Lab) -> float:
    """Prompt machines of the cheapest pools."""
    return float(_cheapest_code(lab)[0])


@paper.claim("29-opt-token")
def cheapest_token(lab: Lab) -> float:
    """Token machines of the cheapest pools."""
    return float(_cheapest_code(lab)[1])


def _saved(lab: Lab, design: Design, each: tuple[float, float], h100: float) -> float:
    """What the cheapest cluster of a design that sustains as much of the conversation trace as mixed DGX-H100 saves,
    percent; `each` is the price of its machines, `h100` that of a DGX-H100."""
    hosts, fleet = _hosts(lab), _fleet(lab, CONV)
    rate = _mixed(lab, _H100, hosts, CONV)
    if lab.with_idea():
        pools = fleet.cheapest(design, rate, (5 * hosts, 5 * hosts), each)
    else:
        mixed = fleet.fewest(design.prompt, rate, 10 * hosts)
        pools, each = None if mixed is None else (mixed, 0), (each[0], 0.0)
    require(pools is not None, f"no cluster of {10 * hosts} machines sustains {rate:g} requests/s")
    return 100.0 * (1.0 - sum(n * x for n, x in zip(pools or (), each, strict=True)) / (hosts * h100))


@paper.claim("29-cost-opt")
def cost_saved(lab: Lab) -> float:
    """Cost of split DGX-A100 below that of the mixed DGX-H100 that sustain as much."""
    return lab.cached("cost saved", lambda: _saved(lab, _AA, (1.0, 1.0), _worth(lab, _COST)))


@paper.claim("29-power-opt")
def power_saved(lab: Lab) -> float:
    """Provisioned power of DGX-H100 of which the token machines are capped, below that of mixed ones that sustain as
    much."""
    capped = lab.data("power of a capped DGX-H100", 0.7)
    return lab.cached("power saved", lambda: _saved(lab, _HHCAP, (1.0, capped), 1.0))


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


@paper.setup("The authors' log of coding requests, a part")
def requests(lab: Lab) -> Runs:
    """Requests of the hour that the authors released."""
    return lab.sample(Runs, "azure-code")


@paper.draws
def by_split(lab: Lab) -> Plot:
    """Highest rate of 8 DGX-H100 over the machines given to prompts, both traces."""
    lines = []
    for trace in (CODE, CONV):
        fleet = _fleet(lab, trace, step=0.5, most=32.0)
        rates = [fleet.split(_HH, (p, 8 - p)) for p in range(1, 8)]
        lines.append(Series(f"split, {trace}", tuple(map(float, range(1, 8))), tuple(rates)))
        lines.append(Series(f"mixed, {trace}", (1.0, 7.0), (fleet.mixed(_H100, 8),) * 2))
    return Plot(
        "BLOOM-176B on 8 DGX-H100 within the nine slow-downs", "machines for prompts", "requests/s", tuple(lines)
    )

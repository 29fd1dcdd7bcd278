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

from functools import partial

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.splitwise.budgets import A100, DEVICES, H100, HH, Budgets
from rooflab.library.serving.splitwise.handover import AFTER, BEHIND, Handover
from rooflab.library.serving.splitwise.log import SizePools
from rooflab.library.serving.splitwise.provisioning import Provisioning
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.scenario.lengths import value_at
from rooflab.scenario.scenario import Scenario

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(Splitwise)
paper.method(Provisioning)
paper.method(Budgets)
paper.method(Handover)
paper.method(SizePools)

_BLOOM, _LLAMA = "bigscience/bloom", "meta-llama/Llama-2-70b-hf"
CODE, CONV = "azure-code", "azure-conv"
OWN, APART = "0.2.0", "0.6.0"
"""vLLM as the authors ran it, whose constants rest on their own table of step times; and the next generation, whose
constants rest on what others measured (Argonne, Qwen)."""


def _served(lab: Lab, trace: str, version: str = OWN) -> Scenario:
    """BLOOM on 8 DGX-H100 with mixed batches of at most 2,048 tokens, the trace's lengths, Poisson arrivals."""

    def make() -> Scenario:
        s = lab.scenario(
            model=_BLOOM, hardware=f"64 x {H100}", workload={"like": trace, "rate": 14.0, "requests": 2000},
            deployment={
                "engine": "vllm", "engine_version": version, "tp": 8, "replicas": 8, "weights": "fp16",
                "router": "least-loaded", "max_num_batched_tokens": 2048, "prefix_caching": False,
            },
        )  # fmt: skip
        return s.with_workload(arrivals="poisson", arrivals_cv=1.0)

    return lab.cached(("served", trace, version), make)


_BUDGETS = Budgets()


def _highest(lab: Lab, name: str, trace: str, version: str = OWN) -> tuple[float, int, int]:
    return _BUDGETS.highest(lab, _served(lab, trace, version), name)


def _over(lab: Lab, split: str, mixed: str, trace: str, version: str = OWN) -> float:
    """Highest rate of a split cluster over that of a mixed one."""
    return _highest(lab, split, trace, version)[0] / _highest(lab, mixed, trace, version)[0]


for _id, _split, _mixed, _trace, _version in (
    ("29-thr-cost", "split A100", "mixed H100", CODE, OWN), ("29-thr-iso", "split A100", "mixed A100", CODE, OWN),
    ("29-thr-cost-apart", "split A100", "mixed H100", CODE, APART),
    ("29-thr-iso-apart", "split A100", "mixed A100", CODE, APART),
    ("29-thr-conv", "split A100", "mixed A100", CONV, OWN),
    ("29-iso-cost", "split A100, same cost", "mixed H100", CONV, OWN),
):  # fmt: skip
    paper.claim(_id)(partial(_over, split=_split, mixed=_mixed, trace=_trace, version=_version))


def _prompt_machines(lab: Lab, name: str, trace: str) -> float:
    """Machines for prompts where the sweep finds the highest rate."""
    return float(_highest(lab, name, trace)[1])


for _id, _split, _trace in (
    ("29-pool-code", "split H100", CODE), ("29-pool-code-aa", "split A100", CODE), ("29-pool-conv", "split H100", CONV),
):  # fmt: skip
    paper.claim(_id)(partial(_prompt_machines, name=_split, trace=_trace))


def _cheapest(lab: Lab, pool: int) -> float:
    """Machines of a pool in the cheapest split DGX-H100 for the rate of the paper's design space (figure 12)."""
    rate = lab.data("target of the design space", 70.0)
    return float(_BUDGETS.cheapest(lab, _served(lab, CODE), "HH", rate)[pool])


for _id, _pool in (("29-opt-prompt", 0), ("29-opt-token", 1)):
    paper.claim(_id)(partial(_cheapest, pool=_pool))


@paper.claim("29-cost-opt")
def cost_saved(lab: Lab) -> float:
    """Cost of split DGX-A100 below that of the mixed DGX-H100 that sustain as much."""
    return _BUDGETS.saved(lab, _served(lab, CONV), "AA")


@paper.claim("29-power-opt")
def power_saved(lab: Lab) -> float:
    """Provisioned power of DGX-H100 of which the token machines are capped, below that of mixed ones that sustain as
    much."""
    return _BUDGETS.saved(lab, _served(lab, CONV), "HHcap")


def _second_token(lab: Lab, figure: str) -> float:
    """Extra time of the second token (percent) of one request alone, split over plain; the coding trace's median
    prompt."""
    alone = Handover(prompt=round(lab.data("prompt", 1500)), machine=f"{DEVICES} x {A100}")
    return lab.run(alone, _served(lab, CODE))[figure]


for _id, _figure in (("29-second-token", BEHIND), ("29-second-token-serial", AFTER)):
    paper.claim(_id)(partial(_second_token, figure=_figure))


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
    return _alone(lab, H100, metric) / _alone(lab, A100, metric)


for _id, _metric in (("29-ttft-ratio", "ttft_s_mean"), ("29-tbt-ratio", "tpot_s_mean")):
    paper.claim(_id)(partial(_ratio, metric=_metric))


def _median(lab: Lab, trace: str, which: str) -> float:
    """Median of a trace's prompts or answers."""
    return float(value_at(getattr(_served(lab, trace).workload, which), 0.5))


for _name, _trace in (("coding", "azure-code"), ("conv", "azure-conv")):
    for _side, _which in (("prompt", "isl"), ("output", "osl")):
        paper.claim(f"29-trace-{_name}-{_side}")(partial(_median, trace=_trace, which=_which))


for _name, _trace, _version in (
    ("coding", CODE, OWN), ("conversation", CONV, OWN), ("coding, by vLLM 0.6", CODE, APART)
):  # fmt: skip
    paper.setup(f"BLOOM-176B on 8 DGX-H100, {_name}")(partial(_served, trace=_trace, version=_version))


@paper.setup("The authors' log of coding requests, a part")
def requests(lab: Lab) -> Runs:
    """Requests of the hour that the authors released."""
    return lab.sample(Runs, "azure-code")


@paper.draws
def by_split(lab: Lab) -> Plot:
    """Highest rate of 8 DGX-H100 over the machines given to prompts, both traces."""
    lines = []
    for trace in (CODE, CONV):
        fleet = Budgets(step=0.5).fleet(lab, _served(lab, trace))
        rates = [fleet.split(HH, (p, 8 - p)) for p in range(1, 8)]
        lines.append(Series(f"split, {trace}", tuple(map(float, range(1, 8))), tuple(rates)))
        lines.append(Series(f"mixed, {trace}", (1.0, 7.0), (fleet.mixed(H100, 8),) * 2))
    return Plot(
        "BLOOM-176B on 8 DGX-H100 within the nine slow-downs", "machines for prompts", "requests/s", tuple(lines)
    )

"""NanoFlow (seed 71): nano-batches whose operations, bound by arithmetic, memory and network, run on one device at the
same time.

A dense batch is cut in two; while one half's products compute, the other half's attention reads its cache and its
collectives send.  A kernel that runs beside a product takes the share R of the device's units and reaches the share
P(R) of its own full rate (section 4, resource map), so hiding T seconds of it costs R / P(R) · T seconds of products
and keeps it busy for T / P(R).

    t(R_a, R_n) = T_products + R_a / P_a · T_attention + R_n / P_n · T_network,   T_a / P_a + T_n / P_n ≤ t

The search over R is executed on the operators' times of the scenario at hand; what it finds is the overlap of a
deployment.

    optimal tokens/s/device = achievable FLOP/s / (2 · parameters)                             (section 3, equation 9)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any, Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.step import StepCost
from rooflab.deploy.engine import engine_of
from rooflab.operators.ops import Collective, Elementwise, ExpertGemm, Gemm, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.runtime import Overlap
from rooflab.scenario.scenario import Scenario

__all__ = ["NanoFlow", "SplitBatch", "paper", "search"]

paper = Paper.beside(__file__)

Map = tuple[tuple[float, float], ...]
ATTENTION_MAP: Final[Map] = ((0.1, 0.2), (0.2, 0.3), (0.4, 0.8), (0.8, 0.85), (0.9, 0.95), (1.0, 1.0))
"""Share of units → share of its own rate that decode attention reaches beside products (table 3; 0.4 → 0.8 from section
4.1.4)."""
NETWORK_MAP: Final[Map] = ((0.1, 0.3), (0.2, 0.5), (0.8, 0.9), (0.9, 1.0), (1.0, 1.0))
"""The same for collectives (table 3)."""


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """A rewrite: every operator of a layer runs once for each of `parts` nano-batches; weights are read again for
    each."""

    parts: int

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Operators with counts times `parts` and tokens divided by it; attention is split without loss, the head stays
        whole."""
        return tuple(self._split(op) for op in operators)

    def _split(self, op: Operator) -> Operator:
        n = float(self.parts)
        if op.group in ("head", "embedding"):
            return op
        if isinstance(op, Gemm):
            return replace(op, count=op.count * n, m=op.m / n)
        if isinstance(op, ExpertGemm):
            return replace(op, count=op.count * n, tokens=op.tokens / n)
        if isinstance(op, Elementwise):
            return replace(op, count=op.count * n, moved_bytes=op.moved_bytes / n)
        if isinstance(op, Collective) and op.kind != "send":
            return replace(op, count=op.count * n, message_bytes=op.message_bytes / n)
        return op


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: shares of units for attention and network, and the seconds of a step."""

    attention: float
    network: float
    seconds: float
    overlap: Overlap


def search(
    products_s: float, attention_s: float, network_s: float, maps: tuple[Map, Map] = (ATTENTION_MAP, NETWORK_MAP)
) -> Found:
    """The shares that make a step shortest; share 0 runs a kind of kernel by itself, after the others."""
    best = Found(0.0, 0.0, products_s + attention_s + network_s, Overlap())
    for (ra, pa), (rn, pn) in product(((0.0, 1.0), *maps[0]), ((0.0, 1.0), *maps[1])):
        beside_s = (attention_s / pa if ra else 0.0) + (network_s / pn if rn else 0.0)
        lost_s = ra / pa * attention_s + rn / pn * network_s
        alone_s = (0.0 if ra else attention_s) + (0.0 if rn else network_s)
        seconds = products_s + lost_s + alone_s
        if beside_s <= products_s + lost_s and seconds < best.seconds:
            hidden = Overlap(attention=1 - ra / pa if ra else 0.0, comm=1 - rn / pn if rn else 0.0)
            best = Found(ra, rn, seconds, hidden)
    return best


@paper.technique
class NanoFlow(Technique):
    """Run attention, products and collectives of two nano-batches at the same time (sections 4 and 5)."""

    batch: PositiveInt = 2048
    nano_batches: PositiveInt = 2

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices without several kernels at once, and steps in which there is nothing worth hiding."""
        device = scenario.hardware.device
        require(
            device.kind == "gpu", f"{device.name} does not run kernels of different streams side by side as a GPU does"
        )
        require(
            scenario.model.kind == "decoder",
            f"{scenario.model.name} is no decoder: its steps have no attention to hide",
        )
        require(scenario.deployment.runtime.overlap is None, "the deployment overlaps operators already")
        require(
            scenario.workload.mode != "static",
            "a static batch has no prompts beside its decodes to fill a dense batch with",
        )
        split = SplitBatch(self.nano_batches)
        plain = _step_s(scenario, self.batch, ())
        cut = _step_s(scenario, self.batch, (split,))
        found = search(*cut)
        require(
            found.seconds < sum(plain),
            f"cutting a step of {self.batch:,} tokens in {self.nano_batches} costs {(sum(cut) - sum(plain)) * 1e3:.1f} "
            f"ms "
            f"and hides {(sum(cut) - found.seconds) * 1e3:.1f} ms",
        )
        changed = replace(scenario, rewrites=(*scenario.rewrites, split))
        return changed.with_deployment(overlap=found.overlap, max_num_batched_tokens=self.batch, chunked_prefill=True)

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Dense batches of several sizes."""
        return [cls(batch=b) for b in (2048, 4096, 8192)]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How much of attention and communication runs beside products; what that gains, and what cutting the batch
        costs, follows from each alone."""
        hidden: Overlap = after.scenario.deployment.runtime.overlap
        shares = {"decode attention": hidden.attention, "communication": hidden.comm}
        return [
            fact("", f"share of {name} that may run beside products", share, "fraction")
            for name, share in shares.items()
            if share
        ]


def _step_s(s: Scenario, tokens: int, rewrites: tuple[Any, ...]) -> tuple[float, float, float]:
    """Seconds of products, decode attention and collectives in a dense step of `tokens` at the scenario's mix of
    decodes and prompts."""
    cost = _priced(replace(s, rewrites=(*s.rewrites, *rewrites)))
    prompt, output = s.workload.mean_prompt_tokens, s.workload.mean_output_tokens
    n = tokens * output / (prompt + output)
    decode = cost.step(n_decode=n, context=n * (prompt + output / 2))
    dense = cost.step(n_decode=0, n_prefill=1, prefill_tokens=tokens, area=0.0)
    return float(dense.linear_s[0]), float(decode.attention_s[0]), float(dense.comm_s[0])


@lru_cache(maxsize=64)
def _priced(scenario: Scenario) -> StepCost:
    return engine_of(scenario).step_cost


_LLAMA = "meta-llama/Llama-2-70b-hf"
_A100 = "8 x a100-80gb-sxm"
_DATASETS: Final[Mapping[str, tuple[float, float]]] = {
    "splitwise": (1155.0, 211.0),
    "lmsys": (102.0, 222.0),
    "sharegpt": (246.0, 322.0),
}
"""Mean prompt and answer of the paper's data as it samples them (table 4)."""
_TRACES: Final[Mapping[str, tuple[float, float]]] = {
    **_DATASETS, "constant": (512.0, 512.0), "long": (1024.0, 512.0), "answers": (512.0, 1024.0),
}  # fmt: skip


def _held(lab: Lab) -> float:
    """Sequences that a baseline may have in flight."""
    source = "the paper names no limit: as many as fill NanoFlow's own dense batch, or 256, what engines do by default"
    return lab.assume("sequences of the baseline", 2048, low=256, high=2048, source=source)


def _serving(
    lab: Lab,
    trace: str,
    *,
    engine: str,
    version: str = "",
    model: str = _LLAMA,
    hardware: str = _A100,
    tp: int = 8,
    full: bool = True,
) -> Scenario:
    """Requests without end in steps of at most 2,048 tokens: as many as fill those at the ratio of the lengths
    (`full`), or as many as a baseline holds."""
    isl, osl = _TRACES[trace]
    batch = lab.data("dense batch", 2048)
    deployment = {
        "engine": engine,
        "engine_version": version or None,
        "tp": tp,
        "weights": "fp16",
        "max_num_batched_tokens": batch,
    }
    fill = max(int(batch * osl / (isl + osl)), 1)
    deployment["max_num_seqs"] = fill if full else min(int(_held(lab)), fill)
    return lab.scenario(
        model=model,
        hardware=hardware,
        workload={"isl": isl, "osl": osl, "scenario": "max-throughput"},
        deployment=deployment,
    )


def _nanoflow(lab: Lab, trace: str, **setup: Any) -> float:
    """Tokens (prompt and generated) a second and GPU with the technique; an engine whose scheduling is hidden."""
    s = _serving(lab, trace, engine="ideal", **setup)
    return float(
        lab.estimate(s, NanoFlow(batch=s.deployment.limits.max_num_batched_tokens)).metrics[
            "total_tokens_per_s_per_gpu"
        ]
    )


def _baseline(lab: Lab, trace: str) -> float:
    s = _serving(lab, trace, engine="trtllm", version="0.8.0", full=False)
    return float(lab.estimate(s).metrics["total_tokens_per_s_per_gpu"])


def _optimal(lab: Lab, model: str = _LLAMA) -> float:
    """What dense products of 2,048 tokens reach on the device (those of Llama-2-70B), over two FLOPs a parameter of
    `model` and token."""
    s = _serving(lab, "constant", engine="ideal")
    rows = lab.operators(s, "dense", n_prefill=1, prefill_tokens=s.deployment.limits.max_num_batched_tokens)
    products = [r for r in rows if r.group in ("attention", "ffn") and r.flops]
    rate = sum(r.flops for r in products) / sum(r.seconds for r in products)
    return rate / (2 * lab.model(model).active_parameters)


@paper.claim("c1")
def boost(lab: Lab) -> float:
    """Mean of the speed-ups at the mean lengths of Splitwise, LMSYS and ShareGPT."""
    return sum(_nanoflow(lab, t) / _baseline(lab, t) for t in _DATASETS) / len(_DATASETS)


@paper.claim("c2")
def optimal(lab: Lab) -> float:
    """Rate of dense products over two FLOPs a parameter."""
    return _optimal(lab)


_PORTED: Final[Mapping[str, tuple[str, int]]] = {
    "meta-llama/Meta-Llama-3-70B": (_A100, 8), "Qwen/Qwen2-72B": (_A100, 8),
    "deepseek-ai/deepseek-llm-67b-base": (_A100, 8),
    "meta-llama/Meta-Llama-3-8B": ("a100-80gb-sxm", 1), "mistralai/Mixtral-8x7B-v0.1": (_A100, 8),
}  # fmt: skip


def _share(lab: Lab, model: str) -> float:
    """Percent of the optimum that a ported model reaches, prompts of 1,024 and answers of 512 tokens."""
    hardware, tp = _PORTED[model]
    return 100 * _nanoflow(lab, "long", model=model, hardware=hardware, tp=tp) / _optimal(lab, model)


@paper.claim("c3")
def share_of_optimal(lab: Lab) -> tuple[float, ...]:
    """The share of each ported model."""
    return tuple(_share(lab, model) for model in _PORTED)


for _id, _model in zip(("llama-3-70b", "qwen2-72b", "deepseek-67b", "llama-3-8b", "mixtral"), _PORTED, strict=True):
    paper.claim(f"share-{_id}")(partial(_share, model=_model))

for _id, _trace in {
    "c4": "constant",
    "c5": "sharegpt",
    "long": "long",
    "answers": "answers",
    "splitwise": "splitwise",
    "lmsys": "lmsys",
}.items():
    paper.claim(_id)(partial(_nanoflow, trace=_trace))
    paper.claim(f"trt-{_trace}")(partial(_baseline, trace=_trace))


@paper.setup("Llama-2-70B on 8 A100, 512 in and out")
def setup(lab: Lab) -> Scenario:
    """The paper's running example."""
    return _serving(lab, "constant", engine="vllm")


@paper.draws
def by_link(lab: Lab) -> Plot:
    """Step time over the share of units given to collectives."""
    s = _serving(lab, "constant", engine="ideal")
    products_s, attention_s, network_s = _step_s(s, s.deployment.limits.max_num_batched_tokens, (SplitBatch(2),))
    shares = tuple(r for r, _ in NETWORK_MAP[:4])
    whole = products_s + attention_s + network_s
    times = tuple(
        round(1e3 * search(products_s, attention_s, network_s, (ATTENTION_MAP, ((r, p),))).seconds, 3)
        for r, p in NETWORK_MAP[:4]
    )
    alone = tuple(round(1e3 * whole, 3) for _ in shares)
    return Plot(
        "A dense step of Llama-2-70B on 8 A100", "share of units for collectives", "ms",
        (Series("overlapped", shares, times), Series("one after the other", shares, alone)),
    )  # fmt: skip

"""Kinetics (seed 39): what reasoning at test time costs once the traffic of the KV cache is priced, and what sparse
attention does to it.

Per question, N trials of a model with P parameters, H_q query and H_kv KV heads and D = head_dim · layers, prompt L_c,
answer L_g, on hardware of E = peak FLOP/s over bytes/s (section 3 and the released cost model):

    compute = N (2 P L_g + 2 (2 L_c + L_g) L_g H_q D)
    memory  = 2 (2 L_c + N L_g) L_g H_kv D      prompt cache shared by the trials; weights amortised over large batches
    eFLOPs  = compute + E · memory
    top-k with a budget of B tokens: L_g² terms become 2 B L_g
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.operators.ops import AttentionOp, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import Technique, require
from rooflab.scenario.attention import Attention, LatentAttention
from rooflab.scenario.model import Mixer, Model
from rooflab.scenario.scenario import Scenario

__all__ = ["Shape", "SparseAttention", "SparseRead", "eflops", "paper"]

Array = npt.NDArray[np.float64]

paper = Paper.beside(__file__)

SIZES = ("Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "Qwen3-32B")
PASS_1 = {
    "Qwen3-0.6B": 0.107, "Qwen3-1.7B": 0.483, "Qwen3-4B": 0.738, "Qwen3-8B": 0.760, "Qwen3-14B": 0.793,
    "Qwen3-32B": 0.814,
}  # fmt: skip
"""AIME 2024, thinking mode, as the Qwen3 technical report gives it (4B and 32B checked against a second source)."""
_LONGEST = 32768.0
_DISPERSION = 0.8
_PROMPT = 200.0
_BUDGET = 1024.0


@dataclass(frozen=True, slots=True)
class SparseRead:
    """A rewrite of a step: generated tokens read `budget` cached tokens, chosen by one vector a block (the mean of its
    keys, or of its latents where all heads share one); prompts attend to everything."""

    budget: int
    block: int

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Each full attention becomes a dense one for prompts, a sparse one for decoding and the search over blocks."""
        out: list[Operator] = []
        for op in operators:
            if not isinstance(op, AttentionOp) or not _reads_all(op):
                out.append(op)
                continue
            read = replace(op, phases="decode", window=float(self.budget))
            out += [replace(op, phases="prefill"), read, self._search(op)]
        return tuple(out)

    def _search(self, op: AttentionOp) -> AttentionOp:
        """The queries' products with one vector a block."""
        if op.latent:
            op = replace(op, latent=None, kv_heads=op.kv_heads * 0.0 + 1.0, head_dim=sum(op.latent))
        share = op.context_share / self.block
        return replace(op, name="block search", v_head_dim=0.0, indexer=True, phases="decode", context_share=share)


def _reads_all(op: AttentionOp) -> bool:
    """Whether an attention reads the whole of a cache that grows: no window, no choice of tokens, no encoder's."""
    return op.window == float("inf") and not op.indexer and not op.name.startswith("cross")


def _grows(mixer: Mixer) -> bool:
    """The same of a layer: of keys and values by head, or of latents that all heads share."""
    if isinstance(mixer, LatentAttention):
        return mixer.indexer is None
    return isinstance(mixer, Attention) and mixer.window is None and not mixer.cross


@paper.technique
class SparseAttention(Technique):
    """Each generated token attends to the best blocks of the cache, `budget` tokens in all (block top-k, section 5)."""

    changes_outputs = True
    budget: PositiveInt = 1024
    block: PositiveInt = 16

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models whose attention reads no whole cache, and contexts that the budget covers."""
        model, w = scenario.model, scenario.workload
        require(model.kind == "decoder", f"{model.name} generates no tokens: there is no growing cache to read less of")
        whole = any(_grows(m) for r in model.runs for m in r.block.mixers)
        require(
            whole, f"no layer of {model.name} reads its whole context: windows, states or a choice of tokens already"
        )
        context = w.mean_prompt_tokens + w.mean_output_tokens
        require(
            context > 2 * self.budget,
            f"contexts of {context:,.0f} tokens are short: a budget of {self.budget:,} reads nearly all of them",
        )
        return replace(scenario, rewrites=(*scenario.rewrites, SparseRead(self.budget, self.block)))

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Budgets that the paper tries and that are well below the context."""
        context = scenario.workload.mean_prompt_tokens + scenario.workload.mean_output_tokens
        return [cls(budget=b) for b in (1024, 512, 256) if 2 * b < context] or [cls()]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the cost model needs of a model."""

    parameters: float
    q_heads: float
    kv_heads: float
    depth: float

    @staticmethod
    def of(model: Model) -> Shape:
        """The shape of a dense decoder; P counts tied embeddings once."""
        mixer = model.runs[0].block.mixers[0]
        assert isinstance(mixer, Attention)
        return Shape(
            float(model.parameters), float(mixer.heads), float(mixer.kv_heads), float(mixer.head_dim * model.layers)
        )


def eflops(
    shape: Shape,
    first: Array,
    second: Array,
    *,
    trials: float,
    intensity: float,
    budget: float | None = None,
    prompt: float = _PROMPT,
) -> Array:
    """eFLOPs of a question. `first`, `second`: first and second moment of the answer's length; `intensity` 0 gives
    plain FLOPs.

    A budget caps the cache that a token reads: mean length L costs 2·min(B, L/2)·L instead of L².
    """
    square = second if budget is None else np.minimum(second, 2.0 * budget * first)
    shared = 2.0 * prompt * first
    compute = trials * (2.0 * shape.parameters * first + 2.0 * (shared + square) * shape.q_heads * shape.depth)
    memory = 2.0 * (shared + trials * square) * shape.kv_heads * shape.depth
    out: Array = compute + intensity * memory
    return out


def _lengths(lab: Lab) -> tuple[Array, Array, Array]:
    """Grid of cuts, and for each: the share of answers that end before it and the moments of the cut length, (cuts,),
    (3, cuts)."""
    mean = lab.data("mean answer length", 14000.0)
    sigma = float(np.sqrt(np.log1p(lab.data("spread of answer lengths", 0.6) ** 2)))
    p = (np.arange(4000) + 0.5) / 4000
    from statistics import NormalDist

    normal = NormalDist()
    z = np.array([normal.inv_cdf(x) for x in p])
    lengths = np.exp(np.log(mean) - sigma**2 / 2 + sigma * z)
    cuts = np.geomspace(512.0, _LONGEST, 49)
    cut = np.minimum(lengths[:, None], cuts)
    return cuts, (lengths[:, None] <= cuts).mean(axis=0), np.stack([cut.mean(axis=0), (cut**2).mean(axis=0)])


def _coverage(solve: float, trials: int) -> float:
    """Chance that one of `trials` answers is right: Beta-distributed solve probability over questions, E[1 − (1 −
    p)^N]."""
    a, b = solve * _DISPERSION, (1 - solve) * _DISPERSION
    miss = 1.0
    for k in range(trials):
        miss *= (b + k) / (a + b + k)
    return 1 - miss


@dataclass(frozen=True, slots=True)
class _Choice:
    """Every configuration of a search: accuracy, eFLOPs and plain FLOPs a question, and the model's index."""

    accuracy: Array
    cost: Array
    flops: Array
    size: Array

    def best(self, budget: float) -> float:
        """Accuracy of the best configuration within `budget` eFLOPs."""
        return float(self.accuracy[self.cost <= budget].max(initial=0.0))


def _search(lab: Lab, sparse: bool, trials: Sequence[int]) -> _Choice:
    """All models, trials and cuts. Pass@1 holds for answers that end within 32,768 tokens, and so do cut ones in
    proportion."""
    return lab.cached(("kinetics", sparse, tuple(trials)), partial(_searched, lab, sparse, trials))


def _searched(lab: Lab, sparse: bool, trials: Sequence[int]) -> _Choice:
    device = lab.hardware("b200").device
    intensity = device.peak("fp8") / device.memory_bytes_per_s
    budget = _BUDGET if sparse and lab.with_idea() else None
    solved = lab.data("pass@1", PASS_1)
    _, done, moments = _lengths(lab)
    rows: list[tuple[Array, Array, Array, Array]] = []
    for i, name in enumerate(SIZES):
        shape = Shape.of(lab.model(name))
        for n in trials:
            if name == "Qwen3-32B" and n > 8:
                continue
            accuracy = np.array([_coverage(min(solved[name] * share / done[-1], 1.0), n) for share in done])
            price = partial(eflops, shape, moments[0], moments[1], trials=n, budget=budget)
            rows.append((accuracy, price(intensity=intensity), price(intensity=0.0), np.full(len(accuracy), float(i))))
    return _Choice(*(np.concatenate(column) for column in zip(*rows, strict=True)))


_TRIALS = (1, 2, 4, 8, 16, 32)


def _budgets(dense: _Choice, sparse: _Choice) -> Array:
    return np.geomspace(sparse.cost.min(), dense.cost.max(), 120)


@paper.claim("39-low")
def low_cost_gain(lab: Lab) -> float:
    """Largest gain over the dense frontier at the same eFLOPs."""
    dense, sparse = _search(lab, False, _TRIALS), _search(lab, True, _TRIALS)
    return 100 * max(sparse.best(c) - dense.best(c) for c in _budgets(dense, sparse))


@paper.claim("39-high")
def high_cost_gain(lab: Lab) -> float:
    """Gain at what the largest dense model costs for one answer of full length."""
    dense, sparse = _search(lab, False, _TRIALS), _search(lab, True, _TRIALS)
    once = _search(lab, False, (1,))
    budget = float(once.cost[once.size == len(SIZES) - 1].max())
    return 100 * (sparse.best(budget) - dense.best(budget))


@paper.claim("39-3x")
def law_saves(lab: Lab) -> float:
    """eFLOPs of the configuration that is cheapest in FLOPs over those of the one that is cheapest in eFLOPs, both at
    0.72."""
    every = _search(lab, False, _TRIALS)
    reached = every.accuracy >= lab.data("accuracy", 0.72)
    if not reached.any():
        return float("nan")
    by_flops = every.cost[reached][np.argmin(every.flops[reached])]
    return float(by_flops / every.cost[reached].min())


@paper.claim("39-attn")
def attention_dominates(lab: Lab) -> float:
    """Least ratio of attention's eFLOPs to the parameters' over all sizes, at 8,192 tokens."""
    device = lab.hardware("b200").device
    # the law of plain FLOPs, which the paper replaces, gives the cache's traffic no price
    intensity = device.peak("fp8") / device.memory_bytes_per_s if lab.with_idea() else 0.0
    answer = lab.data("answer", 8192.0)
    ratios = []
    for name in SIZES:
        shape = Shape.of(lab.model(name))
        one, two = np.array(answer), np.array(answer**2)
        whole = float(eflops(shape, one, two, trials=1, intensity=intensity))
        ratios.append(whole / (2 * shape.parameters * answer) - 1)
    return min(ratios)


@paper.setup("B200, 16k tokens of reasoning")
def setup(lab: Lab) -> Scenario:
    """Qwen3-8B reasoning at length, as many trials as fit."""
    workload: dict[str, Any] = {"isl": 200, "osl": 16384, "scenario": "max-throughput"}
    return lab.scenario(model="Qwen3-8B", hardware="b200", workload=workload)


@paper.draws
def frontier(lab: Lab) -> Plot:
    """Accuracy over cost, dense and sparse."""
    dense, sparse = _search(lab, False, _TRIALS), _search(lab, True, _TRIALS)
    budgets = np.geomspace(sparse.cost.min(), dense.cost.max(), 40)
    x = tuple(float(b) / 1e12 for b in budgets)
    lines = tuple(
        Series(n, x, tuple(round(100 * c.best(float(b)), 2) for b in budgets))
        for n, c in (("dense", dense), ("sparse", sparse))
    )
    return Plot("AIME24 accuracy under a budget, Qwen3", "eTFLOP a question", "percent solved", lines, log_x=True)

"""Kinetics (seed 39): what reasoning at test time costs once the traffic of the KV cache is priced, and what sparse
attention does to it.

The cost law and the search for the best model, trials and length under a budget are in `law`, block top-k on vectors
in `recall`; here are its form on a scenario, as a rewrite of a step's operators, and the claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.vectors import Vectors
from rooflab.library.serving.kinetics.law import Answers, BlockRead, Choice, Shape, answers, coverage, eflops
from rooflab.library.serving.kinetics.recall import BlockTopK
from rooflab.operators.ops import AttentionOp, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import Technique, require
from rooflab.scenario.attention import Attention, LatentAttention
from rooflab.scenario.model import Mixer
from rooflab.scenario.scenario import Scenario

__all__ = ["SparseAttention", "SparseRead", "paper"]

Array = npt.NDArray[np.float64]

paper = Paper.beside(__file__)
paper.method(BlockTopK)

SIZES: Final = ("Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "Qwen3-32B")
PASS_1: Final = {
    "Qwen3-0.6B": 0.107, "Qwen3-1.7B": 0.483, "Qwen3-4B": 0.738, "Qwen3-8B": 0.760, "Qwen3-14B": 0.793,
    "Qwen3-32B": 0.814,
}  # fmt: skip
"""AIME 2024, thinking mode, as the Qwen3 technical report gives it (4B and 32B checked against a second source)."""


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


_CUTS: Final = np.geomspace(512.0, 32768.0, 49)
"""Lengths at which answers are cut; the last is where the authors' generations end."""
_TRIALS: Final = (1, 2, 4, 8, 16, 32)
_LARGEST_TRIALS: Final = 8
"""Trials of the largest model, of which the authors drew fewer."""


def _lengths(lab: Lab) -> tuple[Array, Answers]:
    """The share of answers that end before each cut, and the answers cut there."""
    kept = "the authors' generations are not public; they end at 32,768 tokens"
    mean = lab.assume("mean tokens of an answer", 14000.0, low=8000.0, high=20000.0, source=kept)
    spread = lab.assume("spread of answers' lengths", 0.6, low=0.3, high=1.0, source=kept)
    return answers(mean, spread, _prompt(lab), _CUTS)


def _prompt(lab: Lab) -> float:
    source = "problems of AIME are a few sentences long"
    return lab.assume("tokens of a problem", 200.0, low=100.0, high=400.0, source=source)


def _intensity(lab: Lab) -> float:
    """FLOPs of a byte on B200, as the released cost model has it."""
    device = lab.hardware("b200").device
    return device.peak("fp8") / device.memory_bytes_per_s


def _sparse(lab: Lab) -> BlockRead | None:
    if not lab.with_idea():
        return None
    source = "what it takes to answer as well as dense attention is published for no budget; the kernel's default"
    budget = lab.assume("budget that answers as well", 1024.0, low=512.0, high=4096.0, source=source)
    return BlockRead(budget, lab.data("tokens of a block", 16.0))


def _search(lab: Lab, sparse: bool, trials: Sequence[int] = _TRIALS) -> Choice:
    """All models, trials and cuts. Pass@1 holds for answers that end within 32,768 tokens, and so do cut ones in
    proportion."""
    return lab.cached(("kinetics", sparse, tuple(trials)), partial(_searched, lab, sparse, trials))


def _searched(lab: Lab, sparse: bool, trials: Sequence[int]) -> Choice:
    intensity, read = _intensity(lab), _sparse(lab) if sparse else None
    solved = lab.data("pass@1", PASS_1)
    source = "solve rates of single questions are not public; most of AIME is nearly always or nearly never solved"
    dispersion = lab.assume("a + b of solve rates", 0.8, low=0.4, high=1.6, source=source)
    done, given = _lengths(lab)
    rows: list[tuple[Array, Array, Array, Array]] = []
    for i, name in enumerate(SIZES):
        shape = Shape.of(lab.model(name))
        for n in trials:
            if name == SIZES[-1] and n > _LARGEST_TRIALS:
                continue
            reached = [coverage(min(solved[name] * share / done[-1], 1.0), n, dispersion) for share in done]
            price = partial(eflops, shape, given, trials=n, sparse=read)
            size = np.full(len(reached), float(i))
            rows.append((np.array(reached), price(intensity=intensity), price(intensity=0.0), size))
    return Choice.of(rows)


def _budgets(dense: Choice, sparse: Choice) -> Array:
    return np.geomspace(sparse.cost.min(), dense.cost.max(), 120)


@paper.claim("39-low")
def low_cost_gain(lab: Lab) -> float:
    """Largest gain over the dense frontier at the same eFLOPs."""
    dense, sparse = _search(lab, False), _search(lab, True)
    return 100 * max(sparse.best(c) - dense.best(c) for c in _budgets(dense, sparse))


@paper.claim("39-high")
def high_cost_gain(lab: Lab) -> float:
    """Gain at what the largest dense model costs for one answer of full length."""
    dense, sparse = _search(lab, False), _search(lab, True)
    once = _search(lab, False, (1,))
    budget = float(once.cost[once.size == len(SIZES) - 1].max())
    return 100 * (sparse.best(budget) - dense.best(budget))


@paper.claim("39-cheaper")
def cheaper_at_the_top(lab: Lab) -> float:
    """eFLOPs of the cheapest dense configuration over those of the cheapest sparse one, both at the figure's
    accuracy."""
    accuracy = lab.data("accuracy at the top of the figure", 0.82)
    return _search(lab, False).cheapest(accuracy) / _search(lab, True).cheapest(accuracy)


@paper.claim("39-3x")
def law_saves(lab: Lab) -> float:
    """eFLOPs of the configuration that is cheapest in FLOPs over those of the one that is cheapest in eFLOPs, both at
    0.72."""
    every = _search(lab, False)
    reached = every.accuracy >= lab.data("accuracy", 0.72)
    if not reached.any():
        return float("nan")
    by_flops = every.cost[reached][np.argmin(every.flops[reached])]
    return float(by_flops / every.cost[reached].min())


@paper.claim("39-attn")
def attention_dominates(lab: Lab) -> float:
    """Least ratio of attention's eFLOPs to the parameters' over all sizes, at 8,192 tokens."""
    # the law of plain FLOPs, which the paper replaces, gives the cache's traffic no price
    intensity = _intensity(lab) if lab.with_idea() else 0.0
    tokens = lab.data("answer", 8192.0)
    given = Answers(np.array([[tokens]]), _prompt(lab))
    ratios = []
    for name in SIZES:
        shape = Shape.of(lab.model(name))
        whole = float(eflops(shape, given, trials=1, intensity=intensity)[0])
        ratios.append(whole / (2 * shape.parameters * tokens) - 1)
    return min(ratios)


@paper.setup("B200, 16k tokens of reasoning")
def setup(lab: Lab) -> Scenario:
    """Qwen3-8B reasoning at length, as many trials as fit."""
    workload: dict[str, Any] = {"isl": 200, "osl": 16384, "scenario": "max-throughput"}
    return lab.scenario(model="Qwen3-8B", hardware="b200", workload=workload)


@paper.setup("questions by subject, cosines over a tenth")
def questions(lab: Lab) -> Vectors:
    """Unit vectors that stand in for a head's keys and queries: neighbours are alike, as neighbouring tokens are."""
    given = lab.sample(Vectors)
    assert given.queries is not None
    return replace(given, queries=given.queries * (10.0 * np.sqrt(given.dimensions)))


@paper.draws
def frontier(lab: Lab) -> Plot:
    """Accuracy over cost, dense and sparse."""
    dense, sparse = _search(lab, False), _search(lab, True)
    budgets = np.geomspace(sparse.cost.min(), dense.cost.max(), 40)
    x = tuple(float(b) / 1e12 for b in budgets)
    lines = tuple(
        Series(n, x, tuple(round(100 * c.best(float(b)), 2) for b in budgets))
        for n, c in (("dense", dense), ("sparse", sparse))
    )
    return Plot("AIME24 accuracy under a budget, Qwen3", "eTFLOP a question", "percent solved", lines, log_x=True)

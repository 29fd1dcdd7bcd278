"""Kinetics (seed 39): what reasoning at test time costs once the traffic of the KV cache is priced, and what sparse
attention does to it.

The cost law is in `law`, the search for the best model, trials and length under a budget in `scaling`, block top-k on
vectors in `recall`; here are its form on a scenario, as a rewrite of a step's operators, and the claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from rooflab.charts.plot import Plot
from rooflab.inputs.table import Table
from rooflab.inputs.vectors import Vectors
from rooflab.library.serving.kinetics.recall import BlockTopK
from rooflab.library.serving.kinetics.scaling import CLAIMED, ScalingLaw
from rooflab.operators.ops import AttentionOp, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import Technique, require
from rooflab.scenario.attention import Attention, LatentAttention
from rooflab.scenario.model import Mixer
from rooflab.scenario.scenario import Scenario

__all__ = ["SparseAttention", "SparseRead", "paper"]

paper = Paper.beside(__file__)
paper.method(ScalingLaw)
paper.method(BlockTopK)


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
        require(self.block <= self.budget, f"a budget of {self.budget:,} tokens holds no block of {self.block:,}")
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


_PASS_1: Final = {
    "Qwen3-0.6B": 0.107, "Qwen3-1.7B": 0.483, "Qwen3-4B": 0.738, "Qwen3-8B": 0.760, "Qwen3-14B": 0.793,
    "Qwen3-32B": 0.814,
}  # fmt: skip
"""AIME 2024, thinking mode, as the Qwen3 technical report gives it (4B and 32B checked against a second source)."""
_TRIALS: Final = 32
_LARGEST_TRIALS: Final = 8
"""Trials that the authors drew, and of the largest model."""


@paper.setup("Qwen3 on AIME 2024")
def solve_rates(lab: Lab) -> Table:
    """Solve rates of the six sizes and the trials that the authors drew of each."""
    return lab.cached("kinetics: solve rates", lambda: _solve_rates(lab))


def _solve_rates(lab: Lab) -> Table:
    solved = lab.data("pass@1", _PASS_1)
    trials = [_TRIALS] * (len(solved) - 1) + [_LARGEST_TRIALS]
    return Table({"model": tuple(solved), "pass_at_1": np.array(list(solved.values())), "trials": np.array(trials)})


def _law(lab: Lab) -> Outcome:
    """The law on the six sizes, with what nobody published assumed."""
    kept = "the authors' generations are not public; they end at 32,768 tokens"
    mean = lab.assume("mean tokens of an answer", 14000.0, low=8000.0, high=20000.0, source=kept)
    spread = lab.assume("spread of answers' lengths", 0.6, low=0.3, high=1.0, source=kept)
    source = "problems of AIME are a few sentences long"
    prompt = lab.assume("tokens of a problem", 200.0, low=100.0, high=400.0, source=source)
    source = "solve rates of single questions are not public; most of AIME is nearly always or nearly never solved"
    dispersion = lab.assume("a + b of solve rates", 0.8, low=0.4, high=1.6, source=source)
    source = "what it takes to answer as well as dense attention is published for no budget; the kernel's default"
    budget = lab.assume("budget that answers as well", 1024.0, low=512.0, high=4096.0, source=source)
    law = ScalingLaw(
        mean_tokens=mean, spread=spread, prompt_tokens=prompt, dispersion=dispersion, budget=budget,
        block=lab.data("tokens of a block", 16.0), accuracy=lab.data("accuracy", 0.72),
        top=lab.data("accuracy at the top of the figure", 0.82), answer_tokens=lab.data("answer", 8192.0),
    )  # fmt: skip
    return lab.run(law, solve_rates(lab))


def _figure(lab: Lab, name: str) -> float:
    return _law(lab)[name]


for _id, _name in CLAIMED.items():
    paper.claim(_id)(partial(_figure, name=_name))


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
    plot = ScalingLaw().run(lab, solve_rates(lab)).plot
    assert plot is not None
    return plot

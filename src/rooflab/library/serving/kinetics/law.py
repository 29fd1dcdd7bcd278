"""What a question costs at test time, and which model, trials and length answer best within a budget (section 3).

Per question, N trials of a model with P parameters, H_q query and H_kv KV heads and D = head_dim · layers, prompt L_c,
answer L_g, on hardware of E = peak FLOP/s over bytes/s. With R = L_c L_g + L_g²/2 cached tokens that the tokens of an
answer see (the released cost model):

    compute = N (2 P L_g + 4 R H_q D)
    memory  = 4 (L_c L_g + N L_g²/2) H_kv D      prompt cache shared by the trials; weights amortised over large batches
    eFLOPs  = compute + E · memory

Block top-k reads at most B tokens, S = Σ min(B, L_c + t), after it has scored one mean key a block of b tokens:

    compute = N (2 P L_g + 4 S H_q D + 2 R/b H_q D),    memory = 4 N S H_kv D + 2 (L_c L_g + N L_g²/2)/b H_kv D
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.errors import Infeasible
from rooflab.scenario.attention import Attention
from rooflab.scenario.model import Model

__all__ = ["Answers", "BlockRead", "Choice", "Shape", "answers", "coverage", "eflops"]

Array = npt.NDArray[np.float64]

_QUANTILES: Final = 4000
"""Answers that stand for a distribution of lengths."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the cost model needs of a model."""

    parameters: float
    q_heads: float
    kv_heads: float
    depth: float

    @staticmethod
    def of(model: Model) -> Shape:
        """The shape of a decoder with one kind of attention; P counts tied embeddings once, and of experts those that a
        token goes through. Raises Infeasible for other models."""
        mixers = {m for run in model.runs for m in run.block.mixers}
        mixer = next(iter(mixers)) if len(mixers) == 1 else None
        if not isinstance(mixer, Attention) or mixer.window is not None:
            raise Infeasible(f"{model.name}: the law is of models whose layers all read the whole of one kind of cache")
        used = model.active_parameters if model.is_moe else model.parameters
        return Shape(float(used), float(mixer.heads), float(mixer.kv_heads), float(mixer.head_dim * model.layers))


@dataclass(frozen=True, slots=True)
class BlockRead:
    """Block top-k: at most `budget` tokens in blocks of `block`."""

    budget: float
    block: float


@dataclass(frozen=True, eq=False)
class Answers:
    """Means over answers, for each of several cuts: tokens, and pairs of a token with those of its answer before it.

    `lengths` (answers × cuts) are the lengths themselves; `prompt` is before each of them.
    """

    lengths: Array
    prompt: float
    _reads: dict[float, Array] = field(default_factory=dict, repr=False)

    @cached_property
    def tokens(self) -> Array:
        """L_g."""
        out: Array = self.lengths.mean(axis=0)
        return out

    @cached_property
    def shared(self) -> Array:
        """L_c L_g: pairs with the prompt."""
        return self.prompt * self.tokens

    @cached_property
    def own(self) -> Array:
        """L_g²/2: pairs with the answer."""
        out: Array = (self.lengths**2).mean(axis=0) / 2
        return out

    def read(self, budget: float) -> Array:
        """Σ min(budget, L_c + t) over the tokens t of an answer."""
        if budget not in self._reads:
            within = np.minimum(self.lengths, max(budget - self.prompt, 0.0))
            seen = min(self.prompt, budget) * within + within**2 / 2 + budget * (self.lengths - within)
            self._reads[budget] = seen.mean(axis=0)
        return self._reads[budget]


def eflops(shape: Shape, a: Answers, *, trials: float, intensity: float, sparse: BlockRead | None = None) -> Array:
    """eFLOPs of a question, one for each cut; `intensity` 0 gives plain FLOPs."""
    every, held = trials * (a.shared + a.own), a.shared + trials * a.own
    if sparse is None:
        computed, moved = every, held
    else:
        read = trials * a.read(sparse.budget)
        # of a block only a key is scored: half of a pair's work and bytes
        computed, moved = read + every / (2 * sparse.block), read + held / (2 * sparse.block)
    compute = trials * 2.0 * shape.parameters * a.tokens + 4.0 * computed * shape.q_heads * shape.depth
    out: Array = compute + intensity * 4.0 * moved * shape.kv_heads * shape.depth
    return out


def answers(mean: float, spread: float, prompt: float, cuts: Array) -> tuple[Array, Answers]:
    """The share of answers that end before each of `cuts`, and the answers cut there.

    Lengths are lognormal with this `mean` and coefficient of variation (`spread`).
    """
    sigma = float(np.sqrt(np.log1p(spread**2)))
    lengths = np.exp(np.log(mean) - sigma**2 / 2 + sigma * _normal())[:, None]
    return (lengths <= cuts).mean(axis=0), Answers(np.minimum(lengths, cuts), prompt)


@cache
def _normal() -> Array:
    """Quantiles of the standard normal distribution in the middle of equal parts."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / _QUANTILES) for i in range(_QUANTILES)])


def coverage(solve: Array, trials: int, dispersion: float) -> Array:
    """Chance that one of `trials` answers is right, for each solve rate: Beta-distributed over questions with a + b =
    `dispersion`, E[1 − (1 − p)^N]."""
    b = (1 - solve) * dispersion
    miss = np.ones_like(solve)
    for k in range(trials):
        miss = miss * (b + k) / (dispersion + k)
    return 1 - miss


@dataclass(frozen=True, slots=True)
class Choice:
    """Every configuration of a search: accuracy, eFLOPs and plain FLOPs a question, the model's index, trials, and
    the tokens at which answers are cut."""

    accuracy: Array
    cost: Array
    flops: Array
    size: Array
    trials: Array
    cut: Array

    @staticmethod
    def of(rows: Sequence[tuple[Array, ...]]) -> Choice:
        """All configurations of several models and trials."""
        return Choice(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    def best(self, budget: float) -> float:
        """Accuracy of the best configuration within `budget` eFLOPs."""
        return float(self.accuracy[self.cost <= budget].max(initial=0.0))

    def best_at(self, budget: float) -> int | None:
        """The cheapest of the best configurations within `budget` eFLOPs; None if none fits."""
        within = np.flatnonzero(self.cost <= budget)
        if not len(within):
            return None
        top = within[self.accuracy[within] >= self.accuracy[within].max()]
        return int(top[np.argmin(self.cost[top])])

    def cheapest(self, accuracy: float, by: Literal["eflops", "flops"] = "eflops") -> int | None:
        """The configuration that is cheapest by a law of those that are so accurate; None if none is."""
        reached = np.flatnonzero(self.accuracy >= accuracy)
        price = self.cost if by == "eflops" else self.flops
        return int(reached[np.argmin(price[reached])]) if len(reached) else None

"""Block top-k on keys and queries of a reader's: how much of attention's mass the chosen blocks hold (section 5).

The first `sink` tokens and the newest are always read. What lies between is cut into blocks, each stands for itself by
the mean of its keys, and the blocks with the largest products with the query are read (the mean product over the
queries of a group, which share a choice). Mass is the sum of softmax(q·k / √D) over the tokens that are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.errors import Infeasible
from rooflab.inputs.row_files import csv_bytes
from rooflab.inputs.vectors import Vectors
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Count, PositiveInt
from rooflab.papers.technique import require

__all__ = ["BlockTopK"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Recalled = Mapping[str, F64]
"""Mean mass by way to choose, one value a draw."""

_BUDGETS: Final = tuple(1 << i for i in range(6, 16))
_USUAL: Final = 1024
"""Budget of the released kernel: 64 blocks of 16."""
_DRAWS: Final = 3
"""Times that random blocks are drawn."""
_OWN, _RANDOM, _EXACT, _NEWEST = "block top-k", "random blocks", "exact top-k", "newest tokens"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one choice is made of: the mass of each token, the products of its key and of each block's mean key with
    the query, all means over the group."""

    mass: F64
    scores: F64
    blocks: F64


class BlockTopK(Method[Vectors]):
    """Read the blocks of a cache that a query's products with their mean keys choose; `base` holds the keys in the
    order of their tokens, `queries` the queries.

    `budget` tokens are read (0: 1,024, or the largest power of two below half of the keys), `sink` first and `local`
    newest ones among them. `group` queries in a row share a choice, as query heads of one key head do. `causal`: query
    i comes after key i. `chosen` at random is the method without its idea.
    """

    key = "block_top_k"
    budget: Count = 0
    block: PositiveInt = 16
    sink: Count = 4
    local: Count = 16
    group: PositiveInt = 1
    causal: bool = False
    chosen: Literal["mean key", "random"] = "mean key"

    def ablated(self, seed: int) -> BlockTopK:
        """Blocks drawn at random."""
        return replace(self, chosen="random")

    def run(self, lab: Lab, given: Vectors) -> Outcome:
        """Recall at every budget, and what it took at one of them."""
        queries = self._checked(given)
        keys = given.base.astype(np.float64)
        fitting = [b for b in _BUDGETS if self._fits(b, len(keys))]
        budget = self.budget or max((b for b in fitting if b <= _USUAL), default=0)
        require(
            budget > 0 and self._fits(budget, len(keys)),
            f"{len(keys):,} keys: a budget of {budget or _BUDGETS[0]:,} tokens has to leave more than half of them, "
            f"and to hold {self.sink} first and {self.local} newest ones and two blocks of {self.block}",
        )
        budgets = sorted({budget, *(b for b in fitting if b < budget or not self.causal)})
        found, done = self._recalled(lab, self._asked(keys, queries, budgets[-1]), budgets, budget)
        own = found[budget]
        return Outcome(
            (*_shares(own), *_work(done)), self._because(own, done, budget), files={"recall.csv": _csv(found)},
            plot=_plot(found),
            notes=(f"without: blocks of {self.block} at random, and for the work every token with its value",),
        )  # fmt: skip

    def _checked(self, given: Vectors) -> F64:
        """The queries, scaled as softmax sees them."""
        if given.queries is None:
            raise Infeasible("there are keys and no queries to choose with: arrays are called base (keys) and queries")
        count = len(given.queries)
        require(count % self.group == 0, f"{count:,} queries are not whole groups of {self.group}")
        same = not self.causal or count == len(given) * self.group
        require(same, f"causal: {count:,} queries do not follow {len(given):,} keys, {self.group} to each")
        scaled: F64 = given.queries.astype(np.float64) / np.sqrt(given.dimensions)
        return scaled

    def _fits(self, budget: int, keys: int) -> bool:
        return 2 * budget < keys and budget >= self.sink + self.local + 2 * self.block

    def _asked(self, keys: F64, queries: F64, budget: int) -> Iterator[_Asked]:
        """Choices of which `budget` leaves more than half."""
        whole = (len(keys) - self.sink) // self.block
        means = keys[self.sink : self.sink + whole * self.block].reshape(whole, self.block, -1).mean(axis=1)
        for start in range(0, len(queries), self.group):
            group = queries[start : start + self.group]
            seen = start // self.group + 1 if self.causal else len(keys)
            if not self._fits(budget, seen):
                continue
            logits = group @ keys[:seen].T
            mass = np.exp(logits - logits.max(axis=1, keepdims=True))
            mass /= mass.sum(axis=1, keepdims=True)
            blocks = (seen - self.sink - self.local) // self.block
            yield _Asked(mass.mean(axis=0), logits.mean(axis=0), (group @ means[:blocks].T).mean(axis=0))

    def _recalled(
        self, lab: Lab, asked: Iterator[_Asked], budgets: list[int], budget: int
    ) -> tuple[dict[int, Recalled], Counter[str]]:
        """Mean mass by budget and way, and what choosing touched at `budget`."""
        rng, done = lab.rng("random blocks"), Counter[str]()
        sums = {b: {w: np.zeros(_DRAWS if w == _RANDOM else 1) for w in _WAYS} for b in budgets}
        for a in asked:
            done["choices"] += 1
            for b in budgets:
                for way, value in self._ways(a, b, rng):
                    sums[b][way] += value
            done["seen"] += len(a.mass)
            done["scored"] += len(a.blocks) if self.chosen == "mean key" else 0
            done["read"] += len(a.mass) - (len(a.blocks) - self._count(a, budget)) * self.block
        require(done["choices"] > 0, f"no query has more than {2 * budgets[-1]:,} keys before it")
        return {b: {w: x / done["choices"] for w, x in by.items()} for b, by in sums.items()}, done

    def _count(self, a: _Asked, budget: int) -> int:
        """Blocks that are read: what first and newest tokens leave of the budget."""
        return (budget - (len(a.mass) - len(a.blocks) * self.block)) // self.block

    def _ways(self, a: _Asked, budget: int, rng: np.random.Generator) -> Iterator[tuple[str, F64]]:
        """Mass that each way of choosing recalls with as many tokens, one value a draw."""
        k, end = self._count(a, budget), self.sink + len(a.blocks) * self.block
        held = len(a.mass) - (len(a.blocks) - k) * self.block
        middle = a.mass[self.sink : end].reshape(-1, self.block).sum(axis=1)
        ends = a.mass[: self.sink].sum() + a.mass[end:].sum()
        drawn = np.array([middle[rng.permutation(len(middle))[:k]].sum() for _ in range(_DRAWS)]) + ends
        chosen = middle[np.argsort(-a.blocks, kind="stable")[:k]].sum() + ends
        yield _OWN, drawn[:1] if self.chosen == "random" else np.array([chosen])
        yield _RANDOM, drawn
        yield _EXACT, np.array([a.mass[np.argsort(-a.scores, kind="stable")[:held]].sum()])
        newest = a.mass[len(a.mass) - held + self.sink :].sum()
        yield _NEWEST, np.array([a.mass[: self.sink].sum() + newest])

    def _because(self, found: Recalled, done: Counter[str], budget: int) -> str:
        exact, own, random = (float(found[n].mean()) for n in (_EXACT, _OWN, _RANDOM))
        if np.isclose(exact, random, rtol=1e-6):
            return (
                f"attention is as wide as it can be: any {budget:,} of {done['seen'] / done['choices']:,.0f} tokens "
                f"hold {exact:.0%} of its mass, and there is nothing to choose"
            )
        return (
            f"{budget:,} of {done['seen'] / done['choices']:,.0f} tokens hold {exact:.0%} of attention's mass at best; "
            f"blocks of {self.block} chosen by {self.chosen} find {own:.0%}, at random {random:.0%}"
        )


_WAYS: Final = (_OWN, _EXACT, _NEWEST, _RANDOM)


def _shares(found: Recalled) -> tuple[Figure, ...]:
    def figure(name: str, way: str, baseline: float | None = None) -> Figure:
        values = 100 * found[way]
        return Figure(
            name=name, value=float(values.mean()), unit="percent", how="executed", baseline=baseline,
            better="" if baseline is None else "higher", runs=len(values), over="draws",
            spread=(float(values.min()), float(values.max())) if len(values) > 1 else None,
        )  # fmt: skip

    own = figure("attention mass recalled", _OWN, 100 * float(found[_RANDOM].mean()))
    return (own, *(figure(f"by {way}", way) for way in _WAYS[1:]))


def _work(done: Counter[str]) -> tuple[Figure, ...]:
    """Cached vectors that a choice touches: a mean key for each block, a key and a value for each token that is
    read."""
    n = done["choices"]
    whole = Figure(
        name="cached vectors read for a token", value=(done["scored"] + 2 * done["read"]) / n, unit="vectors",
        how="executed", baseline=2 * done["seen"] / n, better="lower",
    )  # fmt: skip
    return whole, Figure(name="of which to search", value=done["scored"] / n, unit="vectors", how="executed")


def _csv(found: Mapping[int, Recalled]) -> bytes:
    columns: dict[str, list[float]] = {"budget_tokens": list(found)}
    for way in _WAYS:
        columns[f"mass_{way.replace(' ', '_').replace('-', '_')}"] = [float(f[way].mean()) for f in found.values()]
    return csv_bytes(columns)


def _plot(found: Mapping[int, Recalled]) -> Plot | None:
    if len(found) < 2:
        return None
    x = tuple(map(float, found))
    lines = tuple(Series(w, x, tuple(round(100 * float(f[w].mean()), 2) for f in found.values())) for w in _WAYS)
    return Plot("Attention mass in the tokens that are read", "tokens", "percent", lines, log_x=True)

"""Which model, how many trials and how long answers solve most within a budget, on a reader's own models and rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.errors import InputError
from rooflab.inputs.row_files import csv_bytes
from rooflab.inputs.table import Table
from rooflab.library.serving.kinetics.law import Answers, BlockRead, Choice, Shape, answers, coverage, eflops
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Fraction, PositiveFloat, Range
from rooflab.papers.technique import require

__all__ = ["CLAIMED", "ScalingLaw"]

F64 = npt.NDArray[np.float64]

CLAIMED: Final = {
    "39-low": "most that sparse attention gains at equal cost",
    "39-high": "gain at the cost of a whole answer of the largest model",
    "39-cheaper": "sparse attention cheaper at the top",
    "39-3x": "FLOPs law dearer than the eFLOPs law",
    "39-attn": "attention over parameters, least of all models",
}
"""Figures by the claim that they are."""
_SHORTEST: Final = 512.0
_CUTS: Final = 49
"""Lengths at which answers are cut, evenly spaced by ratio from the shortest to `most_tokens`."""
_BUDGETS: Final = 120
_MOST_TRIALS: Final = 100_000
Trials = Annotated[int, Range(1, _MOST_TRIALS)]


@dataclass(frozen=True, slots=True)
class _Row:
    """A model of the table: its shape, solve rate, trials that may be drawn, and its answers at each cut."""

    name: str
    shape: Shape
    solved: float
    trials: int
    done: F64
    given: Answers


class ScalingLaw(Method[Table]):
    """Find the best model, trials and length of answers within a budget of eFLOPs, dense and with block top-k, for the
    models of a table: columns model and pass_at_1 (share solved with one answer of up to `most_tokens`), and where they
    differ by model trials, mean_tokens and spread (mean and coefficient of variation of answers' lengths).

    `dispersion`: a + b of the Beta distribution of solve rates over questions. `accuracy` and `top`: where the two
    laws, and dense and sparse attention, are compared. `answer_tokens`: where attention is held against parameters.
    """

    key = "scaling_law"
    hardware: str = "b200"
    arithmetic: Literal["fp32", "fp16", "bf16", "fp8", "int8", "fp4"] = "fp8"
    budget: PositiveFloat = 1024.0
    block: PositiveFloat = 16.0
    trials: Trials = 32
    mean_tokens: PositiveFloat = 14000.0
    spread: PositiveFloat = 0.6
    prompt_tokens: PositiveFloat = 200.0
    most_tokens: PositiveFloat = 32768.0
    dispersion: PositiveFloat = 0.8
    accuracy: Fraction = 0.72
    top: Fraction = 0.82
    answer_tokens: PositiveFloat = 8192.0
    sparse: bool = True
    priced: bool = True

    def ablated(self, seed: int) -> ScalingLaw:
        """Dense attention in place of sparse, and plain FLOPs, which give the cache's traffic no price."""
        return replace(self, sparse=False, priced=False)

    def run(self, lab: Lab, given: Table) -> Outcome:
        """Both frontiers, and what they tell."""
        require(self.block <= self.budget, f"a budget of {self.budget:g} tokens holds no block of {self.block:g}")
        device = lab.hardware(self.hardware).device
        intensity = device.peak(self.arithmetic) / device.memory_bytes_per_s
        rows = list(self._rows(lab, given))
        dense = self._search(rows, intensity, None)
        read = BlockRead(self.budget, self.block)
        sparse = self._search(rows, intensity, read) if self.sparse else dense
        budgets = np.geomspace(sparse.cost.min(), dense.cost.max(), _BUDGETS)
        values = (
            100 * max(sparse.best(c) - dense.best(c) for c in budgets), self._at_a_whole_answer(rows, dense, sparse),
            _ratio(dense, dense.cheapest(self.top), sparse, sparse.cheapest(self.top)),
            _ratio(dense, dense.cheapest(self.accuracy, "flops"), dense, dense.cheapest(self.accuracy)),
            self._attention(rows, intensity if self.priced else 0.0),
        )  # fmt: skip
        units = ("points", "points", "x", "x", "x")
        figures = tuple(
            Figure(name=name, value=value, unit=unit, how="modelled")
            for name, value, unit in zip(CLAIMED.values(), values, units, strict=True)
        )
        return Outcome(
            figures, self._because(rows, dense, sparse), files={"frontier.csv": _csv(rows, budgets, dense, sparse)},
            plot=_plot(budgets, dense, sparse),
        )  # fmt: skip

    def _rows(self, lab: Lab, table: Table) -> Iterator[_Row]:
        """Rows of the table. Raises InputError that names row and column."""
        rates = table.numbers("pass_at_1")
        columns = {
            name: table.numbers(name) if name in table.columns else np.full(len(table), float(usual))
            for name, usual in (("trials", self.trials), ("mean_tokens", self.mean_tokens), ("spread", self.spread))
        }
        cuts = self._cuts()
        for i, name in enumerate(table.texts("model")):
            if not 0 <= rates[i] <= 1:
                raise InputError(f"{rates[i]:g} is not a share", f"row {i + 1}, column pass_at_1")
            for column, values in columns.items():
                if not values[i] > 0:
                    raise InputError(f"{values[i]:g} is not above 0", f"row {i + 1}, column {column}")
            if columns["trials"][i] > _MOST_TRIALS:
                raise InputError(f"at most {_MOST_TRIALS:,} are tried", f"row {i + 1}, column trials")
            done, given = answers(
                float(columns["mean_tokens"][i]), float(columns["spread"][i]), self.prompt_tokens, cuts
            )
            require(
                float(done[-1]) > 0,
                f"no answer of {columns['mean_tokens'][i]:g} tokens in the mean ends within {self.most_tokens:g} "
                f"(row {i + 1})",
            )
            yield _Row(name, Shape.of(lab.model(name)), float(rates[i]), int(columns["trials"][i]), done, given)

    def _cuts(self) -> F64:
        return np.geomspace(min(_SHORTEST, self.most_tokens / 2), self.most_tokens, _CUTS)

    def _search(self, rows: list[_Row], intensity: float, read: BlockRead | None) -> Choice:
        """All models, trials and cuts. Solve rates hold for answers that end within the last cut, and cut ones solve in
        proportion to those that end."""
        found = []
        for i, row in enumerate(rows):
            n = 1
            while n <= row.trials:
                share = row.done / row.done[-1]
                solved = coverage(np.minimum(row.solved * share, 1.0), n, self.dispersion)
                price = partial(eflops, row.shape, row.given, trials=n, sparse=read)
                alike = [np.full(len(share), float(x)) for x in (i, n)]
                found.append((solved, price(intensity=intensity), price(intensity=0.0), *alike, self._cuts()))
                n *= 2
        return Choice.of(found)

    def _at_a_whole_answer(self, rows: list[_Row], dense: Choice, sparse: Choice) -> float:
        """Points that sparse attention gains at what the model with most parameters costs for one uncut answer."""
        largest = max(range(len(rows)), key=lambda i: rows[i].shape.parameters)
        budget = float(dense.cost[(dense.size == largest) & (dense.trials == 1)].max())
        return 100 * (sparse.best(budget) - dense.best(budget))

    def _attention(self, rows: list[_Row], intensity: float) -> float:
        """Least ratio of attention's eFLOPs to the parameters' over all models."""
        tokens = self.answer_tokens
        one = Answers(np.array([[tokens]]), self.prompt_tokens)
        whole = [float(eflops(r.shape, one, trials=1, intensity=intensity)[0]) for r in rows]
        return min(w / (2 * r.shape.parameters * tokens) - 1 for w, r in zip(whole, rows, strict=True))

    def _because(self, rows: list[_Row], dense: Choice, sparse: Choice) -> str:
        said = [
            f"{law}: {_told(rows, choice, choice.cheapest(self.accuracy, by))}"
            for law, choice, by in (
                ("FLOPs", dense, "flops"), ("eFLOPs", dense, "eflops"),
                *((("eFLOPs and sparse attention", sparse, "eflops"),) if self.sparse else ()),
            )
        ]  # fmt: skip
        return f"for {self.accuracy:.0%} solved, by the law of {'; of '.join(said)}"


def _ratio(a: Choice, i: int | None, b: Choice, j: int | None) -> float:
    """eFLOPs of one configuration over those of another; NaN where no configuration is so accurate."""
    return math.nan if i is None or j is None else float(a.cost[i] / b.cost[j])


def _told(rows: list[_Row], choice: Choice, i: int | None) -> str:
    if i is None:
        return "no configuration is so accurate"
    return (
        f"{rows[int(choice.size[i])].name}, {choice.trials[i]:.0f} trials of up to {choice.cut[i]:,.0f} tokens, "
        f"{choice.cost[i] / 1e12:,.0f} eTFLOP"
    )


def _csv(rows: list[_Row], budgets: F64, dense: Choice, sparse: Choice) -> bytes:
    columns: dict[str, list[Any]] = {"budget_etflop": [float(b) / 1e12 for b in budgets]}
    for name, choice in (("dense", dense), ("sparse", sparse)):
        at = [choice.best_at(float(b)) for b in budgets]
        columns |= {
            f"{name}_solved": [None if i is None else float(choice.accuracy[i]) for i in at],
            f"{name}_model": ["" if i is None else rows[int(choice.size[i])].name for i in at],
            f"{name}_trials": [None if i is None else int(choice.trials[i]) for i in at],
            f"{name}_tokens": [None if i is None else float(choice.cut[i]) for i in at],
        }
    return csv_bytes(columns)


def _plot(budgets: F64, dense: Choice, sparse: Choice) -> Plot:
    some = budgets[::3]
    x = tuple(float(b) / 1e12 for b in some)
    lines = tuple(
        Series(n, x, tuple(round(100 * c.best(float(b)), 2) for b in some))
        for n, c in (("dense", dense), ("sparse", sparse))
    )
    return Plot("Solved within a budget", "eTFLOP a question", "percent solved", lines, log_x=True)

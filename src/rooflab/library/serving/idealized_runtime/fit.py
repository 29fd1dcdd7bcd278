"""The metric and its fit, on timings from wherever they come.

    runtime(p, o) = f(p) + (o − 1) · g                                      (section 3)

`denoised` keeps the least disturbed request of each place: of repeated trials the fastest, as the paper takes it. A log
that repeats no pair is cut into cells of prompt and answer length, and a cell keeps the request that lies lowest
against the fit of those kept before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Runtime", "Timings", "denoised", "fit", "held_out_error"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_KNOTS: Final = 8
"""Points of f, and rows and columns of cells, where a log has no grid of its own: at most so many."""
_IN_A_CELL: Final = 5
"""Requests that a cell holds on average at the least, so that one of them may have run undisturbed."""
_ROUNDS: Final = 20
"""Fits after which the choice of requests is taken as it is; it settles in two or three."""
_FOLDS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """Requests: prompt and output tokens, and seconds, N each."""

    prompt: F64
    output: F64
    seconds: F64

    def __len__(self) -> int:
        return len(self.prompt)

    def take(self, rows: I64 | npt.NDArray[np.bool_]) -> Timings:
        """These requests."""
        return Timings(self.prompt[rows], self.output[rows], self.seconds[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """A fitted model: f as seconds `f_s` at `prompts` tokens, `g_s` a further output token.

    `r2`: share of the variance of runtime − f that output tokens explain. `measured`: whether f was measured at one
    output token; else it was fitted together with g.
    """

    prompts: F64
    f_s: F64
    g_s: float
    r2: float
    measured: bool

    def prompt_seconds(self, prompt: F64 | float) -> F64:
        """f, piecewise linear; beyond the longest prompt its last piece goes on."""
        at = np.asarray(prompt, dtype=np.float64)
        seconds: F64 = np.asarray(np.interp(at, self.prompts, self.f_s), dtype=np.float64)
        if len(self.prompts) > 1:
            slope = (self.f_s[-1] - self.f_s[-2]) / (self.prompts[-1] - self.prompts[-2])
            seconds = seconds + np.maximum(at - self.prompts[-1], 0.0) * slope
        return seconds

    @property
    def impossible(self) -> str:
        """What of the fit lies below zero, which no runtime does; empty if nothing."""
        said = [f"a further token takes {self.g_s:.3g} s"] if self.g_s < 0 else []
        low = int(np.argmin(self.f_s))
        if self.f_s[low] < 0:
            said.append(f"a prompt of {self.prompts[low]:,.0f} tokens takes {self.f_s[low]:.3g} s")
        return " and ".join(said)

    def seconds(self, prompt: F64 | float, output: F64 | float) -> F64:
        """Idealized runtime of requests."""
        return self.prompt_seconds(prompt) + (np.asarray(output, dtype=np.float64) - 1.0) * self.g_s


def fit(t: Timings) -> Runtime:
    """Fit f and g.

    Where every prompt was also run for a single output token, f is the mean of those runtimes (of one, once denoised)
    and g the slope of a regression of what remains on o − 1, the paper's way; else both come from one regression on the
    pieces of f and o − 1.
    """
    alone = t.output == 1
    prompts = np.unique(t.prompt)
    measured = len(prompts) == len(np.unique(t.prompt[alone]))
    if measured:
        f_s = np.array([float(t.seconds[alone & (t.prompt == p)].mean()) for p in prompts])
        rest = t.seconds - np.interp(t.prompt, prompts, f_s)
        g_s, level = _line(t.output - 1.0, rest)
        return Runtime(prompts, f_s, g_s, _explained(rest, g_s * (t.output - 1.0) + level), True)
    knots = _side(t)
    if len(prompts) > knots:
        prompts = np.unique(np.quantile(t.prompt, np.linspace(0.0, 1.0, knots), method="nearest")).astype(np.float64)
    columns = [np.interp(t.prompt, prompts, row) for row in np.eye(len(prompts))]
    design = np.stack([*columns, t.output - 1.0], axis=1)
    solved = np.asarray(np.linalg.lstsq(design, t.seconds, rcond=None)[0], dtype=np.float64)
    rest = t.seconds - np.interp(t.prompt, prompts, solved[:-1])
    return Runtime(prompts, solved[:-1], float(solved[-1]), _explained(rest, solved[-1] * (t.output - 1.0)), False)


def denoised(t: Timings) -> Timings:
    """The least disturbed request of each pair of lengths, or of each cell where few pairs repeat."""
    cells = _cells(t)
    kept = t
    chosen: I64 | None = None
    for _ in range(_ROUNDS):
        over = t.seconds - fit(kept).seconds(t.prompt, t.output)
        order = np.lexsort((over, cells))
        lowest = order[np.append(True, np.diff(cells[order]) != 0)]
        if chosen is not None and np.array_equal(lowest, chosen):
            break
        chosen, kept = lowest, t.take(lowest)
    return kept


def held_out_error(t: Timings, rng: np.random.Generator) -> float:
    """Median share by which runtimes are missed by fits to the others, in five parts; what f was measured by stays
    in."""
    known = np.zeros(len(t), dtype=bool) if not fit(t).measured else t.output == 1
    rows = rng.permutation(np.flatnonzero(~known))
    missed: list[float] = []
    for part in np.array_split(rows, min(_FOLDS, max(len(rows), 1))):
        rest = np.ones(len(t), dtype=bool)
        rest[part] = False
        away, others = t.take(part), t.take(rest)
        missed += (np.abs(fit(others).seconds(away.prompt, away.output) / away.seconds - 1.0)).tolist()
    return float(np.median(missed))


def _cells(t: Timings) -> I64:
    """Where each request belongs: its pair of lengths where pairs repeat, else its cell."""
    _, pair, count = np.unique(np.stack([t.prompt, t.output]), axis=1, return_inverse=True, return_counts=True)
    if count.mean() >= 2:
        return np.asarray(pair, dtype=np.int64).reshape(-1)
    side = _side(t)
    rows, columns = (np.searchsorted(_edges(x, side), x, side="right") for x in (t.prompt, t.output))
    return np.asarray(rows * side + columns, dtype=np.int64)


def _side(t: Timings) -> int:
    """Cells along each length."""
    return int(np.clip((len(t) / _IN_A_CELL) ** 0.5, 2, _KNOTS))


def _edges(x: F64, parts: int) -> F64:
    """Lengths at which `parts` end, equally many requests apart."""
    return np.unique(np.quantile(x, np.linspace(0.0, 1.0, parts + 1)[1:-1]))


def _line(x: F64, y: F64) -> tuple[float, float]:
    """Slope and level of the regression of y on x; a level where x does not vary."""
    if np.ptp(x) == 0.0:
        return 0.0, float(y.mean())
    slope, level = np.polyfit(x, y, 1)
    return float(slope), float(level)


def _explained(y: F64, predicted: F64) -> float:
    """R²; 0 where there is nothing to explain."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - predicted) ** 2).sum()) / spread if spread > 0.0 else 0.0

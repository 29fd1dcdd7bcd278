"""Fitting what kernel tables cannot tell: engine constants by generation, factors of devices without tables.

A row's time (a latency, or the inverse of a throughput) is nearly linear in the engine constants, so each row is
evaluated once at the present constants and once per constant nudged; the fit then works on the line

    y(θ) = y(θ0) + J·(θ − θ0),      minimise Σ w·ρ(log(y/measured)/0.15) + Σ ((θ − prior)/width)²

with ρ soft-L1, w = 1/√(rows of the same source, model, accelerator and metric) and a prior that keeps apart what
rows cannot tell apart.  Lines are drawn again at the optimum until the constants stand still.  Held-out errors are
leave-one-group-out (group: source, model, accelerator), each with constants fitted on the other groups alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import DeviceFactors, EngineOverhead, ServingCalibration, active, using
from rooflab.evidence.fit.linear import Line
from rooflab.evidence.fit.priors import Prior
from rooflab.evidence.rows.predict import predict, times
from rooflab.evidence.rows.serving import Question

__all__ = ["Fit", "FitRow", "fit_group", "starting", "with_device", "with_engine"]

Array = npt.NDArray[np.float64]
Group = tuple[str, str, str]


_SCALE: Final = 0.15
_BESIDE: Final = {"read_s_per_byte": 8e-13}


@dataclass(frozen=True, slots=True)
class FitRow:
    """A question with what groups it: the published row's source, model and accelerator.

    A row of `weight` 0 is only foretold, by constants that know no row of its group.
    """

    question: Question
    source: str
    model: str
    gpu: str
    weight: float = 1.0

    @property
    def fitted(self) -> bool:
        """Whether the row moves constants."""
        return self.weight > 0

    @property
    def group(self) -> tuple[str, str, str]:
        """Rows that are never both fitted and scored."""
        return (self.source, self.model, self.gpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Constants, rows, median and p90 error in sample and held out, held-out predictions (times) of all rows given,
    constants by group left out."""

    values: dict[str, float]
    rows: int
    median: float
    p90: float
    held_out_median: float
    held_out_p90: float
    held_out: Array
    without: Mapping[Group, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Task:
    """What fitted rows took (s or 1/rate) and weigh, what is expected of the constants, whether outliers are
    expected."""

    measured: Array
    weights: Array
    priors: Mapping[str, Prior]
    outliers: bool

    def solve(self, line: Line) -> Array:
        """The best constants of a line through the rows."""
        from scipy.optimize import least_squares

        good = np.isfinite(line.base) & (self.measured > 0) & np.isfinite(line.slopes).all(axis=1)
        listed = list(self.priors.values())
        width, mean = np.array([p.width for p in listed]), np.array([p.mean for p in listed])
        low, high = np.array([p.low for p in listed]), np.array([p.high for p in listed])
        kept = line.rows(good)
        target, w = np.log(self.measured[good]), np.sqrt(self.weights[good])

        def residuals(x: Array) -> Array:
            miss = (np.log(kept.at(x * width)) - target) / _SCALE
            soft = np.sign(miss) * np.sqrt(np.log1p(miss**2) if self.outliers else 2 * (np.sqrt(1 + miss**2) - 1))
            return np.concatenate([w * soft, (x - mean / width)])

        # a start at a bound would stay there: the solver's steps shrink with the distance to it
        begin = np.clip(line.theta, low + 1e-2 * width, high - 1e-2 * width) / width
        solved = least_squares(residuals, begin, bounds=(low / width, high / width))
        out: Array = solved.x * width
        return out

    def rows(self, keep: npt.NDArray[np.bool_]) -> _Task:
        """The same of some of the rows."""
        return replace(self, measured=self.measured[keep], weights=self.weights[keep])


def fit_group(
    rows: Sequence[FitRow],
    priors: Mapping[str, Prior],
    start: Mapping[str, float],
    apply: Callable[[Mapping[str, float]], ServingCalibration],
    *,
    rounds: int = 3,
    held_out: bool = True,
    outliers: bool = False,
) -> Fit:
    """Fit the constants named in `priors` to `rows`; `apply` makes the calibration that holds given values.

    With `outliers` a miss counts by its logarithm (Cauchy): some rows measure something else, such as compilation or a
    client's limit.
    """
    told = [r for r in rows if r.fitted]
    questions = [r.question for r in told]
    measured = times(questions, np.array([q.measured for q in questions]))
    task = _Task(measured, _weights(told), priors, outliers)
    theta = np.array([start[name] for name in priors])
    line = Line(np.zeros(len(told)), np.zeros((len(told), len(priors))), theta)
    for _ in range(rounds):
        line = _draw(questions, priors, theta, apply)
        moved = task.solve(line)
        settled = np.all(np.abs(moved - theta) <= 0.02 * np.array([p.width for p in priors.values()]))
        theta = moved
        if settled:
            break
    error = _ape(line.at(theta), measured)
    without = _without(rows, line, task) if held_out else {}
    out = _held_out(rows, line, priors, apply, without) if held_out else np.full(len(rows), np.nan)
    held = _ape(out[np.array([r.fitted for r in rows])], measured) if held_out else error
    return Fit(
        values=dict(zip(priors, theta.tolist(), strict=True)),
        rows=len(told),
        median=float(np.nanmedian(error)),
        p90=float(np.nanquantile(error, 0.9)),
        held_out_median=float(np.nanmedian(held)),
        held_out_p90=float(np.nanquantile(held, 0.9)),
        held_out=out,
        without=without,
    )


def _without(rows: Sequence[FitRow], line: Line, task: _Task) -> dict[Group, dict[str, float]]:
    """Constants by the group that they know no row of; `line` and `task` are those of the fitted rows."""
    groups = [r.group for r in rows if r.fitted]
    out: dict[Group, dict[str, float]] = {}
    for group in sorted({r.group for r in rows}):
        others = np.array([g != group for g in groups])
        if others.any():
            values = task.rows(others).solve(line.rows(others))
        else:
            values = np.array([p.mean for p in task.priors.values()])
        out[group] = dict(zip(task.priors, values.tolist(), strict=True))
    return out


def _held_out(
    rows: Sequence[FitRow],
    line: Line,
    priors: Mapping[str, Prior],
    apply: Callable[[Mapping[str, float]], ServingCalibration],
    without: Mapping[Group, Mapping[str, float]],
) -> Array:
    """Times of `rows` by constants that know no row of their group; `line` is that of the fitted rows."""
    fitted = np.array([r.fitted for r in rows])
    names = [r.group for r in rows]
    others = _draw([r.question for r in rows if not r.fitted], priors, line.theta, apply)
    out = np.full(len(rows), np.nan)
    for group, values in without.items():
        mine = np.array([name == group for name in names])
        theta = np.array([values[name] for name in priors])
        out[mine & fitted] = line.rows(mine[fitted]).at(theta)
        out[mine & ~fitted] = others.rows(mine[~fitted]).at(theta)
    return out


def _draw(
    questions: Sequence[Question],
    priors: Mapping[str, Prior],
    theta: Array,
    apply: Callable[[Mapping[str, float]], ServingCalibration],
) -> Line:
    names = list(priors)

    def at(values: Array) -> Array:
        with using(apply(dict(zip(names, values.tolist(), strict=True)))):
            return times(questions, predict(questions))

    base = at(theta)
    slopes = np.zeros((len(questions), len(names)))
    for j, prior in enumerate(priors.values()):
        nudged = theta.copy()
        step = prior.nudge if prior.low < theta[j] + prior.nudge < prior.high else -prior.nudge
        nudged[j] += step
        slopes[:, j] = (at(nudged) - base) / step
    return Line(base, slopes, theta)


def _weights(rows: Sequence[FitRow]) -> Array:
    keys = [(*r.group, r.question.metric) for r in rows]
    counts: dict[Any, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return np.array([row.weight * counts[key] ** -0.5 for row, key in zip(rows, keys, strict=True)])


def _ape(predicted: Array, measured: Array) -> Array:
    out: Array = np.abs(predicted / measured - 1)
    return out


def with_engine(key: str, values: Mapping[str, Any], base: ServingCalibration | None = None) -> ServingCalibration:
    """The calibration with the constants of engine entry `key` replaced."""
    table = base or active()
    entry = replace(table.engines.get(key, table.prior), **values)
    return replace(table, engines={**table.engines, key: entry})


def with_device(key: str, values: Mapping[str, Any], base: ServingCalibration | None = None) -> ServingCalibration:
    """The calibration with the factors of device (or family) `key` replaced."""
    table = base or active()
    return replace(table, devices={**table.devices, key: replace(table.devices.get(key, DeviceFactors()), **values)})


def starting(entry: EngineOverhead | DeviceFactors, priors: Mapping[str, Prior]) -> dict[str, float]:
    """Present values of the constants in `priors`; a constant that has no slope at its neutral value starts beside
    it."""
    return {name: max(float(getattr(entry, name)), _BESIDE.get(name, float("-inf"))) for name in priors}

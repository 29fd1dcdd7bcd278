"""Fit the constants of the cost model to a user's rows, starting from the shipped ones.

For each engine, generation and kind of model among the rows:

1. step constants of the engine (host time, all-reduce skew, launch and quantisation factors) together with the factors of each
   device on bandwidth and arithmetic, on rows that tell of steps;
2. first-token constants on closed-loop first-token rows.

A constant that the rows cannot tell (posterior nearly as wide as the prior) is left as shipped and named with the reason.
A group whose left-out errors do not get better keeps the shipped constants altogether.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine import DeviceFactors, EngineOverhead, ServingCalibration, active, device_factors, engine_overhead, using
from rooflab.errors import RooflabError
from rooflab.evidence.domains import entry_of, key_of
from rooflab.evidence.posterior import Line, Posterior, draw, loss_of, solve
from rooflab.evidence.serving_fit import (
    DEVICE_PRIORS,
    ENGINE_PRIORS,
    FIRST_TOKEN_PRIORS,
    FitRow,
    Prior,
    predict,
    times,
    with_device,
    with_engine,
)
from rooflab.evidence.serving_rows import Unsupported, question
from rooflab.evidence.tables import Row
from rooflab.scenario.scenario import Scenario

__all__ = ["Calibration", "Constant", "Stage", "calibrate", "fit_rows"]

Array = npt.NDArray[np.float64]

_IDENTIFIED: Final = 0.6
"""Posterior over prior width below which rows are said to tell a constant."""
_SEPARATE: Final = 0.7
"""Correlation of two constants above which the rows cannot tell them apart."""
_WORTH: Final = 2.0
"""Loss that one more constant must explain: twice its number, as Akaike's criterion has it."""
_FEWEST: Final = 3
_ROUNDS: Final = 6
_TABLE_WIDTH: Final = 0.4
"""Share of the usual prior width for the factors of a device whose kernels were measured: they need correcting less."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant: where it belongs, shipped and fitted value, its standard deviation before and after the rows; why it was refused."""

    owner: str
    name: str
    shipped: float
    value: float
    prior_deviation: float
    deviation: float
    refused: str

    @property
    def fitted(self) -> bool:
        """Whether the rows moved it."""
        return not self.refused


@dataclass(frozen=True, slots=True)
class Stage:
    """One fit: its rows, median and p90 error before, after, and after with each configuration left out in turn; kept or not."""

    name: str
    rows: tuple[str, ...]
    before: tuple[float, float]
    after: tuple[float, float]
    left_out: tuple[float, float]
    kept: bool
    constants: tuple[Constant, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The constants, the fits that they came from, predictions of each row before and after (in the row's unit), and rows unused."""

    table: ServingCalibration
    stages: tuple[Stage, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    unused: Mapping[str, str]

    @property
    def changed(self) -> bool:
        """Whether any constant was fitted."""
        return any(s.kept for s in self.stages)


def fit_rows(rows: Sequence[Row]) -> tuple[list[FitRow], dict[str, str]]:
    """Rows of a serving table that can be asked, and the reason by id of each other one."""
    asked, reasons = [], {}
    for row in rows:
        try:
            asked.append(FitRow(question(row), row["source"], row["model"], row["gpu"]))
        except (Unsupported, RooflabError, ValueError) as error:
            reasons[row["id"]] = str(error)
    return asked, reasons


def _scenario(row: FitRow) -> Scenario:
    return row.question.scenarios[0]


def _steps(row: FitRow) -> bool:
    metric, mode = row.question.metric, _scenario(row).workload.mode
    if metric.endswith("p99") or len(row.question.scenarios) > 1 or _scenario(row).deployment.pools:
        return False
    return not metric.startswith("ttft") or mode == "static"


def _first_token(row: FitRow) -> bool:
    return row.question.metric in ("ttft_s_mean", "ttft_s_p50") and _scenario(row).workload.mode == "closed"


def _place(row: FitRow) -> str:
    s = _scenario(row)
    return entry_of(key_of(s.model, s.hardware.device, s.deployment))


def calibrate(rows: Sequence[FitRow], date: str) -> Calibration:
    """Fit what `rows` can tell; `date` is kept with every fitted constant."""
    questions = [r.question for r in rows]
    before = predict(questions)
    usable = [bool(np.isfinite(v) and v > 0) for v in before]
    unused = {r.question.id: "has no finite prediction" for r, ok in zip(rows, usable, strict=True) if not ok}
    good = [r for r, ok in zip(rows, usable, strict=True) if ok]
    table, stages = active(), []
    for choose, priors_of, label in ((_steps, _step_priors, "steps"), (_first_token, _first_priors, "first token")):
        groups: dict[str, list[FitRow]] = {}
        for row in good:
            if choose(row):
                groups.setdefault(_place(row), []).append(row)
        for place, mine in sorted(groups.items()):
            if len(mine) < _FEWEST:
                unused |= {r.question.id: f"fewer than {_FEWEST} rows of {place} ({label})" for r in mine}
                continue
            with using(table):
                stage, table = _Fit(place, mine, priors_of(place, mine), table).run(f"{place}, {label}", date)
            stages.append(stage)
    used = {i for s in stages for i in s.rows}
    unused |= {r.question.id: f"{r.question.metric} takes no part in a fit" for r in good if r.question.id not in used | unused.keys()}
    with using(table):
        after = predict(questions)

    def by_id(values: Array) -> dict[str, float]:
        return {r.question.id: float(v) for r, v in zip(rows, values, strict=True)}

    return Calibration(table, tuple(stages), by_id(before), by_id(after), unused)


def _step_priors(place: str, rows: Sequence[FitRow]) -> dict[str, Prior]:
    """Priors of the engine's step constants and of the factors of the rows' devices, centred on what prices the rows now."""
    found = _centred(_entry(rows[0]), ENGINE_PRIORS)
    out = {f"{place}:{name}": prior for name, prior in found.items()}
    for row in rows:
        device = _scenario(row).hardware.device
        measured = calibration_for(device, _scenario(row).deployment.engine).in_table
        for name, prior in _centred(device_factors(device), DEVICE_PRIORS).items():
            out[f"{device.key}:{name}"] = replace(prior, width=prior.width * (_TABLE_WIDTH if measured else 1.0))
    return out


def _first_priors(place: str, rows: Sequence[FitRow]) -> dict[str, Prior]:
    return {f"{place}:{name}": prior for name, prior in _centred(_entry(rows[0]), FIRST_TOKEN_PRIORS).items()}


def _entry(row: FitRow) -> EngineOverhead:
    """The engine's own constants, without what a slow host or eager launches add."""
    s = _scenario(row)
    plain = replace(s.deployment, host="fast", cuda_graphs=True)
    return engine_overhead(plain, moe=s.model.is_moe, family=s.hardware.device.family)


def _centred(entry: EngineOverhead | DeviceFactors, priors: Mapping[str, Prior]) -> dict[str, Prior]:
    return {name: replace(p, mean=min(max(float(getattr(entry, name)), p.low), p.high)) for name, p in priors.items()}


@dataclass(frozen=True, slots=True)
class _Solution:
    """Constants, which of them are fitted, reasons against the others, deviations of the fitted ones, and the line through all."""

    theta: Array
    kept: list[int]
    reasons: dict[int, str]
    deviation: Array
    line: Line | None = None


class _Fit:
    """One group's rows, the constants that might explain them, and the calibration that holds given values of these."""

    def __init__(self, place: str, rows: Sequence[FitRow], priors: Mapping[str, Prior], table: ServingCalibration):
        self.place, self.rows, self.priors, self.table = place, rows, priors, table
        self.questions = [r.question for r in rows]
        self.measured = times(self.questions, np.array([q.measured for q in self.questions]))
        self.start = np.array([p.mean for p in priors.values()])
        self.width = np.array([p.width for p in priors.values()])

    def table_of(self, values: Mapping[str, float], note: Mapping[str, Any]) -> ServingCalibration:
        """The calibration with constants (by ``owner:name``) replaced; `note` goes into every entry that has one."""
        out = self.table
        for owner in dict.fromkeys(name.rpartition(":")[0] for name in values):
            mine = {n.rpartition(":")[2]: v for n, v in values.items() if n.rpartition(":")[0] == owner}
            if owner == self.place:
                base = replace(out, engines={owner: _entry(self.rows[0])} | dict(out.engines))
                out = with_engine(owner, {**mine, **note}, base)
            else:
                out = with_device(owner, {**_factors(out, owner, self.rows), **mine, **note}, out)
        return out

    def times_at(self, theta: Array) -> Array:
        """Times of the rows at given constants."""
        with using(self.table_of(dict(zip(self.priors, theta.tolist(), strict=True)), {})):
            return times(self.questions, predict(self.questions))

    def solve(self) -> _Solution:
        """The best constants found: lines are drawn at each optimum until none is better in truth, not only on its line."""
        listed = list(self.priors.values())
        tried = _Solution(self.start, [], {}, np.zeros(0))
        best, least = tried, np.inf
        for _ in range(_ROUNDS):
            line = draw(self.times_at, self.priors, tried.theta)
            loss = loss_of(line.base, self.measured, tried.theta, listed)
            if loss > least - 1e-3:
                break
            kept, reasons, found = _identified(line, self.measured, self.priors)
            best, least = replace(tried, line=line, reasons=tried.reasons or reasons), loss
            theta = self.start.copy()
            theta[kept] = found.theta
            tried = _Solution(theta, kept, reasons, found.deviation)
        return best

    def run(self, name: str, date: str) -> tuple[Stage, ServingCalibration]:
        """The fit, and the calibration with its constants if left-out rows get better by them."""
        found = self.solve()
        theta, kept, reasons = found.theta, found.kept, found.reasons
        assert found.line is not None
        scenarios = [_scenario(r) for r in self.rows]
        before, after = _errors(self.times_at(self.start), self.measured), _errors(found.line.base, self.measured)
        left_out = _errors(_without_each(found.line, self.measured, self.priors, kept, scenarios), self.measured)
        better = bool(kept) and left_out[0] < before[0]
        if not better:
            theta = self.start
            reasons = dict.fromkeys(range(len(self.start)), "left-out rows get no better: the shipped value stays") | reasons
        deviation = self.width.copy()
        deviation[kept] = found.deviation
        constants = tuple(
            Constant(*_owner(n), self.start[i].item(), theta[i].item(), self.width[i].item(), deviation[i].item(), reasons.get(i, ""))
            for i, n in enumerate(self.priors)
        )
        stage = Stage(name, tuple(q.id for q in self.questions), before, after, left_out, better, constants)
        if not better:
            return stage, self.table
        sources = ", ".join(sorted({r.source for r in self.rows}))
        source = f"{len(self.rows)} rows of {sources}: {after[0]:.0%} median, {left_out[0]:.0%} left out; fitted {date}"
        values = {n: theta[i].item() for i, n in enumerate(self.priors) if i in kept}
        return stage, self.table_of(values, {"provenance": "fitted", "source": source})


def _owner(constant: str) -> tuple[str, str]:
    """The entry that a constant belongs to, and its name there."""
    owner, _, name = constant.rpartition(":")
    return owner, name


def _factors(table: ServingCalibration, key: str, rows: Sequence[FitRow]) -> dict[str, Any]:
    """The factors that price a device now, which may be its family's."""
    device = next(_scenario(r).hardware.device for r in rows if _scenario(r).hardware.device.key == key)
    found = table.devices.get(key) or table.devices.get(device.family) or DeviceFactors()
    return {"memory": found.memory, "compute": found.compute}


def _identified(line: Line, measured: Array, priors: Mapping[str, Prior]) -> tuple[list[int], dict[int, str], Posterior]:
    """Constants that the rows can tell and ask for, why each other one stays, and the posterior of the former.

    They are taken in one by one, each time the one that explains most, as long as all that are in are told by the rows.
    """
    listed = list(priors.values())

    def with_constants(some: list[int]) -> Posterior:
        return solve(line.constants(some), measured, [listed[i] for i in some])

    def told(found: Posterior, some: list[int]) -> bool:
        return bool(np.all(found.deviation <= _IDENTIFIED * np.array([listed[i].width for i in some])))

    kept: list[int] = []
    best = with_constants(kept)
    while True:
        tried = [
            (found.loss, i, found) for i in range(len(listed)) if i not in kept and told(found := with_constants([*kept, i]), [*kept, i])
        ]
        if not tried or min(t[0] for t in tried) > best.loss - _WORTH:
            break
        _, chosen, best = min(tried, key=lambda t: t[0])
        kept.append(chosen)
    reasons = {i: _reason(line, kept, i, with_constants([*kept, i]), priors) for i in range(len(listed)) if i not in kept}
    return kept, reasons, best


def _reason(line: Line, kept: list[int], i: int, found: Posterior, priors: Mapping[str, Prior]) -> str:
    """Why constant `i` is not fitted beside `kept`; `found` is the posterior with it."""
    if not np.any(np.abs(line.slopes[:, i]) > 0):
        return "no row depends on it"
    names = list(priors)
    left = found.deviation[-1] / priors[names[i]].width
    if left <= _IDENTIFIED:
        return "the rows bear the shipped value out"
    others = np.abs(found.correlation[-1, :-1])
    if len(others) and others.max() > _SEPARATE:
        return f"the rows cannot tell it from {_owner(names[kept[int(np.argmax(others))]])[1]}"
    return f"the rows narrow it down by {1 - left:.0%} only"


def _without_each(line: Line, measured: Array, priors: Mapping[str, Prior], kept: list[int], scenarios: Sequence[Scenario]) -> Array:
    """Times of each row by constants fitted without its configuration."""
    if not kept:
        return line.base
    part, listed = line.constants(kept), [list(priors.values())[i] for i in kept]
    of = np.array([hash((id(s.model), id(s.hardware), s.deployment, s.workload)) for s in scenarios])
    out = np.empty(len(measured))
    for group in np.unique(of):
        inside = of == group
        if inside.all():
            return part.at(np.array([p.mean for p in listed]))
        out[inside] = part.rows(inside).at(solve(part.rows(~inside), measured[~inside], listed).theta)
    return out


def _errors(predicted: Array, measured: Array) -> tuple[float, float]:
    error = np.abs(predicted / measured - 1.0)
    return float(np.median(error)), float(np.quantile(error, 0.9))

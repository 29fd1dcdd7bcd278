"""Fit engine constants and device factors to serving rows, for each engine, generation and kind of model among them.

1. Step constants of the engine (host time, all-reduce skew, launch and quantisation factors) together with the factors
   of each device on bandwidth and arithmetic, on rows that tell of steps.
2. First-token constants on closed-loop first-token rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import (
    DeviceFactors,
    EngineOverhead,
    ServingCalibration,
    device_factors,
    engine_overhead,
    using,
)
from rooflab.evidence.calibrate.rows import ENERGY, configuration, scenario_of, source_of
from rooflab.evidence.fit.identify import FEWEST, Stage, find, stage_of
from rooflab.evidence.fit.priors import DEVICE_PRIORS, ENGINE_PRIORS, FIRST_TOKEN_PRIORS, Prior
from rooflab.evidence.fit.serving import FitRow, with_device, with_engine
from rooflab.evidence.intervals.likeness import entry_of, key_of
from rooflab.evidence.rows.predict import predict, times

__all__ = ["fit_engines"]

Array = npt.NDArray[np.float64]

_TABLE_WIDTH: Final = 0.4
"""Share of the usual prior width for the factors of a device whose kernels were measured: they need correcting less."""


def fit_engines(
    rows: Sequence[FitRow], table: ServingCalibration, date: str
) -> tuple[list[Stage], ServingCalibration, dict[str, str]]:
    """The fits, the calibration with what was kept of them, and the reason by id of rows that are too few."""
    stages: list[Stage] = []
    too_few: dict[str, str] = {}
    for choose, priors_of, label in _PARTS:
        groups: dict[str, list[FitRow]] = {}
        for row in rows:
            if choose(row):
                with using(table):
                    groups.setdefault(_place(row), []).append(row)
        for place, mine in sorted(groups.items()):
            with using(table):
                priors = priors_of(place, mine)
                if len(mine) < FEWEST:
                    names = ", ".join(dict.fromkeys(n.rpartition(":")[2] for n in priors))
                    few = (
                        f"{len(mine)} row{'s' * (len(mine) > 1)} of {place} ({label}) cannot identify {names}: "
                        f"{FEWEST} at least"
                    )
                    too_few |= {r.question.id: few for r in mine}
                    continue
                stage, table = _Fit(place, mine, priors, table).run(f"{place}, {label}", date)
            stages.append(stage)
    return stages, table, too_few


def _steps(row: FitRow) -> bool:
    metric, mode = row.question.metric, scenario_of(row).workload.mode
    if (
        metric in ENERGY
        or metric.endswith("p99")
        or len(row.question.scenarios) > 1
        or scenario_of(row).deployment.cluster.pools
    ):
        return False
    return not metric.startswith("ttft") or mode == "static"


def _first_token(row: FitRow) -> bool:
    return row.question.metric in ("ttft_s_mean", "ttft_s_p50") and scenario_of(row).workload.mode == "closed"


def _place(row: FitRow) -> str:
    s = scenario_of(row)
    return entry_of(key_of(s.model, s.hardware.device, s.deployment))


def _step_priors(place: str, rows: Sequence[FitRow]) -> dict[str, Prior]:
    """Priors of the engine's step constants and of the factors of the rows' devices, centred on what prices the rows
    now."""
    found = _centred(_entry(rows[0]), ENGINE_PRIORS)
    out = {f"{place}:{name}": prior for name, prior in found.items()}
    for row in rows:
        device = scenario_of(row).hardware.device
        measured = calibration_for(device, scenario_of(row).deployment.runtime.engine).in_table
        for name, prior in _centred(device_factors(device), DEVICE_PRIORS).items():
            out[f"{device.key}:{name}"] = replace(prior, width=prior.width * (_TABLE_WIDTH if measured else 1.0))
    return out


def _first_priors(place: str, rows: Sequence[FitRow]) -> dict[str, Prior]:
    return {f"{place}:{name}": prior for name, prior in _centred(_entry(rows[0]), FIRST_TOKEN_PRIORS).items()}


def _entry(row: FitRow) -> EngineOverhead:
    """The engine's own constants, without what a slow host or eager launches add."""
    s = scenario_of(row)
    plain = replace(s.deployment.runtime, host="fast", cuda_graphs=True)
    return engine_overhead(plain, moe=s.model.is_moe, family=s.hardware.device.family)


def _centred(entry: EngineOverhead | DeviceFactors, priors: Mapping[str, Prior]) -> dict[str, Prior]:
    return {name: replace(p, mean=min(max(float(getattr(entry, name)), p.low), p.high)) for name, p in priors.items()}


class _Fit:
    """One group's rows, the constants that might explain them, and the calibration that holds given values of these."""

    def __init__(self, place: str, rows: Sequence[FitRow], priors: Mapping[str, Prior], table: ServingCalibration):
        self.place, self.rows, self.priors, self.table = place, rows, priors, table
        self.questions = [r.question for r in rows]
        self.measured = times(self.questions, np.array([q.measured for q in self.questions]))

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

    def run(self, name: str, date: str) -> tuple[Stage, ServingCalibration]:
        """The fit, and the calibration with its constants if left-out rows get better by them."""
        found = find(self.times_at, self.priors, self.measured, [configuration(r) for r in self.rows])
        stage = stage_of(name, [q.id for q in self.questions], found, self.priors)
        if not stage.kept:
            return stage, self.table
        values = {n: found.theta[i].item() for i, n in enumerate(self.priors) if i in found.kept}
        fitted = self.table_of(values, {"provenance": "fitted", "source": source_of(self.rows, found, date)})
        devices = {*fitted.measured.get(self.place, ()), *(scenario_of(r).hardware.device.key for r in self.rows)}
        return stage, replace(fitted, measured={**fitted.measured, self.place: tuple(sorted(devices))})


def _factors(table: ServingCalibration, key: str, rows: Sequence[FitRow]) -> dict[str, Any]:
    """The factors that price a device now, which may be its family's."""
    device = next(scenario_of(r).hardware.device for r in rows if scenario_of(r).hardware.device.key == key)
    found = table.devices.get(key) or table.devices.get(device.family) or DeviceFactors()
    return {"memory": found.memory, "compute": found.compute}


_PARTS: Final[tuple[tuple[Callable[[FitRow], bool], Callable[[str, Sequence[FitRow]], dict[str, Prior]], str], ...]] = (
    (_steps, _step_priors, "steps"),
    (_first_token, _first_priors, "first token"),
)

"""Fit the power constants of a device to watts, or joules a token, of serving runs whose throughput was measured too.

The watts of a run are those that the engine predicts under given constants, with what is drawn beyond idle scaled by
measured over predicted throughput: the work a token costs is fitted, not the engine's error in time.  Joules a token
become watts by the throughput of their run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.costs.power import PowerCurve, assumed, limit_w, loaded_idle_w, power_curve
from rooflab.errors import RooflabError
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.calibrate.rows import ENERGY, configuration, scenario_of, source_of
from rooflab.evidence.fit.identify import FEWEST, Stage, find, stage_of
from rooflab.evidence.fit.priors import Prior
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.rows.predict import predict, times

__all__ = ["POWER_PRIORS", "fit_power"]

Array = npt.NDArray[np.float64]

POWER_PRIORS: Final[Mapping[str, Prior]] = {
    "loaded_idle": Prior(0.2, 0.06, 0.01, 0.6, 0.02),
    "active": Prior(0.3, 0.15, 0.0, 1.0, 0.05),
    "compute": Prior(1.0, 0.7, 0.05, 3.0, 0.1),
    "memory": Prior(0.6, 0.3, 0.05, 2.0, 0.1),
    "link": Prior(0.1, 0.2, 0.0, 1.0, 0.05),
}
"""How far a device's shares may stray from those that price it now, which replace the means: families differ by about a
width."""

_NOISE: Final = 0.05
"""Standard deviation of log(watts measured/predicted): meters and runs repeat within a few percent."""
_RATES: Final = ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "tpot_s_mean")
_LEAST_TIME, _MOST_TIME = 0.2, 5.0
"""Measured over predicted throughput beyond which the prediction says nothing of the work."""


def fit_power(
    rows: Sequence[FitRow], table: ServingCalibration, date: str
) -> tuple[list[Stage], ServingCalibration, dict[str, str]]:
    """The fits by device, the calibration with what was kept of them, and the reason by id of rows that cannot be
    used."""
    with using(table):
        speed = _speeds(rows)
    groups: dict[str, list[FitRow]] = {}
    unused: dict[str, str] = {}
    for row in rows:
        if row.question.metric not in ENERGY:
            continue
        s = scenario_of(row)
        if row.question.metric == "j_per_token" and configuration(row) not in speed:
            unused[row.question.id] = "joules a token without the throughput of the same run: add its output_tok_s"
        elif len(row.question.scenarios) > 1 or s.deployment.cluster.pools:
            unused[row.question.id] = "power of a run whose split is not stated"
        else:
            groups.setdefault(s.hardware.device.key, []).append(row)
    stages: list[Stage] = []
    for key, mine in sorted(groups.items()):
        if len(mine) < FEWEST:
            few = (
                f"{len(mine)} row{'s' * (len(mine) > 1)} of watts on {key} cannot identify "
                f"{', '.join(POWER_PRIORS)}: {FEWEST} at least"
            )
            unused |= {r.question.id: few for r in mine}
            continue
        with using(table):
            stage, table = _fit(key, mine, [speed.get(configuration(r), 1.0) for r in mine], table, date)
        stages.append(stage)
    return stages, table, unused


def _speeds(rows: Sequence[FitRow]) -> dict[Hashable, float]:
    """Measured over predicted throughput of each run that has a measured one (median over its rows)."""
    told = [r for r in rows if r.question.metric in _RATES and r.question.factor != 0]
    questions = [r.question for r in told]
    predicted = times(questions, predict(questions)) if told else np.zeros(0)
    measured = times(questions, np.array([q.measured for q in questions]))
    found: dict[Hashable, list[float]] = {}
    for row, ratio in zip(told, (predicted / measured).tolist(), strict=True):
        if np.isfinite(ratio):
            found.setdefault(configuration(row), []).append(ratio)
    return {run: float(np.clip(np.median(ratios), _LEAST_TIME, _MOST_TIME)) for run, ratios in found.items()}


def _fit(
    key: str, rows: Sequence[FitRow], speed: Sequence[float], table: ServingCalibration, date: str
) -> tuple[Stage, ServingCalibration]:
    scenarios = [scenario_of(r) for r in rows]
    now = power_curve(scenarios[0].hardware)
    priors = {
        f"{key} power:{n}": replace(p, mean=min(max(float(getattr(now, n)), p.low), p.high))
        for n, p in POWER_PRIORS.items()
    }
    names, ratio = list(POWER_PRIORS), np.array(speed)
    base = estimate_many(scenarios)
    tokens_per_s = np.array(
        [np.nan if isinstance(r, RooflabError) else float(r.metrics["output_tokens_per_s"]) for r in base]
    )
    joules = np.array([r.question.metric == "j_per_token" for r in rows])
    given = np.array([r.question.measured for r in rows])
    measured = np.where(joules, given * tokens_per_s * ratio, given)

    def watts_at(theta: Array) -> Array:
        curve = replace(now, **dict(zip(names, theta.tolist(), strict=True)))
        with assumed(curve):
            results = estimate_many(scenarios)
            idle = np.array([loaded_idle_w(s.hardware) for s in scenarios])
        limits = np.array([limit_w(s.hardware) for s in scenarios])
        each = np.array(
            [
                np.nan if isinstance(r, RooflabError) else float(r.metrics["power_w"]) / r.metrics["devices"]
                for r in results
            ]
        )
        devices = np.array([1.0 if isinstance(r, RooflabError) else float(r.metrics["devices"]) for r in results])
        out: Array = devices * np.minimum(idle + (each - idle) * ratio, limits)
        return out

    # kernels that would draw more than the TDP draw the TDP: look also from where arithmetic draws little
    low = np.array([0.4 if name == "compute" else p.mean for name, p in zip(names, priors.values(), strict=True)])
    found = find(watts_at, priors, measured, [configuration(r) for r in rows], noise=_NOISE, elsewhere=[low])
    stage = stage_of(f"{key}, power", [r.question.id for r in rows], found, priors)
    if not stage.kept:
        return stage, table
    values = dict(zip(names, found.theta.tolist(), strict=True))
    curve: PowerCurve = replace(now, **values, provenance="fitted", source=source_of(rows, found, date))
    return stage, replace(table, power={**table.power, key: curve})

"""Fitting the power of served models, and what an old leaderboard's runs add to the engine.

The watts of a configuration are linear in the five shares of a PowerCurve, so each share's column is the power that the
engine predicts with that share alone.  Columns are scaled by measured over predicted throughput, so that the work a
token costs is fitted and not the engine's error in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.power import PowerCurve, assumed
from rooflab.errors import RooflabError
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows.energy import OldRuns, question
from rooflab.evidence.rows.serving import Unsupported
from rooflab.scenario.scenario import Scenario

__all__ = [
    "OldCase",
    "ServingPower",
    "curve_entries",
    "curve_of",
    "fit_curve",
    "fit_old_runs",
    "old_cases",
    "old_runs_entry",
    "predicted_share",
    "serving_power",
]

Array = npt.NDArray[np.float64]
Row = Mapping[str, str]

_SHARES: Final = ("active", "compute", "memory", "link")
_LOADED_IDLE: Final = {"hopper": 0.20, "blackwell": 0.195, "ampere": 0.20}
"""Loaded idle over TDP, measured by NVML on idle servers with a model resident: H100 about 140 W of 700, B200 195 W of
1000."""
_IDLE: Final = 0.18
"""The same where no family's is known."""
_BOUNDS: Final = ([0.0, 0.3, 0.3, 0.0], [0.5, 2.0, 1.5, 0.5])
_LINK_PENALTY: Final = 0.05


class ServingPower(NamedTuple):
    """A configuration: family, group, columns by share (of the room, a device), power at rest and measured over TDP,
    time error."""

    family: str
    group: str
    columns: Array
    rest: float
    watts: float
    time_ratio: float


def _asked(rows: Sequence[Row]) -> list[tuple[Row, dict[str, float], Scenario]]:
    """The serving configurations among `rows` that are questions: a row, the measured values, the scenario."""
    configs: dict[str, dict[str, float]] = {}
    first: dict[str, Row] = {}
    for row in rows:
        if row["source"].startswith("ML.ENERGY") and row["max_num_seqs"].strip():
            configs.setdefault(row["config_id"], {})[row["metric"]] = float(row["value"])
            first.setdefault(row["config_id"], row)
    asked = []
    for config, values in configs.items():
        try:
            asked.append((first[config], values, question(first[config])))
        except Unsupported:
            continue
    return asked


def serving_power(rows: Sequence[Row]) -> list[ServingPower]:
    """The serving configurations of ML.ENERGY that the engine models, with their columns."""
    asked = [(row["config_id"], values, scenario) for row, values, scenario in _asked(rows)]
    first = {row["config_id"]: row for row in rows}
    columns = []
    for i in range(len(_SHARES)):
        a, c, m, link = (1e-3 if j == i else 0.0 for j in range(len(_SHARES)))
        with assumed(
            PowerCurve(
                loaded_idle=0.0,
                active=a,
                compute=c,
                memory=m,
                link=link,
                provenance="assumed",
                source="one share alone",
            )
        ):
            columns.append(estimate_many([s for _, _, s in asked]))
    found = []
    for (config, values, scenario), results in zip(asked, zip(*columns, strict=True), strict=True):
        if any(isinstance(r, RooflabError) for r in results) or scenario.deployment.split.pp > 1:
            continue
        device = scenario.hardware.device
        room_w = device.tdp_w - device.idle_w
        watts = [r.power_w / r.devices for r in results if not isinstance(r, RooflabError)]
        watts = [(w - device.idle_w) / room_w * 1e3 for w in watts]
        estimate = results[0]
        assert not isinstance(estimate, RooflabError)
        measured_w = values.get("avg_power_all_gpus", values["energy_per_output_token"] * values["output_throughput"])
        ratio = estimate.output_tokens_per_s / values["output_throughput"]
        group = f"{scenario.model.name}/{device.key}/{first[config]['source'][-2:]}"
        share = measured_w / estimate.devices / device.tdp_w
        found.append(ServingPower(device.family, group, np.array(watts), device.idle_w / device.tdp_w, share, ratio))
    return found


class OldCase(NamedTuple):
    """A configuration of leaderboard v2: model, sequences running and devices of an engine, predicted pace and rate,
    measured values."""

    model: str
    load: tuple[float, int]
    tpot_s: float
    tokens_per_s: float
    measured: Mapping[str, float]


def old_cases(rows: Sequence[Row]) -> list[OldCase]:
    """The configurations of leaderboard v2 that the engine models."""
    kept = []
    asked = _asked([r for r in rows if r["source"].endswith("v2")])
    for (_, values, scenario), estimate in zip(asked, estimate_many([s for _, _, s in asked]), strict=True):
        if not isinstance(estimate, RooflabError):
            d = estimate.scenario.deployment
            load = (estimate.metrics["running"] / d.cluster.replicas, (d.split.tp or 1) * d.split.pp)
            name = scenario.model.name
            kept.append(
                OldCase(name, load, estimate.metrics["tpot_s_mean"], estimate.metrics["output_tokens_per_s"], values)
            )
    return kept


def _old_errors(old: OldRuns, cases: Sequence[OldCase]) -> Array:
    out = []
    for c in cases:
        stretch, drain = old.slower(c.tpot_s, *c.load)
        out += [
            c.tpot_s * stretch / c.measured["avg_tpot"],
            c.tokens_per_s / stretch / drain / c.measured["output_throughput"],
        ]
    return np.log(out)


def fit_old_runs(cases: Sequence[OldCase]) -> OldRuns:
    """What leaderboard v2 adds to the engine, on its times per token and throughputs."""
    from scipy.optimize import least_squares

    start = np.log([5e-3, 2e-2, 2e-4, 1500.0])

    def residuals(v: Array) -> Array:
        return np.append(_old_errors(OldRuns(*np.exp(v).tolist()), cases), 0.02 * (v - start))

    found = least_squares(residuals, start, loss="soft_l1", f_scale=0.15, diff_step=1e-4, max_nfev=40)
    return OldRuns(*np.exp(found.x).tolist())


def old_runs_entry(rows: Sequence[Row]) -> dict[str, Any]:
    """Constants of `rows.energy.OldRuns` as their file holds them, with their errors."""
    cases = old_cases(rows)
    found = fit_old_runs(cases)
    inside = np.abs(np.expm1(_old_errors(found, cases)))
    left = []
    for name in sorted({c.model for c in cases}):
        others = fit_old_runs([c for c in cases if c.model != name])
        left.append(np.abs(np.expm1(_old_errors(others, [c for c in cases if c.model == name]))))
    return {
        **{n: float(f"{x:.3g}") for n, x in asdict(found).items()},
        "provenance": "fitted",
        "rows": len(inside),
        "median": round(float(np.median(inside)), 3),
        "left_out_median": round(float(np.median(np.concatenate(left))), 3),
        "source": "ML.ENERGY leaderboard v2",
    }


def curve_of(rows: Sequence[ServingPower], family: str) -> PowerCurve:
    """The power constants of a family (of all devices, where it has none of its own) fitted to `rows`."""
    idle = _LOADED_IDLE.get(family, _IDLE)
    pool = [r for r in rows if r.family == family] if family in _LOADED_IDLE else rows
    active, compute, memory, link = (float(share) for share in fit_curve(pool, idle))
    return PowerCurve(
        loaded_idle=idle,
        active=active,
        compute=compute,
        memory=memory,
        link=link,
        provenance="fitted",
        source="ML.ENERGY",
    )


def predicted_share(shares: Array, loaded_idle: float, rows: Sequence[ServingPower], *, measured_time: bool) -> Array:
    """Power over TDP of `rows` under `shares`, at the measured or the predicted throughput."""
    columns = np.array([r.columns for r in rows])
    if measured_time:
        columns = columns / np.clip([r.time_ratio for r in rows], 0.2, 10.0)[:, None]
    columns[:, 0] = np.minimum(columns[:, 0], 1.0)
    idle = np.maximum(loaded_idle, [r.rest for r in rows])
    out: Array = np.minimum(idle + (1.0 - idle) * (columns @ shares), 1.0)
    return out


def fit_curve(rows: Sequence[ServingPower], loaded_idle: float) -> Array:
    """The four shares that best explain `rows`, groups weighing alike."""
    from scipy.optimize import least_squares

    _, place, counts = np.unique([r.group for r in rows], return_inverse=True, return_counts=True)
    weights = 1.0 / np.sqrt(counts[place])
    measured = np.array([r.watts for r in rows])

    def residuals(shares: Array) -> Array:
        error = np.log(predicted_share(shares, loaded_idle, rows, measured_time=True) / measured) * weights
        return np.append(error, _LINK_PENALTY * shares[3])

    out: Array = least_squares(residuals, [0.2, 1.0, 0.6, 0.1], bounds=_BOUNDS, loss="soft_l1", f_scale=0.1).x
    return out


def _errors(predicted: Array, rows: Sequence[ServingPower]) -> tuple[float, float]:
    error = np.abs(predicted / np.array([r.watts for r in rows]) - 1.0)
    return round(float(np.median(error)), 3), round(float(np.quantile(error, 0.9)), 3)


def curve_entries(rows: Sequence[ServingPower], source: str) -> dict[str, Any]:
    """Constants of every family as their file holds them, with their errors in sample and with each group left out."""
    out = {}
    pools = {family: [r for r in rows if r.family == family] for family in _LOADED_IDLE} | {"gpu": list(rows)}
    for family, pool in pools.items():
        idle = _LOADED_IDLE.get(family, _IDLE)
        shares = fit_curve(pool, idle)
        left = np.empty(len(pool))
        for group in sorted({r.group for r in pool}):
            here = [i for i, r in enumerate(pool) if r.group == group]
            others = fit_curve([r for r in pool if r.group != group], idle)
            left[here] = predicted_share(others, idle, [pool[i] for i in here], measured_time=True)
        inside = _errors(predicted_share(shares, idle, pool, measured_time=True), pool)
        out[family] = {
            "loaded_idle": idle,
            **{name: round(float(v), 3) for name, v in zip(_SHARES, shares, strict=True)},
            "provenance": "fitted",
            "rows": len(pool),
            "median": inside[0],
            "p90": inside[1],
            "left_out_median": _errors(left, pool)[0],
            "left_out_p90": _errors(left, pool)[1],
            "source": source,
        }
    return out

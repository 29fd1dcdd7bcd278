"""Fitting time and power of image and video generation, by family of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.evidence.rows.diffusion import FACTORS, Job, job, mean_watts
from rooflab.evidence.rows.serving import Unsupported

__all__ = ["family_entries", "fit_time", "fit_watts"]

Array = npt.NDArray[np.float64]

_PRIOR: Final = np.array([1.8, 2.5, 20.0, 0.2, 2.0, 0.2, 50.0])
_LEAST: Final = np.array([1.0, 1.0, 0.1, 1e-3, 0.1, 1e-3, 0.1])
_MOST: Final = np.array([20.0, 20.0, 500.0, 5.0, 50.0, 10.0, 5000.0])


def fit_time(terms: Array, seconds: Array) -> Array:
    """Factors of FACTORS that best explain `seconds`, drawn a little towards a prior; those of arithmetic are at least
    1."""
    from scipy.optimize import least_squares

    def residuals(logs: Array) -> Array:
        return np.append(np.log(terms @ np.exp(logs) / seconds), 0.03 * (logs - np.log(_PRIOR)))

    found = least_squares(
        residuals, np.log(_PRIOR), bounds=(np.log(_LEAST), np.log(_MOST)), loss="soft_l1", f_scale=0.2
    )
    out: Array = np.exp(found.x)
    return out


def fit_watts(jobs: Sequence[Job], seconds: Array, watts: Array) -> tuple[float, float]:
    """Slope and exponent of the power law at the measured times."""
    from scipy.optimize import least_squares

    def residuals(v: Array) -> Array:
        predicted = [mean_watts(j, t, (float(v[0]), float(v[1]))) for j, t in zip(jobs, seconds, strict=True)]
        return np.log(np.array(predicted) / watts)

    found = least_squares(residuals, [1.5, 0.5], bounds=([0.1, 0.2], [4.0, 1.0]), loss="soft_l1", f_scale=0.1)
    return float(found.x[0]), float(found.x[1])


def _family(jobs: Sequence[Job], seconds: Array, watts: Array) -> dict[str, Any]:
    terms = np.array([j.terms for j in jobs])
    factors, law = fit_time(terms, seconds), fit_watts(jobs, seconds, watts)
    groups = np.array([j.group for j in jobs])
    left_t, left_w = np.empty(len(jobs)), np.empty(len(jobs))
    for group in np.unique(groups):
        here, rest = np.flatnonzero(groups == group).tolist(), np.flatnonzero(groups != group).tolist()
        left_t[here] = terms[here] @ fit_time(terms[rest], seconds[rest])
        other = fit_watts([jobs[i] for i in rest], seconds[rest], watts[rest])
        left_w[here] = [mean_watts(jobs[i], left_t[i], other) for i in here]
    entry: dict[str, Any] = {name: float(f"{v:.4g}") for name, v in zip(FACTORS, factors, strict=True)}
    entry |= {"watts_slope": round(law[0], 3), "watts_exponent": round(law[1], 3), "rows": len(jobs)}
    errors = (
        ("time", terms @ factors / seconds),
        ("left_out_time", left_t / seconds),
        ("left_out_watts", left_w / watts),
    )
    for name, ratio in (*errors, ("left_out_joules", left_t * left_w / seconds / watts)):
        entry[name] = [round(float(np.quantile(np.abs(ratio - 1.0), q)), 3) for q in (0.5, 0.9)]
    return entry | {"source": "ML.ENERGY leaderboard v3, text to image and video"}


def family_entries(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Constants of every family in the energy rows, as their file holds them."""
    asked = [r for r in rows if r["source"].endswith("v3") and r["task"].startswith("text-to-")]
    values: dict[str, dict[str, float]] = {}
    for row in asked:
        values.setdefault(row["config_id"], {})[row["metric"]] = float(row["value"])
    families: dict[str, list[tuple[Job, float, float]]] = {}
    for config, row in {r["config_id"]: r for r in asked}.items():
        try:
            work = job(row)
        except Unsupported:
            continue
        measured = values[config]
        triple = (work, measured["batch_latency"], measured["avg_power_all_gpus"] / work.machine.count)
        families.setdefault(work.machine.device.family, []).append(triple)
    return {
        family: _family([x[0] for x in found], np.array([x[1] for x in found]), np.array([x[2] for x in found]))
        for family, found in families.items()
    }

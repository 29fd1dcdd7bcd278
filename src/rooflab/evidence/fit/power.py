"""Fits of the power model, run by hand: ``python -m rooflab.evidence.fit.power MEASUREMENTS.csv [OUT.json]``.

Serving: the watts of a configuration are linear in the five shares of a PowerCurve, so each share's column is the power
that the engine predicts with that share alone.  Columns are scaled by measured over predicted throughput, so that the
work a token costs is fitted and not the engine's error in time.  Clocks: each device's law on the series that has it.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.power import ClockLaw, PowerCurve, assumed
from rooflab.errors import RooflabError
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows.energy import OldRuns, question
from rooflab.evidence.rows.energy_series import Series, predict, series_of
from rooflab.evidence.rows.serving import Unsupported
from rooflab.scenario.scenario import Scenario

__all__ = [
    "OldCase",
    "ServingPower",
    "curve_of",
    "fit_clock",
    "fit_curve",
    "fit_old_runs",
    "old_cases",
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
_FLOOR: Final = 0.7
_FLOORS: Final = {"a100-sxm-80gb": 0.75, "a40": 0.6}
"""Voltage floors: for the two cards with rows at locked clocks the best of 0.3 to 0.85; power limits alone do not
tell."""
_CLOCK_NAMES: Final = {
    "p100-pcie": "p100-pcie", "v100-pcie-16gb": "volta", "quadro-rtx-6000": "turing", "a40": "ga102",
    "a100-sxm-80gb": "ampere",
}  # fmt: skip
"""Under which name the law of a measured card is filed: its family's, or that of its chip where the family has several
kinds."""
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


def _old_entry(rows: Sequence[Row]) -> dict[str, Any]:
    """Constants of `energy_rows.OldRuns` as their file holds them, with their errors."""
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


def _curves(rows: Sequence[ServingPower], source: str) -> dict[str, Any]:
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
        print(family, out[family])
    return out


def _series_errors(series: Sequence[Series], law: ClockLaw) -> Array:
    return np.array([np.log(p / m) for s in series for _, _, p, m in predict(s, law)])


def fit_clock(series: Sequence[Series], floor: float, source: str = "") -> ClockLaw:
    """Exponent, scaling and regulation that best explain `series`, for a voltage floor."""
    from scipy.optimize import least_squares

    def law_of(v: Array) -> ClockLaw:
        return ClockLaw(floor, float(v[0]), float(v[1]), float(v[2]), "fitted", source)

    found = least_squares(
        lambda v: _series_errors(series, law_of(v)),
        [1.5, 0.6, 0.95],
        bounds=([0.1, 0.02, 0.85], [4.0, 1.0, 1.05]),
        loss="soft_l1",
        f_scale=0.05,
        diff_step=1e-3,
        max_nfev=15,
    )
    return law_of(found.x)


def _clocks(rows: Sequence[Row], devices: Sequence[str]) -> dict[str, Any]:
    every = list(series_of([r for r in rows if r["source"].startswith(("Zeus", "Perseus"))]))
    out = {}
    for key in devices or sorted({s.machine.device.key for s in every}):
        mine = [s for s in every if s.machine.device.key == key]
        sources = ", ".join(sorted({s.group.split("/")[0] for s in mine}))
        floor = _FLOORS.get(key, _FLOOR)
        law = fit_clock(mine, floor, sources)
        errors = np.abs(np.expm1(_series_errors(mine, law)))
        left = [
            np.abs(
                np.expm1(
                    _series_errors(
                        [s for s in mine if s.group == g], fit_clock([s for s in mine if s.group != g], floor)
                    )
                )
            )
            for g in sorted({s.group for s in mine})
        ]
        out[key] = {
            "floor": floor,
            **{n: round(getattr(law, n), 3) for n in ("exponent", "scaling", "regulation")},
            "provenance": "fitted",
            "rows": len(errors),
            "median": round(float(np.median(errors)), 3),
            "p90": round(float(np.quantile(errors, 0.9)), 3),
            "left_out_median": round(float(np.median(np.concatenate(left))), 3),
            "left_out_p90": round(float(np.quantile(np.concatenate(left), 0.9)), 3),
            "source": sources,
        }
        print(key, out[key], flush=True)
    return out


def main(arguments: Sequence[str]) -> None:
    """Fit the constants to the rows of a file; print the errors, and with a second argument renew that file of
    constants.

    A third argument names one part: "curves", "clocks" or "old_runs".
    """
    with Path(arguments[0]).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parts = arguments[2:] or ["old_runs", "curves", "clocks"]
    raw = (
        json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
        if len(arguments) > 1
        else {"curves": {}, "clocks": {}}
    )
    if "old_runs" in parts:
        raw["old_runs"] = _old_entry(rows)
        print(raw["old_runs"], flush=True)
    if "curves" in parts:
        raw["curves"] |= _curves(serving_power(rows), "ML.ENERGY leaderboards v2 and v3, GPU power by NVML")
    if "clocks" in parts:
        raw["clocks"] |= {_CLOCK_NAMES[key]: law for key, law in _clocks(rows, []).items()}
    if len(arguments) > 1:
        Path(arguments[1]).write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

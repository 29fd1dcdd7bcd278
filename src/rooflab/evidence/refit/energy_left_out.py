"""Energy rows of ML.ENERGY predicted by constants that saw no row of the same model on the same accelerator.

The runs of the leaderboard are in two tables: pace in that of serving, joules and watts in that of energy.  A joule a
token is a power over a pace, so what is left out together is a model on an accelerator in both: constants of the engine
and its host come from serving rows without it, shares of power (`power_fit`) and what the old leaderboard adds
(`OldRuns`) from energy rows without it.  `rooflab.evidence.refit.serving --held-out HELD.csv --energy ENERGY.csv`
writes these predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.costs.power import assumed
from rooflab.evidence.fit import power as power_fit
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.rows.energy import METRICS, question, serving_answers
from rooflab.evidence.rows.serving import Unsupported

__all__ = ["Without", "energy_left_out"]

Row = Mapping[str, str]
Place = tuple[str, str]
"""Name of a model and key of a device."""


class Without(Protocol):
    """A trained calibration with the constants that come out when a group (source, model, accelerator) is left out."""

    def __call__(self, group: tuple[str, str, str], *, table: ServingCalibration) -> ServingCalibration:
        """`table` with what was fitted without `group`."""


def energy_left_out(
    rows: Sequence[Row], fitted: Sequence[FitRow], table: ServingCalibration, without: Without
) -> dict[str, float]:
    """Held-out predictions by row id, in the rows' units.

    `fitted`: the serving rows behind `table`; `without` yields the table without a group of them.
    """
    places = _places(rows)
    groups: dict[Place, set[tuple[str, str, str]]] = {}
    for r in fitted:
        if r.source.startswith("ML.ENERGY"):
            s = r.question.scenarios[0]
            groups.setdefault((s.model.name, s.hardware.device.key), set()).add(r.group)
    with using(table):
        power, old = power_fit.serving_power(rows), power_fit.old_cases(rows)
    out: dict[str, float] = {}
    for (model, device), (family, mine) in sorted(places.items()):
        calibration = table
        for group in sorted(groups.get((model, device), ())):
            calibration = without(group, table=calibration)
        curve = power_fit.curve_of([p for p in power if not p.group.startswith(f"{model}/{device}/")], family)
        runs = (
            power_fit.fit_old_runs([c for c in old if c.model != model])
            if any(r["source"].endswith("v2") for r in mine)
            else None
        )
        with using(calibration), assumed(curve):
            out |= {a.id: a.predicted for a, reason in serving_answers(mine, runs) if not reason}
    return out


def _places(rows: Sequence[Row]) -> dict[Place, tuple[str, list[Row]]]:
    """Serving rows of ML.ENERGY by model and device, with the device's family."""
    found: dict[Place, tuple[str, list[Row]]] = {}
    for row in rows:
        if row["source"].startswith("ML.ENERGY") and row["metric"] in METRICS and row["max_num_seqs"].strip():
            try:
                s = question(row)
            except Unsupported:
                continue
            device = s.hardware.device
            found.setdefault((s.model.name, device.key), (device.family, []))[1].append(row)
    return found

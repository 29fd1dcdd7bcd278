"""Fitting how a card's speed and power follow its clock, on series of training runs under limits and locked clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.power import ClockLaw
from rooflab.evidence.rows.energy_series import Series, predict, series_of

__all__ = ["clock_entries", "fit_clock"]

Array = npt.NDArray[np.float64]
Row = Mapping[str, str]

_FLOOR: Final = 0.7
_FLOORS: Final = {"a100-sxm-80gb": 0.75, "a40": 0.6}
"""Voltage floors: for the two cards with rows at locked clocks the best of 0.3 to 0.85; power limits alone do not
tell."""
_FILED_AS: Final = {
    "p100-pcie": "p100-pcie", "v100-pcie-16gb": "volta", "quadro-rtx-6000": "turing", "a40": "ga102",
    "a100-sxm-80gb": "ampere",
}  # fmt: skip
"""Under which name the law of a measured card is filed: its family's, or that of its chip where the family has several
kinds."""


def _errors(series: Sequence[Series], law: ClockLaw) -> Array:
    return np.array([np.log(p / m) for s in series for _, _, p, m in predict(s, law)])


def fit_clock(series: Sequence[Series], floor: float, source: str = "") -> ClockLaw:
    """Exponent, scaling and regulation that best explain `series`, for a voltage floor."""
    from scipy.optimize import least_squares

    def law_of(v: Array) -> ClockLaw:
        return ClockLaw(floor, float(v[0]), float(v[1]), float(v[2]), "fitted", source)

    found = least_squares(
        lambda v: _errors(series, law_of(v)),
        [1.5, 0.6, 0.95],
        bounds=([0.1, 0.02, 0.85], [4.0, 1.0, 1.05]),
        loss="soft_l1",
        f_scale=0.05,
        diff_step=1e-3,
        max_nfev=15,
    )
    return law_of(found.x)


def clock_entries(rows: Sequence[Row]) -> dict[str, Any]:
    """Laws of every measured card as their file holds them, with their errors in sample and with each series left
    out."""
    every = list(series_of([r for r in rows if r["source"].startswith(("Zeus", "Perseus"))]))
    out = {}
    for key in sorted({s.machine.device.key for s in every}):
        mine = [s for s in every if s.machine.device.key == key]
        sources = ", ".join(sorted({s.group.split("/")[0] for s in mine}))
        floor = _FLOORS.get(key, _FLOOR)
        law = fit_clock(mine, floor, sources)
        errors = np.abs(np.expm1(_errors(mine, law)))
        left = [
            np.abs(
                np.expm1(
                    _errors([s for s in mine if s.group == g], fit_clock([s for s in mine if s.group != g], floor))
                )
            )
            for g in sorted({s.group for s in mine})
        ]
        out[_FILED_AS[key]] = {
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
    return out

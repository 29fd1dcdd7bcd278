"""Predictions of rows whose whole source, whole accelerator or whole model took no part in the fit.

Harder than leaving out one group of a source: nothing of the same client, host or recipe is left (by source), nothing
of the device (by device), nothing of any model of the same shape, whatever it was tuned for (by model).  The constants
of every engine, device family and host that the left-out rows had a part in are fitted anew, under priors that know
none of them (only the search begins near the shipped ones); the others stand as shipped, since the left-out rows never
touched them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from rooflab.costs.engine_constants import ServingCalibration, active, era, using
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.intervals.likeness import key_of
from rooflab.evidence.refit.serving.train import train
from rooflab.evidence.rows.predict import predict
from rooflab.scenario.scenario import Scenario

__all__ = ["left_out"]

_FEWEST: Final = 8


def left_out(rows: Sequence[FitRow], by: str) -> dict[str, Callable[[], Mapping[str, float]]]:
    """For each source, device or model's shape (by name) of enough rows, what predicts them by a fit to all others: by
    row id."""
    named = [_NAMES[by](row) for row in rows]
    return {
        name: partial(_predicted, rows, named, name)
        for name in sorted(set(named))
        if sum(n == name for n in named) >= _FEWEST
    }


def _predicted(rows: Sequence[FitRow], named: Sequence[str], name: str) -> dict[str, float]:
    inside = [r for r, n in zip(rows, named, strict=True) if n == name]
    engines, families = {_engine(r) for r in inside}, {_family(r) for r in inside}
    others = [
        r for r, n in zip(rows, named, strict=True) if n != name and (_engine(r) in engines or _family(r) in families)
    ]
    slow = any(_scenario(r).deployment.runtime.host == "slow" for r in inside)
    shipped = active()
    with using(_without(shipped, engines, families, slow)):
        table = train(others, "", near=shipped).table
    with using(table):
        values = predict([r.question for r in inside])
    return {r.question.id: float(v) for r, v in zip(inside, values, strict=True) if np.isfinite(v) and v > 0}


def _scenario(row: FitRow) -> Scenario:
    return row.question.scenarios[0]


def _shape(row: FitRow) -> str:
    s = _scenario(row)
    return key_of(s.model, s.hardware.device, s.deployment).shape


_NAMES: Final[Mapping[str, Callable[[FitRow], str]]] = {
    "source": lambda row: row.source,
    "device": lambda row: _scenario(row).hardware.device.key,
    "model": _shape,
}


def _engine(row: FitRow) -> str:
    d = _scenario(row).deployment
    return f"{d.runtime.engine}@{era(d.runtime.engine, d.runtime.engine_version)}"


def _family(row: FitRow) -> str:
    return _scenario(row).hardware.device.family


def _without(table: ServingCalibration, engines: set[str], families: set[str], slow: bool) -> ServingCalibration:
    """A calibration without what was fitted for `engines` (name@generation), device `families` and, if `slow`, slow
    hosts."""
    return replace(
        table,
        slow_host=ServingCalibration(name="").slow_host if slow else table.slow_host,
        engines={k: e for k, e in table.engines.items() if k.split("/")[0] not in engines or e.provenance != "fitted"},
        devices={
            k: d for k, d in table.devices.items() if k.partition("@")[0] not in families or d.provenance != "fitted"
        },
    )

"""Engine constants that the rows of one source had no part in, from `fits/left-out.json`."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import resources

from rooflab.costs.engine_constants import EngineOverhead, ServingCalibration, active
from rooflab.costs.user_kernels_file import checked
from rooflab.errors import unknown

__all__ = ["without_source"]


def without_source(source: str) -> ServingCalibration:
    """The calibration in force, with constants fitted without the rows of `source` in the place of those that they had
    a part in. Raises InputError for a source that no such fit was made for."""
    fits = _fits()
    if source not in fits:
        raise unknown("fit without a source", source, fits)
    table = active()
    return replace(table, engines={**table.engines, **fits[source]})


@cache
def _fits() -> dict[str, dict[str, EngineOverhead]]:
    """Engine constants by the source that was left out."""
    text = resources.files("rooflab.costs").joinpath("fits/left-out.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, EngineOverhead]] = {}
    for source, own in json.loads(text)["sources"].items():
        found[source] = {k: EngineOverhead(**checked(EngineOverhead, v, f"{source}: {k}")) for k, v in own.items()}
    return found

"""What reading a narrow cache costs the vector units, from `fits/unpacking.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from rooflab.errors import unknown

__all__ = ["unpacking", "unpacking_ops"]


def unpacking_ops(cache_format: str) -> float:
    """fp32 operations that decode attention spends on an element of a cache in this format and a query head.

    Raises InputError for a format whose kernel was not timed.
    """
    fits = unpacking()
    if cache_format not in fits:
        raise unknown("timed cache format", cache_format, fits)
    return float(fits[cache_format]["ops"])


@cache
def unpacking() -> Mapping[str, Mapping[str, Any]]:
    """Fits by format of the cache: `ops`, and the `rows` (context and milliseconds of a layer) that they come from."""
    text = resources.files("rooflab.costs").joinpath("fits/unpacking.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)["kernels"]
    return found

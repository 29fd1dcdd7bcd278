"""What an engine does under a load: the columns that every way of arriving hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepResult

__all__ = ["STATS", "Outcome", "joined"]

Array = npt.NDArray[np.float64]

STATS: Final = ("mean", "p50", "p90", "p99")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Per engine: sequences running and in flight, requests/s, latencies by statistic, mean step's work, energy and
    bound.

    `tpot_s` is per request (its mean gap), `itl_s` per token: the distribution of single gaps.
    """

    running: Array
    requests_per_s: Array
    ttft_s: dict[str, Array]
    tpot_s: dict[str, Array]
    e2e_s: dict[str, Array]
    itl_s: dict[str, Array]
    power_w: Array
    parts: StepResult
    step_s: Array
    bound_s: Array
    utilisation: Array
    saturated: npt.NDArray[np.bool_]
    waves: Array


def joined(parts: list[tuple[npt.NDArray[np.bool_], Outcome]], n: int) -> Outcome:
    """One outcome from those of disjoint masks."""
    if len(parts) == 1:
        return parts[0][1]

    def join(values: list[Any]) -> Any:
        first = values[0]
        if isinstance(first, dict):
            return {k: join([v[k] for v in values]) for k in first}
        if isinstance(first, tuple):
            return type(first)(*(join(list(column)) for column in zip(*values, strict=True)))
        out = np.empty(n, dtype=first.dtype)
        for (mask, _), v in zip(parts, values, strict=True):
            out[mask] = v
        return out

    return Outcome(**{f: join([getattr(o, f) for _, o in parts]) for f in Outcome.__dataclass_fields__})

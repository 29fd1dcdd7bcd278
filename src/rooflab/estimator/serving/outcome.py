"""What an engine does under a load: the columns that every way of arriving hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepResult

__all__ = ["STATS", "Outcome"]

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

"""What a plan looks for: metrics with a better direction, and how ties are broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.metrics.registry import METRICS

__all__ = ["OBJECTIVES", "Objective", "objective"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric, its name for people and its unit; the registry says whether more of it is better."""

    metric: str
    title: str
    unit: str

    @property
    def more_is_better(self) -> bool:
        """Whether it is to be maximised."""
        return METRICS[self.metric].better == "higher"

    def cost(self, values: Array) -> Array:
        """`values` so that less is better; what is not a number is worst."""
        signed = -values if self.more_is_better else values
        return np.where(np.isnan(signed), np.inf, signed)

    def worse_by(self, value: float, best: float) -> float:
        """How much worse `value` is than `best`, as a fraction of `best`."""
        return (best - value) / best if self.more_is_better else (value - best) / best


_LATENCIES: Final = tuple(
    Objective(f"{name}_s_{stat}", f"{name.upper() if name != 'e2e' else 'end-to-end'} {stat}", "s")
    for name in ("ttft", "tpot", "e2e")
    for stat in ("mean", "p50", "p90", "p99")
)
OBJECTIVES: Final = {
    o.metric: o
    for o in (
        Objective("usd_per_mtok", "cost", "$/Mtok"),
        Objective("output_tokens_per_s_per_gpu", "throughput per GPU", "tok/s/GPU"),
        Objective("total_tokens_per_s_per_gpu", "total throughput per GPU", "tok/s/GPU"),
        Objective("requests_per_s_per_gpu", "requests per GPU", "requests/s/GPU"),
        Objective("output_tokens_per_s", "throughput", "tok/s"),
        Objective("requests_per_s", "requests", "requests/s"),
        *_LATENCIES,
        Objective("j_per_token", "energy", "J/token"),
        Objective("gco2e_per_mtok", "carbon", "gCO2e/Mtok"),
        Objective("power_w", "power", "W"),
        Objective("devices", "devices", "devices"),
        Objective("usd_per_hour", "cost", "$/h"),
    )
}
"""Objectives by metric."""
_ALIASES: Final = {
    "cost": "usd_per_mtok", "throughput": "output_tokens_per_s_per_gpu", "latency": "tpot_s_p99",
    "energy": "j_per_token",
    "carbon": "gco2e_per_mtok", "gpus": "devices", "ttft": "ttft_s_p99", "tpot": "tpot_s_p99", "e2e": "e2e_s_p99",
    "ttft_p99_s": "ttft_s_p99", "tpot_p99_s": "tpot_s_p99", "e2e_p99_s": "e2e_s_p99",
}  # fmt: skip


def objective(minimise: str | None, maximise: str | None, *, priced: bool, generates: bool) -> Objective:
    """The objective asked for; by default cost a million tokens, or throughput per GPU where the device has no price.

    Raises InputError for two objectives, an unknown one, a wrong direction, or cost without a price.
    """
    if minimise and maximise:
        raise InputError("minimise and maximise exclude each other; keep one", "minimise")
    if not minimise and not maximise:
        rate = "output_tokens_per_s_per_gpu" if generates else "requests_per_s_per_gpu"
        return OBJECTIVES["usd_per_mtok" if priced else rate]
    where = "minimise" if minimise else "maximise"
    name = minimise or maximise or ""
    key = _ALIASES.get(name, name)
    if key not in OBJECTIVES:
        raise unknown("objective", name, [*OBJECTIVES, *_ALIASES], where)
    found = OBJECTIVES[key]
    if found.more_is_better != bool(maximise):
        raise InputError(f"{name} is better when {'larger' if found.more_is_better else 'smaller'}; ask to "
                         f"{'maximise' if found.more_is_better else 'minimise'} it", where)  # fmt: skip
    if key.startswith("usd") and not priced:
        raise InputError(
            "no price of this device is known; give hardware.price in USD per device-hour, or ask for another "
            "objective",
            where,
        )
    return found

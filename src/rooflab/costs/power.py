"""Power from utilisation, and what a power limit or a lower clock does to it.

    P = idle + (TDP − idle) · (c · achieved FLOP/s / peak + m · achieved bytes/s / BW),  at most the power limit

so a FLOP costs c·(TDP − idle)/peak joules and a byte m·(TDP − idle)/BW beyond idle.  A lower clock scales
arithmetic with f and, since voltage falls with it, its energy a FLOP with f^1.4 (DVFS); memory is untouched.
A power limit L is met by the clock f at which the dynamic part fits: f = ((L − idle)/(TDP − idle))^(1/2.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rooflab.scenario.hardware import Hardware

__all__ = ["POWER", "PowerCurve", "clock_of", "power_curve"]

_ENERGY_EXPONENT: Final = 1.4
"""Joules a FLOP against clock, assumed: between f (voltage floor) and f^2 (voltage proportional to clock)."""


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """Shares of (TDP − idle) drawn at full datasheet arithmetic (`compute`), bandwidth (`memory`) and link rate (`link`)."""

    compute: float
    memory: float
    link: float
    provenance: str
    source: str


POWER: Final = {
    "gpu": PowerCurve(
        1.15,
        0.70,
        0.05,
        "assumed",
        "large GEMMs (about 0.75 of peak) and mixed prefill meet the TDP; decode at 0.75 of bandwidth draws about 60 %",
    ),
    "other": PowerCurve(1.0, 0.5, 0.0, "assumed", "full arithmetic draws the TDP, full bandwidth half of it"),
}


def power_curve(hardware: Hardware) -> PowerCurve:
    """The power constants of a device's kind."""
    return POWER["gpu" if hardware.device.kind in ("gpu", "npu", "tpu") else "other"]


def clock_of(hardware: Hardware) -> float:
    """Share of the full clock that arithmetic runs at, from the hardware's `clock` and `power_limit_w`."""
    device, limit = hardware.device, hardware.power_limit_w
    if limit is None or limit >= device.tdp_w:
        return hardware.clock
    room = max(limit - device.idle_w, 0.02 * (device.tdp_w - device.idle_w)) / (device.tdp_w - device.idle_w)
    return min(hardware.clock, float(room ** (1.0 / (1.0 + _ENERGY_EXPONENT))))


def energy_factor(clock: float) -> float:
    """Joules a FLOP at `clock` over those at the full clock."""
    return float(clock**_ENERGY_EXPONENT)

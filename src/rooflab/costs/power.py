"""Power from utilisation, and what a power limit or a lower clock does to time and energy.

    P = I + active · R · busy + R · (c · FLOP/s / peak + m · bytes/s / BW + l · link bytes/s / link rate),   R = TDP − I

I is the loaded idle: clocks up and a process resident, well above the device at rest.  A kernel that runs draws
`active` of the room R whatever it does; on top, a FLOP costs c·R/peak joules and a byte m·R/BW.  All are shares, fitted
by family, so a device without measurements takes its family's (or that of all GPUs) on its own datasheet.

A lower clock f (share of the boost clock) scales arithmetic with f; energy a FLOP falls with the voltage, which falls
with the clock down to a floor:

    t(f) = t(1) · (s/f + 1 − s),      E(f) = E(1) · max(f, floor)^exponent,      memory untouched

A power limit is met by the highest clock at which the work at hand draws no more than the limit; work that draws less
is not slowed.  Times at the full clock were measured under the TDP, so what a kernel may draw there is the TDP.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.scenario.hardware import Device, Hardware
from rooflab.search.highest import Bracket, arithmetic, narrow

__all__ = [
    "CLOCKS", "ClockLaw", "PowerCurve", "allowed", "assumed", "capped_job", "clock_law", "limit_w", "loaded_idle_w",
    "power_curve", "throttle", "using_curves",
]  # fmt: skip

Array = npt.NDArray[np.float64]

CLOCKS: Final[Array] = np.concatenate([np.linspace(1.0, 0.3, 29), [0.2, 0.1]])
"""Clocks that are tried to meet a power limit, as shares of the clock that is set."""

_LOWEST_CLOCK: Final = 0.05
"""Below this share of the boost clock no device runs; what still draws too much is stretched in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCurve:
    """Shares: `loaded_idle` of the TDP; of the room above it `active` while kernels run, `compute`, `memory`, `link` at
    datasheet rates."""

    loaded_idle: float
    active: float
    compute: float
    memory: float
    link: float
    provenance: str
    source: str


@dataclass(frozen=True, slots=True)
class ClockLaw:
    """How a device answers to its clock.

    `floor`: share of the boost clock below which the voltage stays; `exponent` of the energy a FLOP above it;
    `scaling`: share of a whole job's time at the full clock that scales with the clock (a job known only by its power);
    `regulation`: mean power over limit when a limit binds.
    """

    floor: float
    exponent: float
    scaling: float
    regulation: float
    provenance: str
    source: str

    def energy(self, clock: Array | float) -> Array:
        """Joules a FLOP at `clock` over those at the full clock."""
        out: Array = np.maximum(clock, self.floor) ** self.exponent
        return out


@cache
def _file() -> Mapping[str, Any]:
    raw: Mapping[str, Any] = json.loads(resources.files("rooflab.costs").joinpath("fits/power.json").read_text("utf-8"))
    return raw


_ASSUMED: ContextVar[tuple[PowerCurve | None, ClockLaw | None]] = ContextVar("rooflab_power", default=(None, None))


@contextmanager
def assumed(curve: PowerCurve | None = None, law: ClockLaw | None = None) -> Iterator[None]:
    """Price every device with `curve` and `law` instead of the shipped ones (fits, sensitivity)."""
    token = _ASSUMED.set((curve, law))
    try:
        yield
    finally:
        _ASSUMED.reset(token)


_OWN: ContextVar[Mapping[str, PowerCurve] | None] = ContextVar("rooflab_own_power", default=None)


@contextmanager
def using_curves(curves: Mapping[str, PowerCurve]) -> Iterator[None]:
    """Price the devices whose keys `curves` has with them instead of the shipped ones (a user's calibration)."""
    token = _OWN.set(curves)
    try:
        yield
    finally:
        _OWN.reset(token)


def _entry(table: str, device: Device) -> Mapping[str, Any]:
    """The constants of a device: its own, its family's, or its kind's."""
    entries = _file()[table]
    kind = "gpu" if device.kind in ("gpu", "npu", "tpu") else "other"
    alias = _file()["same_as"].get(device.key, device.key)
    found: Mapping[str, Any] = entries.get(alias) or entries.get(device.family) or entries[kind]
    return found


def power_curve(hardware: Hardware) -> PowerCurve:
    """The power constants of a device: the user's own, those of its family, else of its kind."""
    chosen = _ASSUMED.get()[0] or (_OWN.get() or {}).get(hardware.device.key)
    entry = _entry("curves", hardware.device)
    return chosen or PowerCurve(**{f.name: entry[f.name] for f in fields(PowerCurve)})


def clock_law(device: Device) -> ClockLaw:
    """How `device` answers to its clock."""
    chosen = _ASSUMED.get()[1]
    entry = _entry("clocks", device)
    return chosen or ClockLaw(**{f.name: entry[f.name] for f in fields(ClockLaw)})


def limit_w(hardware: Hardware) -> float:
    """What one device may draw: its power limit, at most the TDP."""
    tdp_w = hardware.device.tdp_w
    return tdp_w if hardware.power_limit_w is None else min(tdp_w, hardware.power_limit_w)


def loaded_idle_w(hardware: Hardware) -> float:
    """Power of one device with a process resident and no kernel running, W: below any limit, never below rest."""
    device = hardware.device
    loaded = max(power_curve(hardware).loaded_idle * device.tdp_w, device.idle_w)
    # under a low limit the clocks of the idle device fall too
    return max(min(loaded, 0.5 * (device.idle_w + limit_w(hardware))), min(device.idle_w, limit_w(hardware)))


def allowed(seconds: Array, joules: Array, full_room_w: float) -> Array:
    """Dynamic joules that work draws at the full clock, over the sum of its parts: its time was measured under the
    TDP."""
    out: Array = np.minimum(1.0, full_room_w * seconds / np.maximum(joules, 1e-30))
    return out


def throttle(seconds: Array, joules: Array, room_w: float) -> tuple[Array, Array]:
    """Seconds and dynamic joules of work under a power limit that leaves `room_w` beyond idle.

    `seconds`, `joules`: at each of CLOCKS (axis 0, the highest clock first), any further shape.  Work takes the highest
    clock that fits, on a straight line between two of CLOCKS; where none fits, it is stretched.
    """
    watts = joules / np.maximum(seconds, 1e-30)
    below = watts <= room_w * (1 + 1e-12)
    low = np.where(below.any(axis=0), below.argmax(axis=0), len(watts) - 1)
    high = np.maximum(low - 1, 0)

    def at(values: Array, index: Any) -> Array:
        out: Array = np.take_along_axis(values, index[None], axis=0)[0]
        return out

    gap = np.maximum(at(watts, high) - at(watts, low), 1e-30)
    share = np.where(low > 0, np.clip((at(watts, high) - room_w) / gap, 0.0, 1.0), 0.0)
    t = at(seconds, high) + share * (at(seconds, low) - at(seconds, high))
    j = at(joules, high) + share * (at(joules, low) - at(joules, high))
    return np.maximum(t, j / max(room_w, 1e-9)), j


def capped_job(
    law: ClockLaw,
    idle_w: float,
    *,
    power_w: float,
    limit_w: float = np.inf,
    clock: float = 1.0,
    from_clock: float = 1.0,
) -> tuple[float, float]:
    """Time and mean power of a whole job under a limit or a locked clock, from its `power_w` at `from_clock` without a
    limit.

    Returns (time over time at `from_clock`, W).  The share of its time that scales with the clock is the law's.
    """
    dynamic_w = max(power_w - idle_w, 0.0)

    def stretch(f: float) -> float:
        return (law.scaling / f + 1.0 - law.scaling) / (law.scaling / from_clock + 1.0 - law.scaling)

    def work(f: float) -> float:
        return dynamic_w * float(law.energy(f) / law.energy(from_clock))

    def within(f: float) -> bool:
        return work(f) / stretch(f) <= room_w

    room_w = max(law.regulation * limit_w - idle_w, 1e-3 * limit_w)
    at = min(clock, 1.0)
    if not within(at):
        at = narrow(within, Bracket(_LOWEST_CLOCK, at, arithmetic), calls=50).holds
    time = max(stretch(at), work(at) / room_w)
    return time, min(idle_w + work(at) / time, max(limit_w, idle_w))

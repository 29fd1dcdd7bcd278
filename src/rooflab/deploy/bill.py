"""What a deployment costs: money by the device-hour, carbon by the kilowatt-hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rooflab.catalogue.prices import price
from rooflab.errors import InputError
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.paid import paid

__all__ = ["Bill", "Upkeep", "bill", "upkeep"]


@dataclass(frozen=True, slots=True)
class Bill:
    """USD a device-hour (NaN when nobody asks a price), host watts a device, PUE, gCO2e a kWh, and where the price
    comes from."""

    usd_per_device_hour: float
    host_w_per_device: float
    pue: float
    gco2e_per_kwh: float
    price_source: str


def bill(hardware: Hardware) -> Bill:
    """The bill of `hardware`: its own price if it has one, else the catalogue's."""
    usd, source = hardware.usd_per_device_hour, "given with the hardware"
    if usd is None:
        try:
            found = price(hardware.device.key)
        except InputError:  # a device written out in the scenario has no entry in the catalogue
            found = None
        usd, source = (found.usd_per_device_hour, found.source) if found else (float("nan"), "no price known")
    host_w = hardware.host_power_w / hardware.devices_per_host * paid().idle_power
    return Bill(usd, host_w, hardware.pue, hardware.gco2e_per_kwh, source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What all devices of a deployment cost together: USD an hour, watts of their hosts, PUE and gCO2e a kWh; NaN what
    is not known."""

    usd_per_hour: float = float("nan")
    host_w: float = float("nan")
    pue: float = float("nan")
    gco2e_per_kwh: float = float("nan")


def upkeep(parts: Sequence[tuple[Bill, float]]) -> Upkeep:
    """The upkeep of several kinds of devices, each with its number; PUE and grid are means over devices."""
    devices = sum(n for _, n in parts)
    return Upkeep(
        usd_per_hour=sum(b.usd_per_device_hour * n for b, n in parts),
        host_w=sum(b.host_w_per_device * n for b, n in parts),
        pue=sum(b.pue * n for b, n in parts) / devices,
        gco2e_per_kwh=sum(b.gco2e_per_kwh * n for b, n in parts) / devices,
    )

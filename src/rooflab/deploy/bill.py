"""What a deployment costs: money by the device-hour, carbon by the kilowatt-hour."""

from __future__ import annotations

from dataclasses import dataclass

from rooflab.catalogue.prices import price
from rooflab.errors import InputError
from rooflab.scenario.hardware import Hardware

__all__ = ["Bill", "bill"]


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
    return Bill(usd, hardware.host_power_w / hardware.devices_per_host, hardware.pue, hardware.gco2e_per_kwh, source)

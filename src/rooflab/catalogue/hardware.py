"""Hardware from what a person writes: "8 x h100-sxm", "2 x dgx-h100", "gb200-nvl72", or a mapping with the same facts
spelled out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rooflab import units
from rooflab.catalogue.custom import custom_device, linked, read_tiers
from rooflab.catalogue.devices import device, device_key, known, list_devices
from rooflab.catalogue.grid import grid, pue
from rooflab.catalogue.hosts import Host, host, host_key, usual_host
from rooflab.catalogue.links import link, network, reach
from rooflab.catalogue.prices import TIERS, price
from rooflab.errors import InputError, nearest, unknown
from rooflab.scenario.exact import given_as, read_exact
from rooflab.scenario.hardware import Device, Hardware, Tier

__all__ = ["device", "device_key", "hardware", "list_devices"]

KEYS = (
    "device", "count", "host", "devices_per_host", "network", "scale_up", "power_limit", "clock", "price", "pue",
    "grid", "tiers",
)  # fmt: skip

_COUNT_FIRST = re.compile(r"^\s*(\d+)\s*[x×*]\s*(\S.*)$", re.IGNORECASE)
_COUNT_LAST = re.compile(r"^(.*\S)\s+[x×*]\s*(\d+)\s*$", re.IGNORECASE)
_SOCKETS = re.compile(r"\b(?:dual|two|2)[- ]?sockets?\b|\bdual\b|\b2[sp]\b", re.IGNORECASE)
_SOCKET_LINK = "socket-to-socket"
# Sequential read of a common PCIe 4 or 5 drive is `nvme-gen4-x4` of the link list; hosts here are fitted with that.
_NVME = "nvme-gen4-x4"
_IN_A_DATA_CENTRE_NOT = frozenset({"desktop", "machine", "board", "workstation-4090", "dgx-spark"})


def hardware(spec: object, where: str = "hardware") -> Hardware:
    """`spec` as Hardware: devices, the hosts they sit in, and what is known about price, power and carbon.

    `spec` is a string ("h200", "8 x h100-sxm", "16xH200", a host name, "2 x dgx-h100"), a mapping of KEYS,
    ``{exact: {...}}`` with the figures themselves (`rooflab.scenario.exact`), or a Hardware already.  What is not given
    follows the usual host of the device; `sources` of the result says where each such figure comes from.  Raises
    InputError that names the field, the value and the nearest valid ones.
    """
    if isinstance(spec, Hardware):
        return spec
    if isinstance(spec, str):
        return _from_text(spec, where)
    if isinstance(spec, Mapping):
        if spec.keys() == {"exact"}:
            return read_exact(Hardware, spec["exact"], f"{where}.exact")
        return given_as(_from_mapping(spec, where), deepcopy(dict(spec)))
    raise InputError(f"{spec!r} is not hardware (for example 8 x h100-sxm)", where)


@lru_cache(maxsize=4096)
def _from_text(text: str, where: str) -> Hardware:
    if not text.strip():
        raise InputError("is empty (for example 8 x h100-sxm)", where)
    count, name = _split_count(text, where)
    key = host_key(name)
    if key is not None:
        box = host(key)
        inside = device(box.device) if box.device else _no_device(name, where)
        return given_as(_assemble(inside, (count or 1) * box.devices, box), text)
    if (two := _two_sockets(name, count or 1, where)) is not None:
        return given_as(two, text)
    try:
        found = device(name, where)
    except InputError as error:
        raise _with_hosts(error, name, where) from None
    return given_as(_assemble(found, count or 1, usual_host(found, count or 1)), text)


def _two_sockets(name: str, count: int, where: str) -> Hardware | None:
    """`count` hosts of two processors each, where `name` says so ("dual EPYC 9654", "Xeon 8480 2S")."""
    one = _SOCKETS.sub(" ", name).strip()
    if one == name or not one:
        return None
    try:
        found = device(one, where)
    except InputError:
        return None
    if found.kind != "cpu":
        return None
    sources = {**found.sources, "scale_up": "two sockets of a host"}
    joined = replace(found, scale_up=link(_SOCKET_LINK), sources=sources)
    return replace(_assemble(joined, 2 * count, usual_host(found, 2 * count)), devices_per_host=2)


def _split_count(text: str, where: str) -> tuple[int | None, str]:
    first = _COUNT_FIRST.match(text)
    last = None if first else _COUNT_LAST.match(text)
    count, name = (int(first[1]), first[2]) if first else (int(last[2]), last[1]) if last else (None, text)
    if count == 0:
        raise InputError(f"{text!r}: the count must be at least 1", where)
    return count, name.strip()


def _no_device(name: str, where: str) -> Device:
    raise InputError(f"{name!r} is a host without a device of its own; write {{device: ..., host: {name}}}", where)


def _with_hosts(error: InputError, name: str, where: str) -> InputError:
    """The error of an unknown device, replaced when a host's name is much nearer."""
    from rooflab.catalogue._data import load

    close = nearest(name, load("hosts")["hosts"], n=1)
    if close and close[0].split("-")[0] == name.lower().split("-")[0] and name.lower().split("-")[0] in {"dgx", "hgx"}:
        return unknown("accelerator or host", name, load("hosts")["hosts"], where)
    return error


def _assemble(found: Device, count: int, box: Host) -> Hardware:
    """`count` devices in hosts like `box`, with every default of the catalogue."""
    if min(count, box.devices) > reach(found.scale_up.key):
        # A bridge joins two or four cards; more of them talk at the rate of the slowest hop, PCIe between bridged
        # groups.
        found = replace(
            found,
            scale_up=found.host_link,
            sources={**found.sources, "scale_up": f"{found.scale_up.key} joins fewer cards; PCIe"},
        )
    asked = price(found.key) if known(found) else None
    outside = box.key in _IN_A_DATA_CENTRE_NOT
    ratio, ratio_source = (1.0, "no data centre around it (assumed)") if outside else pue()
    carbon, carbon_source = grid()
    sources = {
        "pue": ratio_source,
        "gco2e_per_kwh": f"{carbon_source} (assumed, no region given)",
        "host": f"usual host: {box.name}",
    }
    if asked is not None:
        sources["usd_per_device_hour"] = f"{asked.provider} {asked.date}: {asked.source}".replace(" :", ":")
    return Hardware(
        device=found,
        count=count,
        devices_per_host=box.devices,
        network=box.network,
        host=box.key,
        host_power_w=box.overhead_w,
        host_memory_bytes=box.memory_bytes,
        host_memory_bytes_per_s=box.memory_bytes_per_s,
        tiers=_tiers(found, box),
        pue=ratio,
        gco2e_per_kwh=carbon,
        usd_per_device_hour=asked.usd_per_device_hour if asked else None,
        sources=sources,
    )


def _tiers(found: Device, box: Host) -> tuple[Tier, ...]:
    """One device's share of the host's DRAM and drives; memory shared with the host is no tier of its own."""
    path = found.host_link.bytes_per_s
    tiers = []
    if box.memory_bytes and found.host_link.key != "unified":
        tiers.append(Tier("dram", box.memory_bytes / box.devices, min(path, box.memory_bytes_per_s / box.devices)))
    if box.nvme_drives:
        drives = box.nvme_drives * link(_NVME).bytes_per_s
        tiers.append(Tier("nvme", box.nvme_bytes / box.devices, min(path, drives / box.devices)))
    return tuple(tiers)


@dataclass(frozen=True, slots=True)
class _Fields:
    """The mapping of a spec with the path of each key, so that errors can name it."""

    given: Mapping[str, Any]
    where: str

    def get(self, key: str) -> Any:
        return self.given.get(key)

    def path(self, key: str) -> str:
        return f"{self.where}.{key}"


def _from_mapping(spec: Mapping[str, Any], where: str) -> Hardware:
    for key in spec:
        if key not in KEYS:
            raise unknown("field", str(key), KEYS, where)
    fields = _Fields(spec, where)
    box = host(str(spec["host"]), fields.path("host")) if spec.get("host") is not None else None
    found, implied_count, like = _device_of(fields, box)
    count = _whole(spec["count"], fields.path("count")) if spec.get("count") is not None else implied_count
    if count is None:
        count = box.devices if box else 1
    built = _assemble(found, count, box or usual_host(like or found, count))
    return _overridden(built, fields)


def _device_of(fields: _Fields, box: Host | None) -> tuple[Device, int | None, Device | None]:
    """The device, the count that its name states ("8 x h100"), and the known device that one spelled out is like."""
    given, where = fields.get("device"), fields.path("device")
    if given is None:
        if box is None or not box.device:
            raise InputError("needs a device (for example device: h100-sxm)", fields.where)
        return device(box.device, where), None, None
    if isinstance(given, Mapping):
        found, like = custom_device(given, where)
        return found, None, like
    if not isinstance(given, str):
        raise InputError(f"{given!r} is not a device (for example h100-sxm)", where)
    count, name = _split_count(given, where)
    return device(name, where), count, None


def _overridden(built: Hardware, fields: _Fields) -> Hardware:
    """`built` with what the mapping says instead of the catalogue."""
    changes: dict[str, Any] = {}
    sources = dict(built.sources)
    if fields.get("scale_up") is not None:
        scale_up = linked(fields.get("scale_up"), built.device.scale_up, fields.path("scale_up"))
        changes["device"] = replace(built.device, scale_up=scale_up)
    if fields.get("devices_per_host") is not None:
        changes["devices_per_host"] = _whole(fields.get("devices_per_host"), fields.path("devices_per_host"))
    if fields.get("network") is not None:
        changes["network"] = network(fields.get("network"), fields.path("network"))
    if fields.get("power_limit") is not None:
        changes["power_limit_w"] = _power_limit(built.device, fields)
    if fields.get("clock") is not None:
        changes["clock"] = _clock(fields)
    if fields.get("tiers") is not None:
        changes["tiers"] = read_tiers(fields.get("tiers"), built.tiers, fields.path("tiers"))
    if fields.get("pue") is not None:
        changes["pue"], sources["pue"] = pue(fields.get("pue"), fields.path("pue"))
    if fields.get("grid") is not None:
        changes["gco2e_per_kwh"], sources["gco2e_per_kwh"] = _carbon(fields)
    if fields.get("price") is not None:
        changes["usd_per_device_hour"], sources["usd_per_device_hour"] = _price(built.device, fields)
    result = replace(built, **changes, sources=sources)
    if result.device.scale_up.topology == "none" and min(result.count, result.devices_per_host) > 1:
        raise InputError(
            f"{result.device.key} has no link between devices of a host; give scale_up or devices_per_host: 1",
            f"{fields.where}.devices_per_host",
        )
    return result


def _whole(value: object, where: str) -> int:
    number = units.parse(value, "count", where)
    if not (1 <= number < float("inf")) or number != int(number):
        raise InputError(f"{value!r} is not a whole number of at least 1", where)
    return int(number)


def _power_limit(found: Device, fields: _Fields) -> float:
    limit = units.parse(fields.get("power_limit"), "power", fields.path("power_limit"))
    if limit > found.tdp_w:
        raise InputError(
            f"{fields.get('power_limit')!r} is above the TDP of {found.key} ({found.tdp_w:g} W)",
            fields.path("power_limit"),
        )
    if limit <= found.idle_w:
        raise InputError(
            f"{fields.get('power_limit')!r} is not above what {found.key} draws at rest ({found.idle_w:g} W)",
            fields.path("power_limit"),
        )
    return limit


def _clock(fields: _Fields) -> float:
    clock = units.parse(fields.get("clock"), "fraction", fields.path("clock"))
    if not 0.05 <= clock <= 1.5:
        raise InputError(
            f"{fields.get('clock')!r} is not a fraction of the boost clock (0.05 to 1.5)", fields.path("clock")
        )
    return clock


def _carbon(fields: _Fields) -> tuple[float, str]:
    given, where = fields.get("grid"), fields.path("grid")
    if isinstance(given, str) and not given.strip()[:1].isdigit():
        return grid(given, where)
    text = (
        re.sub(r"\s*g\s*(?:co2e?q?)?\s*/\s*kwh\s*$", "", given, flags=re.IGNORECASE)
        if isinstance(given, str)
        else given
    )
    intensity = units.parse(text, "count", where)
    if not 0 <= intensity <= 2000:
        raise InputError(f"{given!r} is not a carbon intensity in gCO2e/kWh (0 to 2000)", where)
    return intensity, "given"


def _price(found: Device, fields: _Fields) -> tuple[float, str]:
    given, where = fields.get("price"), fields.path("price")
    if isinstance(given, str) and not given.strip().lstrip("$")[:1].isdigit():
        asked = price(found.key, tier=given, where=where) if given in TIERS else price(found.key, given, where=where)
        if asked is None:
            raise InputError(f"no {given} price for {found.key!r} is known; give one in USD per device-hour", where)
        return asked.usd_per_device_hour, f"{asked.provider} {asked.date}: {asked.source}"
    text = re.sub(r"\s*/\s*h(?:our|r)?\s*$", "", given.strip().lstrip("$")) if isinstance(given, str) else given
    bare = isinstance(text, str) and re.fullmatch(r"\d+\.?\d*|\.\d+", text)
    usd = units.parse(float(text) if bare else text, "money", where)
    if usd < 0:
        raise InputError(f"{given!r} is below zero", where)
    return usd, "given"

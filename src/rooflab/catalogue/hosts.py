"""Hosts: how many devices sit together, what joins them to the next host, what the machine around them draws and
holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from rooflab.catalogue._data import cite, load, squash
from rooflab.catalogue.devices import device, known, row
from rooflab.catalogue.links import link
from rooflab.errors import unknown
from rooflab.scenario.hardware import Device, Link

__all__ = ["Host", "host", "host_key", "list_hosts", "usual_host"]

_DESKTOP_PREFIXES = ("rtx-", "rx-", "arc-", "radeon-", "titan-", "quadro-")
_ON_ONE_BOARD = frozenset({"mcu", "fpga"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine that holds `devices` devices, as the catalogue gives it.

    `device` is the key of the device or "" for a generic host.  `network` is one device's share of the links to
    other hosts.  `overhead_w` is what the host draws at most beyond its devices: system power less their TDPs,
    never below zero.
    """

    key: str
    name: str
    device: str
    devices: int
    network: Link
    overhead_w: float
    memory_bytes: float
    memory_bytes_per_s: float
    nvme_drives: int
    nvme_bytes: float


@cache
def _index() -> dict[str, str]:
    return {squash(key): key for key in load("hosts")["hosts"]} | {
        squash(r["name"]): key for key, r in load("hosts")["hosts"].items()
    }


def host_key(name: str) -> str | None:
    """The key of the host called `name`, None when there is none."""
    return _index().get(squash(name))


@cache
def host(name: str, where: str = "hardware.host") -> Host:
    """The host called `name` (``dgx-h100``, ``gb200-nvl72``); raises InputError with the nearest names."""
    key = host_key(name)
    if key is None:
        raise unknown("host", name, load("hosts")["hosts"], where)
    facts = load("hosts")["hosts"][key]
    port = link(facts["network"])
    share = facts["network_ports_per_device"]
    overhead_w = facts.get("overhead_w")
    if overhead_w is None:
        overhead_w = max(0.0, facts["system_power_w"] - facts["devices"] * device(facts["device"]).tdp_w)
    return Host(
        key=key,
        name=facts["name"],
        device=facts["device"],
        devices=facts["devices"],
        network=Link(port.key, port.bytes_per_s * share, port.latency_s, port.topology),
        overhead_w=float(overhead_w),
        memory_bytes=facts["memory_gb"] * 2.0**30,
        memory_bytes_per_s=facts["memory_gb_per_s"] * 1e9,
        nvme_drives=facts["nvme_drives"],
        nvme_bytes=facts["nvme_tb"] * 1e12,
    )


def usual_host(found: Device, count: int = 8) -> Host:
    """The host in which a device usually sits.

    The machine that the catalogue names for it; else a desktop for one desktop card and an eight-card server for
    several; eight-board or eight-card servers for other accelerators; one machine or board for processors, Apple
    chips and everything with memory shared with the host.
    """
    named = row(found.key).get("host") if known(found) else None
    if named:
        return host(named)
    if found.kind in _ON_ONE_BOARD or found.family == "edge-arm":
        return host("board")
    if found.host_link.key == "unified":
        return host("machine")
    if found.key.startswith(_DESKTOP_PREFIXES) and count == 1:
        return host("desktop")
    return host("pcie-server-8" if found.scale_up.topology in {"bus", "bridge", "ring", "none"} else "sxm-server-8")


def list_hosts() -> list[dict[str, Any]]:
    """Every host in SI units with the source of each figure."""
    data = load("hosts")
    listing = []
    for key, facts in data["hosts"].items():
        found = host(key)
        listing.append(
            {
                "key": key,
                "name": found.name,
                "device": found.device,
                "devices": found.devices,
                "topology": facts.get("topology", ""),
                "network": found.network.key,
                "network_bytes_per_s_per_device": found.network.bytes_per_s,
                "cpu": facts.get("cpu", ""),
                "memory_bytes": found.memory_bytes,
                "memory_bytes_per_s": found.memory_bytes_per_s,
                "nvme_drives": found.nvme_drives,
                "nvme_bytes": found.nvme_bytes,
                "system_power_w": facts.get("system_power_w"),
                "overhead_w": found.overhead_w,
                "note": facts.get("note", facts.get("for", "")),
                "sources": {figure: cite(data["sources"], source) for figure, source in facts["sources"].items()},
            }
        )
    return listing

"""Links by name: NVLink, PCIe, InfiniBand, ICI, ... Rates are line rates; what collectives reach of them is `costs`'
business."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from rooflab import units
from rooflab.catalogue._data import cite, load, squash
from rooflab.errors import InputError, unknown
from rooflab.scenario.hardware import Link

__all__ = ["link", "list_links", "network", "reach"]

_RATE = re.compile(r"^\s*[\d.]")


@cache
def _by_squashed_name() -> dict[str, str]:
    rows = load("links")["links"]
    index = {squash(key): key for key in rows}
    for key, row in rows.items():
        for alias in row.get("aliases", ()):
            index.setdefault(squash(alias), key)
    return index


@cache
def link(name: str, where: str = "link") -> Link:
    """The link called `name` (``nvlink-4``, ``pcie-5-x16``, ``ib-ndr``): bytes/s each way of its stated scope, one-way
    latency.

    Raises InputError with the nearest names.
    """
    key = _by_squashed_name().get(squash(name))
    rows = load("links")["links"]
    if key is None:
        raise unknown("link", name, rows, where)
    row = rows[key]
    return Link(key, row["gb_per_s"] * 1e9, row["latency_us"] * 1e-6, row["topology"])


def reach(key: str) -> float:
    """How many devices a link joins at most: 2 or 4 for a bridge between cards, else no limit."""
    return float(load("links")["links"].get(key, {}).get("reach", math.inf))


def network(value: object, where: str = "hardware.network", per_device: float = 1.0) -> Link:
    """A link between hosts from a name (one port for `per_device` devices' worth) or a rate ("50 GB/s", "400 Gb/s") per
    device.

    `per_device` is the number of ports that one device has to itself.  A bare rate takes the latency of RoCE.
    """
    if isinstance(value, str) and not _RATE.match(value):
        found = link(value, where)
        return Link(found.key, found.bytes_per_s * per_device, found.latency_s, found.topology)
    rate = units.parse(value, "bandwidth", where)
    if rate <= 0:
        raise InputError(f"{value!r} must be above zero", where)
    return Link("network", rate, link("roce-400g").latency_s, "switch")


def list_links() -> list[dict[str, Any]]:
    """Every link with its rate (B/s each way), latency (s, one way), topology and the source of each figure."""
    data = load("links")
    return [
        {
            "key": key,
            "name": row["name"],
            "kind": row["kind"],
            "scope": row["scope"],
            "bytes_per_s": row["gb_per_s"] * 1e9,
            "latency_s": row["latency_us"] * 1e-6,
            "topology": row["topology"],
            "note": row.get("note", ""),
            "sources": {figure: cite(data["sources"], source) for figure, source in row["sources"].items()},
        }
        for key, row in data["links"].items()
    ]

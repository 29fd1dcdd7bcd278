"""What a scenario spells out instead of naming: a device by its figures, a link by its rate, memory tiers by size and
rate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from rooflab import units
from rooflab.catalogue.devices import device
from rooflab.catalogue.links import link
from rooflab.errors import InputError, unknown
from rooflab.scenario.hardware import Device, DeviceKind, Link, Tier

__all__ = ["custom_device", "linked", "read_tiers"]

FIELDS = (
    "like", "name", "vendor", "kind", "family", "memory", "bandwidth", "peak", "tdp", "idle", "scale_up", "host_link",
    "year", "dies",
    "sm_count", "l2", "boost",
)  # fmt: skip
FORMATS = ("bf16", "fp16", "fp8", "fp4", "int8", "int4", "fp32", "tf32")

# What a part is taken to draw when its maker's figure is not given: the class of a data-centre card.
_TDP_W = 400.0
_IDLE_SHARE = 0.1


def custom_device(given: Mapping[str, Any], where: str) -> tuple[Device, Device | None]:
    """A device from FIELDS, and the one it is `like`: at least `memory`, `bandwidth` and `peak`, or `like` with what
    differs.

    `peak` is one rate (taken as bf16 and fp16) or a mapping of FORMATS to rates, dense.  Raises InputError for
    unknown fields and figures that are not positive.
    """
    for key in given:
        if key not in FIELDS:
            raise unknown("device field", str(key), FIELDS, where)
    like = device(str(given["like"]), f"{where}.like") if given.get("like") is not None else None
    missing = [key for key in ("memory", "bandwidth", "peak") if given.get(key) is None]
    if like is None and missing:
        raise InputError(
            f"a device spelled out needs memory, bandwidth and peak (or like: a known one); {missing[0]} is missing",
            where,
        )
    base = like or _blank(str(given.get("name", "custom")))
    changes: dict[str, Any] = {
        "key": str(given.get("name", f"{base.key}-changed")),
        "name": str(given.get("name", base.name)),
    }
    changes |= _quantities(given, where)
    changes |= _words(given, where)
    if given.get("peak") is not None:
        changes["peak_flops"] = _peaks(given["peak"], base.peak_flops, f"{where}.peak")
    if given.get("idle") is None and given.get("tdp") is not None:
        changes["idle_w"] = changes["tdp_w"] * (base.idle_w / base.tdp_w)
    for key in ("scale_up", "host_link"):
        if given.get(key) is not None:
            changes[key] = linked(given[key], getattr(base, key), f"{where}.{key}")
    sources = {field: "given" for field in changes if field not in {"key", "name"}}
    built = replace(base, **changes, sources={**base.sources, **sources})
    if built.idle_w >= built.tdp_w:
        raise InputError(f"idle power ({built.idle_w:g} W) must lie below the TDP ({built.tdp_w:g} W)", f"{where}.idle")
    return built, like


def _blank(name: str) -> Device:
    pcie = link("pcie-5-x16")
    assumed = {
        "tdp_w": "class of a data-centre card (assumed)",
        "idle_w": "a tenth of the TDP (assumed)",
        "scale_up": "PCIe 5 x16 (assumed)",
    }
    return Device(
        key=name,
        name=name,
        vendor="",
        kind="gpu",
        family="other",
        memory_bytes=0.0,
        memory_bytes_per_s=0.0,
        peak_flops={},
        tdp_w=_TDP_W,
        idle_w=_IDLE_SHARE * _TDP_W,
        scale_up=pcie,
        host_link=pcie,
        sources=assumed,
    )


def _quantities(given: Mapping[str, Any], where: str) -> dict[str, float]:
    read = (
        ("memory", "memory_bytes", "bytes"),
        ("bandwidth", "memory_bytes_per_s", "bandwidth"),
        ("tdp", "tdp_w", "power"),
        ("idle", "idle_w", "power"),
        ("l2", "l2_bytes", "bytes"),
        ("boost", "boost_hz", "frequency"),
    )
    values = {}
    for key, name, dimension in read:
        if given.get(key) is not None:
            values[name] = _positive(given[key], dimension, f"{where}.{key}")
    return values


def _words(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {key: str(given[key]) for key in ("vendor", "family") if given.get(key) is not None}
    for key in ("year", "dies", "sm_count"):
        if given.get(key) is not None:
            values[key] = int(_positive(given[key], "count", f"{where}.{key}"))
    if given.get("kind") is not None:
        if given["kind"] not in get_args(DeviceKind):
            raise unknown("kind of device", str(given["kind"]), get_args(DeviceKind), f"{where}.kind")
        values["kind"] = given["kind"]
    return values


def _peaks(given: object, base: Mapping[str, float], where: str) -> dict[str, float]:
    if not isinstance(given, Mapping):
        rate = _positive(given, "flops", where)
        return {**base, "bf16": rate, "fp16": rate}
    for key in given:
        if key not in FORMATS:
            raise unknown("arithmetic format", str(key), FORMATS, where)
    if not given:
        raise InputError("needs at least one rate (for example {bf16: 989 TFLOP/s})", where)
    return {**base, **{str(key): _positive(value, "flops", f"{where}.{key}") for key, value in given.items()}}


def _positive(value: object, dimension: str, where: str) -> float:
    number = units.parse(value, dimension, where)
    if not 0 < number < float("inf"):
        raise InputError(f"{value!r} must be above zero", where)
    return number


def linked(value: object, base: Link, where: str) -> Link:
    """A link from its name, or `base` at another rate ("900 GB/s" each way per device)."""
    if isinstance(value, str) and not re.match(r"\s*[\d.]", value):
        return link(value, where)
    rate = _positive(value, "bandwidth", where)
    joined = base.topology in {"none", "bus", "bridge"}
    return Link("custom", rate, base.latency_s or link("pcie-5-x16").latency_s, "switch" if joined else base.topology)


def read_tiers(given: object, usual: tuple[Tier, ...], where: str) -> tuple[Tier, ...]:
    """Memory tiers, nearest first: names of the usual ones ("dram", "nvme") or {name, size, bandwidth} per device."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(
            f"{given!r} is not a list of tiers (for example [{{name: cxl, size: 1 TB, bandwidth: 30 GB/s}}])", where
        )
    by_name = {tier.name: tier for tier in usual}
    tiers = []
    for index, entry in enumerate(given):
        place = f"{where}.{index}"
        if isinstance(entry, str):
            if entry not in by_name:
                raise unknown("tier of this host", entry, by_name, place)
            tiers.append(by_name[entry])
            continue
        if not isinstance(entry, Mapping) or set(entry) - {"name", "size", "bandwidth"} or len(entry) < 3:
            raise InputError(f"{entry!r} is not a tier: name, size and bandwidth", place)
        size = _positive(entry["size"], "bytes", f"{place}.size")
        tiers.append(Tier(str(entry["name"]), size, _positive(entry["bandwidth"], "bandwidth", f"{place}.bandwidth")))
    return tuple(tiers)

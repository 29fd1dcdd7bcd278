"""Devices by name: the catalogue's accelerators and processors, found under the names that people and benchmark tables
write."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

from rooflab.catalogue._data import cite, load, squash
from rooflab.catalogue.links import link
from rooflab.errors import InputError, unknown
from rooflab.scenario.hardware import Device, Link

__all__ = ["device", "device_key", "known", "list_devices", "row"]

# words that never tell two devices apart: vendors, brands, memory technologies, remarks of benchmark tables
_NOISE = frozenset(
    (
        *(
            "nvidia",
            "amd",
            "intel",
            "apple",
            "google",
            "aws",
            "huawei",
            "geforce",
            "radeon",
            "instinct",
            "tesla",
            "rtx",
            "rx",
            "quadro",
        ),
        *(
            "cpu",
            "gpu",
            "gpus",
            "graphics",
            "accelerator",
            "ai",
            "processor",
            "r",
            "tm",
            "core",
            "cores",
            "custom",
            "pc",
            "platinum",
            "gold",
        ),
        *(
            "hbm",
            "hbm2",
            "hbm2e",
            "hbm3",
            "hbm3e",
            "oam",
            "gddr6",
            "gddr6x",
            "gddr7",
            "lpddr",
            "lpddr5x",
            "data",
            "center",
            "edition",
        ),
        *("generation", "power", "cap", "capped", "limit", "limited", "virtualized"),
    )
)
_MEMORY = re.compile(r"\b(\d+(?:\.\d+)?)\s?g(?:i?b)?\b")
_REMARK = re.compile(r"^(?:x\d+|\d{3,4}w|w)$")
_SXM = re.compile(r"\bsxm\d\b")
_GLUED_BRAND = re.compile(r"\b(rtx|rx)(?=\d)")
_BRACKET = re.compile(r"[\[(]([^\])]*)[\])]")
_PROCESSOR = re.compile(r"\bcpu\b", re.IGNORECASE)
# chips whose processor is in the catalogue under a name of its own; the others' is KEY-cpu
_PROCESSORS = {"strix-halo-8060s": "ryzen-ai-max-395"}
# the same part is sold with several sizes of memory: a size in the label is that machine's
_FITTED = frozenset({"apple", "cpu", "soc"})


def _norm(text: str, *, memory: bool) -> str:
    """`text` without case, punctuation and noise words; with the memory size kept in one form or taken out."""
    text = _GLUED_BRAND.sub(r"\1 ", _SXM.sub("sxm", text.lower().replace("(r)", " ").replace("(tm)", " ")))
    sizes = "/".join(_MEMORY.findall(text)) if memory else ""
    words = re.findall(r"[a-z0-9]+", _MEMORY.sub(" ", text))
    return "".join(w for w in words if w not in _NOISE and not _REMARK.match(w)) + (f"/{sizes}" if sizes else "")


@cache
def _index() -> dict[str, str]:
    """Normalised name -> key.  Keys and aliases come first; a name without its memory size counts only where it is
    unambiguous."""
    rows = load("devices")["devices"]
    index: dict[str, str] = {}
    for key, facts in rows.items():
        for name in (key, *facts.get("aliases", ())):
            index.setdefault(f"={squash(name)}", key)
            index.setdefault(_norm(name, memory=True), key)
    for key, facts in rows.items():
        index.setdefault(_norm(facts["name"], memory=True), key)
    bare: dict[str, set[str]] = {}
    for key, facts in rows.items():
        for name in (key, facts["name"]):
            bare.setdefault(_norm(name, memory=False), set()).add(key)
    for name, keys in bare.items():
        if len(keys) == 1:
            index.setdefault(name, next(iter(keys)))
    return index


def _readings(label: str) -> list[str]:
    """The ways to read a label, best first: whole, what stands in brackets ("Ryzen 9 (Nvidia 4090)"), what stands
    outside them."""
    return [label, *_BRACKET.findall(label), _BRACKET.sub(" ", label)]


def _sizes_gb(label: str) -> list[float]:
    return [float(size) for size in _MEMORY.findall(label.lower())]


def _size_fits(key: str, reading: str) -> bool:
    """Whether a memory size in the label, if any, is that of the device: "A100 30 GB" is none of ours."""
    sizes, facts = _sizes_gb(reading), row(key)
    return (
        not sizes
        or facts["kind"] in _FITTED
        or any(abs(size - facts["memory_gb"]) <= 0.1 * facts["memory_gb"] for size in sizes)
    )


@cache
def device_key(label: str, where: str = "hardware") -> str:
    """The catalogue key of a device under any of its names ("H200-SXM-141GB" -> "h200-sxm").

    Raises InputError with the nearest keys.
    """
    index = _index()
    exact = index.get(f"={squash(label)}")
    if exact is not None:
        return exact
    for reading in _readings(label):
        key = index.get(_norm(reading, memory=True)) or index.get(_norm(reading, memory=False))
        if key is not None and _size_fits(key, reading):
            return _side(key, label, where)
    keys = list(load("devices")["devices"])
    stem = re.split(r"[-\s]", label.strip().lower())[0]
    relatives = [key for key in keys if key.startswith(f"{stem}-")]
    raise unknown("accelerator", label, relatives or keys, where)


def _side(key: str, label: str, where: str) -> str:
    """The part of a chip that a label means: its processor where it says so, and not the GPU beside it."""
    facts, rows = row(key), load("devices")["devices"]
    if not _PROCESSOR.search(label) or not (facts["kind"] == "apple" or facts.get("sm_count")):
        return key
    chip = re.sub(r"-\d+c$", "", key)
    side: str = _PROCESSORS.get(chip, f"{chip}-cpu")
    if side in rows:
        return side
    raise InputError(
        f"{label!r}: the catalogue's {key} is a GPU, and no processor of it is known; name one, or spell it out "
        "({device: {like: epyc-9654, bandwidth: ...}})",
        where,
    )


def _fitted(found: Device, label: str) -> Device:
    """`found` with the memory that its label states, where the part is sold with several sizes."""
    sizes = _sizes_gb(label) if found.kind in _FITTED and label != found.key else []
    if len(sizes) != 1 or sizes[0] * 2.0**30 >= found.memory_bytes:
        return found
    sources = {**found.sources, "memory_gib": "size given in the name"}
    return replace(found, memory_bytes=sizes[0] * 2.0**30, sources=sources)


@cache
def device(label: str, where: str = "hardware") -> Device:
    """The device called `label`, with the source of every figure in `sources`; raises InputError with the nearest
    names."""
    if not isinstance(label, str):
        raise InputError(f"{label!r} is not the name of a device", where)
    key = device_key(label, where)
    facts = row(key)
    sources = load("devices")["sources"]
    found = Device(
        key=key,
        name=facts["name"],
        vendor=facts["vendor"],
        kind=facts["kind"],
        family=facts["family"],
        memory_bytes=facts["memory_gib"] * 2.0**30,
        memory_bytes_per_s=facts["memory_gb_per_s"] * 1e9,
        peak_flops={name: tflops * 1e12 for name, tflops in facts["peak_tflops"].items()},
        tdp_w=float(facts["tdp_w"]),
        idle_w=float(facts["idle_w"]),
        scale_up=link(facts["scale_up"]),
        host_link=_host_link(facts),
        year=facts["year"],
        dies=facts.get("dies", 1),
        sm_count=facts.get("sm_count", 0),
        l2_bytes=facts.get("l2_mb", 0) * 1e6,
        boost_hz=facts.get("boost_ghz", 0) * 1e9,
        sources={figure: cite(sources, source) for figure, source in facts["sources"].items()},
    )
    return _fitted(found, label)


def _host_link(facts: dict[str, Any]) -> Link:
    """The way to the host; where the memory is shared with it, a copy at the rate of that memory."""
    found = link(facts["host_link"])
    return replace(found, bytes_per_s=facts["memory_gb_per_s"] * 1e9) if found.key == "unified" else found


def known(found: Device) -> bool:
    """Whether a device is the catalogue's own and not one spelled out in a scenario."""
    return found.key in load("devices")["devices"]


def row(key: str) -> dict[str, Any]:
    """The facts of a device as they stand in the data file; `key` must exist."""
    facts: dict[str, Any] = load("devices")["devices"][key]
    return facts


def list_devices() -> list[dict[str, Any]]:
    """Every device in SI units with the source of each figure, in the order of the data file."""
    listing = []
    for key in load("devices")["devices"]:
        found, facts = device(key), row(key)
        listing.append(
            {
                "key": key,
                "name": found.name,
                "vendor": found.vendor,
                "kind": found.kind,
                "family": found.family,
                "year": found.year,
                "aliases": list(facts.get("aliases", ())),
                "dies": found.dies,
                "memory_bytes": found.memory_bytes,
                "memory_gb_as_sold": facts["memory_gb"],
                "memory_bytes_per_s": found.memory_bytes_per_s,
                "peak_flops": dict(found.peak_flops),
                "tdp_w": found.tdp_w,
                "idle_w": found.idle_w,
                "scale_up": found.scale_up.key,
                "scale_up_bytes_per_s": found.scale_up.bytes_per_s,
                "host_link": found.host_link.key,
                "host_link_bytes_per_s": found.host_link.bytes_per_s,
                "sm_count": found.sm_count,
                "l2_bytes": found.l2_bytes,
                "boost_hz": found.boost_hz,
                "note": facts.get("note", ""),
                "sources": dict(found.sources),
            }
        )
    return listing

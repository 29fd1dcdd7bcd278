"""Vision networks by name: the numbers that their papers state, made into layers by the builders of `operators`.

Names are those of the timm library.  A name with further words ("vit_base_patch16_clip_224") is the longest known name
that it begins with; words that change the layers (registers, pooling by attention) are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from rooflab.catalogue._data import load
from rooflab.errors import unknown
from rooflab.operators import networks_conv, networks_mobile, networks_patch
from rooflab.operators.networks import Network, build

__all__ = ["NetworkEntry", "list_networks", "network", "network_entry", "network_key", "network_names"]

_BUILDERS: Final = (networks_conv, networks_mobile, networks_patch)  # importing them registers their builders
_SIZE: Final = re.compile(r"_(\d{3,4})$")


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """What is known of a network: `builder` that makes its layers, usual `image` side in pixels, the builder's
    `numbers`, source."""

    name: str
    builder: str
    image: int
    numbers: Mapping[str, Any]
    source: str


@lru_cache(maxsize=4096)
def network(name: str, image: int | None = None, where: str = "network") -> Network:
    """The network called `name` ("resnet50", "vit_base_patch16_384") for images of `image` pixels a side.

    Without `image`: the size in the name, else the usual one.  Raises InputError with the nearest names.
    """
    entry = network_entry(name, where)
    return build(name, image or entry.image, entry.builder, dict(entry.numbers), entry.source)


def list_networks() -> list[dict[str, Any]]:
    """Every known network: key, usual image size, MACs, parameters, activations, source."""
    return [
        {
            "key": n,
            "image": f.image,
            "macs": f.macs,
            "params": f.params,
            "activations": f.activations,
            "source": f.source,
        }
        for n, f in ((n, network(n)) for n in network_names())
    ]


def network_entry(name: str, where: str = "network") -> NetworkEntry:
    """The entry of a name; its image size is the last number of the name if that is one. Raises InputError with the
    nearest names."""
    key = network_key(name)
    if key is None:
        raise unknown("network", name, _entries(), where)
    entry = _entries()[key]
    size = _SIZE.search(name[len(key) :])
    numbers = dict(entry["numbers"])
    if entry["builder"] == "vit":
        numbers |= _vit_words(name)
    return NetworkEntry(name, entry["builder"], int(size[1]) if size else int(entry["image"]), numbers, entry["source"])


def network_key(name: str) -> str | None:
    """The longest known name that `name` begins with, at a word's end; None if there is none."""
    words = name.strip().lower().split("_")
    for length in range(len(words), 0, -1):
        key = "_".join(words[:length])
        if key in _entries():
            return key
    return None


def network_names() -> list[str]:
    """Every known name, in the order of the data file."""
    return list(_entries())


def _entries() -> dict[str, Any]:
    entries: dict[str, Any] = load("networks")["networks"]
    return entries


def _vit_words(name: str) -> dict[str, Any]:
    """What the words of a ViT's name change: registers, class token, pooling, layer scale, classifier."""
    registers = re.search(r"_reg(\d+)", name)
    pooled = any(word in name for word in ("_gap", "_siglip", "_map"))
    tokens = 0 if pooled else 2 if "distilled" in name else 1
    changes: dict[str, Any] = {"extra": tokens + (int(registers[1]) if registers else 4 if "dinov3" in name else 0)}
    if "_map" in name or ("siglip" in name and "_gap" not in name):
        changes |= {"pooled_by_attention": True}
    if any(word in name for word in ("siglip", "_map", "dinov2", "dinov3")):
        changes |= {"classes": 0}
    if "dinov2" in name or "dinov3" in name:
        changes |= {"scaled": True}
    return changes

"""What of a model lives behind the device: weights in a memory tier, the cache in the host's memory with its attention
on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rooflab.errors import InputError
from rooflab.scenario import fields

__all__ = ["Offload", "read_offload"]


@dataclass(frozen=True, slots=True)
class Offload:
    """`weights`: the tier ("dram", "nvme" or one that the hardware names) that a step's weights are streamed from,
    None: resident.

    `kv` "dram": the cache lies in the host's memory, where the CPU attends for decoding sequences (`attention` "cpu");
    prompts are attended on the device and their cache is sent behind.
    """

    weights: str | None = None
    kv: Literal["dram"] | None = None
    attention: Literal["device", "cpu"] = "device"


def read_offload(value: Any, where: str = "deployment.offload") -> Offload:
    """An offload from ``{weights: dram, kv: dram, attention: cpu}``; a cache in host memory and attention on the CPU go
    together."""
    if isinstance(value, Offload):
        return value
    readers: dict[str, fields.Reader] = {
        "weights": fields.text,
        "kv": fields.choice("dram"),
        "attention": fields.choice("device", "cpu"),
    }
    offload = fields.read(Offload, value, where, readers)
    if (offload.kv is None) != (offload.attention == "device"):
        raise InputError(
            "kv: dram needs attention: cpu and the other way round, or the cache would cross the host link every step",
            where,
        )
    if offload == Offload():
        raise InputError("offloads nothing; name weights, or kv with attention", where)
    return offload

"""What of a model lives behind the device: weights in a memory tier, layers or experts that the CPU computes, the cache
in the host's memory with its attention on the CPU."""

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

    `gpu_layers`: so many layers are on the device, the others in the host's memory, where the CPU computes them with
    their cache (llama.cpp's ``-ngl``). `cpu_experts`: the routed experts of so many layers are computed so
    (``--n-cpu-moe``). llama.cpp with `weights` "dram" and neither of them chooses both by what fits.
    """

    weights: str | None = None
    kv: Literal["dram"] | None = None
    attention: Literal["device", "cpu"] = "device"
    gpu_layers: int | None = None
    cpu_experts: int | None = None

    @property
    def computes(self) -> bool:
        """Whether the CPU computes layers or experts."""
        return self.gpu_layers is not None or bool(self.cpu_experts)


def read_offload(value: Any, where: str = "deployment.offload") -> Offload:
    """An offload from ``{weights: dram, kv: dram, attention: cpu}``; a cache in host memory and attention on the CPU go
    together."""
    if isinstance(value, Offload):
        return value
    readers: dict[str, fields.Reader] = {
        "weights": fields.text,
        "kv": fields.choice("dram"),
        "attention": fields.choice("device", "cpu"),
        "gpu_layers": fields.integer,
        "cpu_experts": fields.integer,
    }
    offload = fields.read(Offload, value, where, readers)
    if (offload.kv is None) != (offload.attention == "device"):
        raise InputError(
            "kv: dram needs attention: cpu and the other way round, or the cache would cross the host link every step",
            where,
        )
    if offload.computes and (offload.weights is not None or offload.kv is not None):
        raise InputError("gpu_layers and cpu_experts say where all weights are; leave weights and kv out", where)
    if offload == Offload():
        raise InputError("offloads nothing; name weights, kv with attention, gpu_layers, or cpu_experts", where)
    return offload

"""The engines that a plan tries where the scenario names none."""

from __future__ import annotations

from rooflab.deploy.complete import default_engine
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model

__all__ = ["at_home", "engines_for"]

_SERVERS = {"NVIDIA": ("vllm", "sglang", "trtllm"), "AMD": ("vllm", "sglang")}
"""Servers of language models by vendor of the device; others have the usual one of their kind."""


def engines_for(model: Model, hardware: Hardware) -> tuple[str, ...]:
    """The engines that people serve `model` with on `hardware`, the usual one first; llama.cpp also on a card at
    home."""
    usual = default_engine(model, hardware)
    if model.kind != "decoder" or usual != "vllm":
        return (usual,)
    servers = _SERVERS.get(hardware.device.vendor, (usual,))
    return (*servers, "llamacpp") if at_home(hardware) else servers


def at_home(hardware: Hardware) -> bool:
    """Whether the machine is one device in a desktop or laptop."""
    return hardware.count == 1 and hardware.device.kind == "gpu" and hardware.host in ("desktop", "laptop", "machine")

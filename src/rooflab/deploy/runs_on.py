"""Engines that are written for one maker's devices."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.hardware import Device
from rooflab.scenario.runtime import ENGINES

__all__ = ["runs_elsewhere"]

_MAKERS: Final = {
    "trtllm": ("NVIDIA",), "fastertransformer": ("NVIDIA",), "lmdeploy": ("NVIDIA", "Huawei"), "neuron": ("AWS",),
    "mlx": ("Apple",),
}  # fmt: skip
"""Makers whose devices an engine has kernels for, by the documentation of each; engines that are not named here run on
several makers' devices."""


def runs_elsewhere(engine: str, device: Device) -> str:
    """Why a named engine does not run on a device, in a sentence; empty where it does or where that is not known."""
    makers = _MAKERS.get(engine)
    if makers is None or not device.vendor or device.vendor in makers:
        return ""
    return f"{ENGINES[engine]} runs on devices of {' and '.join(makers)}, not on {device.name}"

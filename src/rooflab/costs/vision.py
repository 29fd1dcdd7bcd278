"""Seconds of a vision network: layer by layer where its layers are known, from MACs, activations and parameters where
not.

    layers:  t = Σ launch + ((c_k · FLOPs / peak)^2 + (w · weight bytes + a_k · activation bytes)^2 / BW^2)^(1/2)
    counts:  t = ((c · 2 · MACs / peak)^q + (a · activation bytes / BW)^q)^(1/q) + w · weight bytes / BW

Factors are multiples of the datasheet's time, by kind of layer k: dense, grouped and depthwise convolutions, linear
layers, attention, streaming passes.  Factors of arithmetic and weights are at least 1; those of activations may be
less, because layers that follow each other meet in the cache and frameworks fuse passes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.operators.conv import Conv, Layer
from rooflab.scenario.hardware import Device

__all__ = [
    "CLASSES",
    "COUNT_FACTORS",
    "LAYER_FACTORS",
    "LayerTable",
    "VisionCurve",
    "counts_s",
    "layers_s",
    "vision_curve",
]

Array = npt.NDArray[np.float64]

LAYER_FACTORS: Final = (
    "conv", "grouped", "depthwise", "linear", "attention", "weights", "dense_bytes", "depthwise_bytes",
    "attention_bytes", "pass_bytes",
    "launch_us",
)  # fmt: skip
COUNT_FACTORS: Final = ("compute", "activations", "weights", "launch_us", "sharpness")
CLASSES: Final = ("conv", "transformer")
_KINDS: Final = ("conv", "grouped", "depthwise", "linear", "attention", "pass")
_BYTES_OF: Final = np.array([0, 0, 1, 0, 2, 3])


@dataclass(frozen=True, slots=True)
class VisionCurve:
    """Factors by LAYER_FACTORS, and by COUNT_FACTORS for each of CLASSES; where they come from."""

    layers: Mapping[str, float]
    counts: Mapping[str, Mapping[str, float]]
    provenance: str
    source: str


@dataclass(frozen=True, slots=True)
class LayerTable:
    """Layers of one network for one batch as arrays: kind, FLOPs, bytes of weights, bytes of activations."""

    kinds: npt.NDArray[np.intp]
    flops: Array
    weight_bytes: Array
    activation_bytes: Array

    @classmethod
    def of(cls, layers: Sequence[Layer], batch: float, element_bytes: float) -> LayerTable:
        """The table of `layers` for `batch` images."""
        return cls(
            np.array([_KINDS.index(layer.kind) for layer in layers], dtype=np.intp),
            np.array([2.0 * layer.macs for layer in layers]) * batch,
            np.array([float(layer.params) if isinstance(layer, Conv) else 0.0 for layer in layers]) * element_bytes,
            np.array([float(layer.in_elements + layer.out_elements) for layer in layers]) * batch * element_bytes,
        )


def layers_s(table: LayerTable, factors: Array, peak_flops: float, bytes_per_s: float) -> Array:
    """Seconds of each layer; `factors` in the order of LAYER_FACTORS."""
    compute = np.append(factors[:5], 0.0)[table.kinds] * table.flops / peak_flops
    memory = (
        factors[5] * table.weight_bytes + factors[6:10][_BYTES_OF[table.kinds]] * table.activation_bytes
    ) / bytes_per_s
    out: Array = np.hypot(compute, memory) + factors[10] * 1e-6
    return out


def counts_s(
    macs: Array, activation_bytes: Array, weight_bytes: Array, factors: Array, *, peak_flops: Array, bytes_per_s: Array
) -> Array:
    """Seconds of whole networks from their counts, a batch at a time; `factors` in the order of COUNT_FACTORS."""
    compute, activations, weights, launch_us, q = factors
    compute_s = compute * 2.0 * macs / peak_flops
    memory_s = activations * activation_bytes / bytes_per_s
    high, low = np.maximum(compute_s, memory_s), np.minimum(compute_s, memory_s)
    out: Array = high * (1.0 + (low / high) ** q) ** (1.0 / q) + weights * weight_bytes / bytes_per_s + launch_us * 1e-6
    return out


@cache
def _file() -> Mapping[str, Any]:
    raw: Mapping[str, Any] = json.loads(
        resources.files("rooflab.costs").joinpath("fits/vision.json").read_text("utf-8")
    )
    return raw


def vision_curve(device: Device) -> VisionCurve:
    """Factors of a device: its own, or those of all measured devices of its kind together."""
    devices = _file()["devices"]
    own = devices.get(device.key)
    entry = own or devices["cpu" if device.kind == "cpu" else "gpu"]
    return VisionCurve(entry["layers"], entry["counts"], "fitted" if own else "assumed", entry["source"])

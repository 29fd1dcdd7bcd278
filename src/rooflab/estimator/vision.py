"""Vision inference in closed form: images a second of a network on one device, from its layers or from its counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rooflab.costs.vision import CLASSES, COUNT_FACTORS, LAYER_FACTORS, LayerTable, counts_s, layers_s, vision_curve
from rooflab.errors import InputError, unknown
from rooflab.operators.networks import Network
from rooflab.scenario.hardware import Hardware

__all__ = ["FORMATS", "Counts", "VisionEstimate", "estimate_vision"]

FORMATS: Final = {
    "amp": ("fp16", 2.0),
    "fp16": ("fp16", 2.0),
    "bf16": ("bf16", 2.0),
    "fp32": ("tf32", 4.0),
    "int8": ("int8", 1.0),
}
"""Arithmetic and bytes an element of each precision; amp keeps convolutions and products in 16 bits."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A network known by its counts alone: MACs, parameters and activations (elements) an image; `kind` "conv" or
    "transformer"."""

    name: str
    macs: float
    params: float
    activations: float
    kind: str = "conv"


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionEstimate:
    """Images a second of all devices, seconds a batch, share of peak FLOP/s, the bound of the same work, and how it was
    found.

    `method`: "layers" or "counts"; `provenance`: "fitted" on this device, or "assumed" from others of its kind.
    """

    images_per_s: float
    batch_s: float
    macs: float
    params: float
    activations: float
    mfu: float
    limit_ratio: float
    method: str
    provenance: str


def estimate_vision(
    network: Network | Counts, hardware: Hardware, batch: int = 1, precision: str = "amp"
) -> VisionEstimate:
    """Inference of `network` on `hardware`, `batch` images at a time on each device.

    `precision`: amp, fp16, bf16, fp32, int8.  The bound: MACs at the datasheet peak, weights at the datasheet
    bandwidth. Raises InputError for an unknown precision, kind or a batch below 1.
    """
    if precision not in FORMATS:
        raise unknown("precision", precision, FORMATS, "precision")
    if batch < 1:
        raise InputError(f"{batch} is not a batch of at least 1", "batch")
    compute, element_bytes = FORMATS[precision]
    device, curve = hardware.device, vision_curve(hardware.device)
    peak, bandwidth = device.peak(compute) * hardware.clock, device.memory_bytes_per_s
    if isinstance(network, Network):
        factors = np.array([curve.layers[name] for name in LAYER_FACTORS])
        batch_s = float(layers_s(LayerTable.of(network.layers, batch, element_bytes), factors, peak, bandwidth).sum())
    else:
        if network.kind not in CLASSES:
            raise unknown("kind of network", network.kind, CLASSES, "kind")
        factors = np.array([curve.counts[network.kind][name] for name in COUNT_FACTORS])
        batch_s = float(
            counts_s(
                np.array(network.macs * batch),
                np.array(network.activations * batch * element_bytes),
                np.array(network.params * element_bytes),
                factors,
                peak_flops=np.array(peak),
                bytes_per_s=np.array(bandwidth),
            )
        )
    bound_s = max(2.0 * network.macs * batch / peak, network.params * element_bytes / bandwidth)
    return VisionEstimate(
        images_per_s=hardware.count * batch / batch_s,
        batch_s=batch_s,
        macs=network.macs,
        params=network.params,
        activations=network.activations,
        mfu=2.0 * network.macs * batch / batch_s / peak,
        limit_ratio=bound_s / batch_s,
        method="layers" if isinstance(network, Network) else "counts",
        provenance=curve.provenance,
    )

"""What the price of a step rests on."""

from __future__ import annotations

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import device_factors, engine_overhead, era
from rooflab.metrics.value import Kind
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.runtime import Runtime

__all__ = ["kind_of"]


def kind_of(model: Model, hardware: Hardware, runtime: Runtime) -> Kind:
    """The weakest link of a serving prediction: fitted where kernels (or their device's factors) and engine are, else
    assumed."""
    device = hardware.device
    kernels = calibration_for(device, runtime.engine).provenance
    generation = era(runtime.engine, runtime.engine_version)
    if kernels == "assumed" and device_factors(device, generation).provenance == "fitted":
        kernels = "fitted"
    engine = engine_overhead(runtime, moe=model.is_moe, family=device.family).provenance
    return "assumed" if "assumed" in (kernels, engine) else "fitted"

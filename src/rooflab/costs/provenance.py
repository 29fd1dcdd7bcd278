"""What the price of a step rests on."""

from __future__ import annotations

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import device_factors, engine_overhead
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
    engine = engine_overhead(runtime, moe=model.is_moe, family=device.family)
    if kernels == "assumed" and device_factors(device, engine.generation).provenance == "fitted":
        kernels = "fitted"
    return "assumed" if "assumed" in (kernels, engine.provenance) else "fitted"

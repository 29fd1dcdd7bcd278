"""Which number formats a step really computes in: the checkpoint's, the user's, and what the device can do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from rooflab.scenario.deployment import Priced
from rooflab.scenario.dtype import DType, dtype
from rooflab.scenario.formats import Formats
from rooflab.scenario.hardware import Device
from rooflab.scenario.model import Model, Stored

__all__ = ["StepFormats", "formats_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFormats:
    """Formats of a step: linear layers, routed experts, KV cache, and everything that is never quantised
    (`plain`); the output projection (`head`), and what blocks of a checkpoint have of their own, weights and
    activations by its name (`others`)."""

    weights: DType
    activations: DType
    experts: DType
    expert_activations: DType
    kv: DType
    plain: DType
    head: DType
    others: tuple[tuple[str, DType, DType], ...] = ()

    def mixer(self, stored: Stored | None) -> StepFormats:
        """Formats of a block's mixers."""
        return self._linear(stored.mixer if stored else None)

    def ffn(self, stored: Stored | None) -> StepFormats:
        """Formats of a block's dense feed-forward."""
        return self._linear(stored.ffn if stored else None)

    def routed(self, stored: Stored | None) -> StepFormats:
        """Formats of a block's routed experts and of what leads to them."""
        found = self._linear(stored.ffn if stored else None)
        return self if found is self else replace(self, experts=found.weights, expert_activations=found.activations)

    def shared(self, stored: Stored | None) -> tuple[DType, DType]:
        """Weights and activations of shared experts: as the routed ones unless a checkpoint stores them apart."""
        for name, weights, activations in self.others if stored else ():
            if stored and name == stored.shared:
                return weights, activations
        return self.experts, self.expert_activations

    def _linear(self, name: str | None) -> StepFormats:
        for other, weights, activations in self.others if name else ():
            if other == name:
                return replace(self, weights=weights, activations=activations)
        return self


def formats_of(model: Model, device: Device, deployment: Priced) -> StepFormats:
    """Formats from, in this order, the deployment, the checkpoint, and the engine's defaults.

    Activations follow the weights where the device computes in that format (fp8 weights on Hopper: fp8;
    on Ampere: weight-only, bf16).  4-bit integer weights are weight-only; nvfp4 is 4-bit on both sides where
    the units exist.  The cache is 16-bit unless asked for, but TensorRT-LLM pairs fp8 and nvfp4 checkpoints with an fp8
    cache. Accelerators serve checkpoints stored in fp32 as bf16, as engines do by default.
    A checkpoint whose experts alone are quantised keeps its attention in 16 bits.
    """
    return _formats(model, device, deployment.formats, deployment.runtime.engine)


@lru_cache(maxsize=4096)
def _formats(model: Model, device: Device, asked: Formats, engine: str) -> StepFormats:
    stored = "bf16" if model.dtype == "fp32" and device.kind in ("gpu", "npu", "tpu") else model.dtype
    named = dtype(asked.weights) if asked.weights else dtype(stored)
    plain = named if named.name in ("fp16", "fp32") else dtype("bf16")
    as_stored = asked.weights in (None, model.dtype, model.expert_dtype) and not asked.experts
    split_checkpoint = model.expert_dtype is not None and asked.weights in (None, model.expert_dtype)
    if asked.experts:
        experts = dtype(asked.experts)
    elif split_checkpoint and model.expert_dtype:
        experts = dtype(model.expert_dtype)
    else:
        experts = named
    weights = dtype(stored) if split_checkpoint else named
    if engine == "llamacpp" and split_checkpoint and experts.name == "mxfp4" and weights.bits >= 16:
        weights = dtype("q8_0")  # files of llama.cpp keep the rest so (gpt-oss-20b-mxfp4.gguf: 12.1 GB)
    if engine == "llamacpp":
        weights, experts = _in_gguf(weights), _in_gguf(experts)
    given = dtype(asked.activations) if asked.activations else None

    def fed(one: DType) -> DType:
        return given if given and one.bits < 16 else _activations(one, device, plain, engine)

    if asked.kv:
        kv = dtype(asked.kv)
    elif engine == "trtllm" and experts.name in ("fp8", "fp8-block", "nvfp4"):
        kv = dtype("fp8")
    else:
        kv = dtype(model.kv_dtype) if model.kv_dtype else plain
    if engine == "llamacpp":
        kv = _in_gguf(kv)
    return StepFormats(
        weights=weights,
        activations=fed(weights),
        experts=experts,
        expert_activations=fed(experts),
        kv=kv,
        plain=plain,
        head=weights if weights.everywhere else dtype(model.head_dtype) if model.head_dtype and as_stored else plain,
        others=tuple((name, dtype(name), fed(dtype(name))) for name in _others(model)) if as_stored else (),
    )


def _in_gguf(one: DType) -> DType:
    """The format that llama.cpp converts one to which its files do not have: 8 bits with a scale for each 32 elements,
    or 4 bits (Q4_K_M)."""
    if one.everywhere or one.bits >= 16 or one.name == "mxfp4":
        return one
    return dtype("q4_k_m" if one.element_bits <= 4 else "q8_0")


def _others(model: Model) -> list[str]:
    """Formats that blocks of a checkpoint have beside its own."""
    stored = [r.block.stored for r in model.runs if r.block.stored]
    names = [name for one in stored for name in (one.mixer, one.ffn, one.shared) if name]
    return list(dict.fromkeys(names))


def _activations(weights: DType, device: Device, plain: DType, engine: str) -> DType:
    """What engines feed a matrix product whose weights are in `weights`; llama.cpp's GPU kernels for quantised weights
    work in int8."""
    has = device.peak_flops
    if (
        engine == "llamacpp"
        and weights.bits < 16
        and device.kind == "gpu"
        and has.get("int8")
        and device.vendor in ("NVIDIA", "AMD")
    ):
        return dtype("int8")
    if weights.name in ("fp8", "fp8-block", "mxfp8") and has.get("fp8"):
        return dtype("fp8")
    if weights.name == "nvfp4" and has.get("fp4"):
        return dtype("nvfp4")
    if weights.name == "mxfp4" and has.get("fp4"):
        return dtype("fp8")
    return plain

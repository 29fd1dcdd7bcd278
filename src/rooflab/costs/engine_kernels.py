"""Kernel curves as a served engine meets them: factors of the device, of the engine's own kernels, and of its
launches."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from rooflab.costs.calibration import KernelCalibration, calibration_for
from rooflab.costs.engine_constants import DeviceFactors, EngineOverhead
from rooflab.costs.gemm import GemmCurve, smooth_max
from rooflab.costs.moe import MoeCurve
from rooflab.costs.user_kernels import UserKernels
from rooflab.scenario.hardware import Device

__all__ = ["engine_kernels"]

_READ_CORNER: Final = 4.0
"""How sharp the corner is between a device's memory and an engine's reads in flight; modelling choice (a maximum has no
slope)."""
_WARP_MMA: Final = ("llamacpp",)
"""Engines whose products use the matrix instructions of one warp."""
_WARPGROUP_MMA: Final = ("hopper", "blackwell")
"""Families whose peak is that of wider instructions."""
_WARP_SHARE: Final = 0.63
"""What instructions of one warp reach of Hopper's peak (Luo et al. 2024, Benchmarking and Dissecting the Nvidia Hopper
GPU Architecture via Microbenchmarking: 62.9 % on average); taken for Blackwell too."""


class _Shares(NamedTuple):
    """Factors on the tables' shares: bandwidth, the device's arithmetic, that of products in 16 bits and in fewer;
    slowest byte; attention.

    An engine's own arithmetic is that of its products; attention has times of its own.
    """

    memory: float = 1.0
    device: float = 1.0
    compute: float = 1.0
    narrow: float = 1.0
    slowest: float = 0.0
    prefill_attention: float = 1.0
    decode_attention: float = 1.0

    def reached(self, em: float) -> float:
        """Share of bandwidth: the slower of the memory and of what the reads in flight can fetch, with a rounded
        corner."""
        share = min(em * self.memory, 1.0)
        return float(1.0 / smooth_max(1.0 / share, self.slowest, _READ_CORNER))

    def arithmetic(self, format_key: str) -> float:
        """The factor of a format."""
        return self.compute if format_key == "bf16" else self.narrow


_TIMED: Final = _Shares()


@lru_cache(maxsize=512)
def engine_kernels(
    device: Device, engine: str, overhead: EngineOverhead, factors: DeviceFactors, own: UserKernels | None = None
) -> KernelCalibration:
    """The curves of `device` under `engine`: launch floors by `launch`, quantisation by `quantise`, shares by the
    factors of both.

    What a narrow format's launch floor has beyond that of bf16 is the launch of its quantisation kernel.  Factors stand
    for kernels that nobody timed, so they leave those of `own` (the calibration in force) alone.
    """
    kernels, shares = calibration_for(device, engine), _shares(device, engine, overhead, factors)
    warp = _WARP_SHARE if overhead.warp_experts and device.family in _WARPGROUP_MMA else 1.0
    if (overhead.launch, overhead.quantise, overhead.block_experts, warp, shares) == (1.0, 1.0, 1.0, 1.0, _TIMED):
        return kernels

    def of(key: str) -> _Shares:
        fit = kernels.fits.get(key) if own else None
        return _TIMED if fit is not None and fit.mine else shares

    plain_s = kernels.gemm["bf16"].t0_s
    changed: dict[str, Any] = {
        "gemm": {k: _gemm(k, v, of(f"gemm/{k}"), overhead, plain_s) for k, v in kernels.gemm.items()},
        "moe": {k: _experts(k, v, of(f"moe/{k}"), overhead, warp) for k, v in kernels.moe.items()},
    }
    for name in ("prefill", "decode", "mla_prefill", "mla_decode"):
        curves = getattr(kernels, name)
        changed[name] = {k: _attention(name, v, of(f"{name}/{k}"), overhead) for k, v in curves.items()}
    for name in ("gdn_decode", "gdn_prefill", "mamba2_decode", "mamba2_prefill"):
        changed[name] = _launched(getattr(kernels, name), of(name), overhead)
    changed["mla_layer_s"] = kernels.mla_layer_s * overhead.launch
    changed["elementwise"] = replace(kernels.elementwise, em=min(kernels.elementwise.em * shares.memory, 1.0))
    return replace(kernels, **changed)


def _shares(device: Device, engine: str, overhead: EngineOverhead, factors: DeviceFactors) -> _Shares:
    compute = factors.compute / overhead.arithmetic
    if engine in _WARP_MMA and device.family in _WARPGROUP_MMA:
        compute *= _WARP_SHARE
    return _Shares(
        memory=factors.memory * overhead.memory,
        device=factors.compute,
        compute=compute,
        narrow=compute / overhead.unpacking,
        slowest=overhead.read_s_per_byte * device.memory_bytes_per_s,
        prefill_attention=overhead.prefill_attention,
        decode_attention=overhead.decode_attention,
    )


def _gemm(key: str, curve: GemmCurve, shares: _Shares, overhead: EngineOverhead, plain_s: float) -> GemmCurve:
    quantise_s = max(curve.t0_s - plain_s, 0.0) if curve.a > 0 else 0.0
    t0_s = overhead.launch * (curve.t0_s - quantise_s + overhead.quantise * quantise_s)
    ec = min(curve.ec * shares.arithmetic(key), 1.0)
    return replace(curve, t0_s=t0_s, ec=ec, em=shares.reached(curve.em), a=curve.a * overhead.quantise)


def _experts(key: str, curve: MoeCurve, shares: _Shares, overhead: EngineOverhead, warp: float) -> MoeCurve:
    longer = (overhead.block_experts if key == "fp8_block" else 1.0) / warp
    ec = min(curve.ec * shares.arithmetic(key) / longer, 1.0)
    # kernels for a few rows an expert are others than those for many: an engine's factor is seen on many
    pad = curve.pad_tokens * (ec / curve.ec if overhead.arithmetic * overhead.unpacking > 1.0 else 1.0)
    return replace(
        curve, t0_s=curve.t0_s * overhead.launch, ec=ec, em=shares.reached(curve.em / longer), pad_tokens=pad
    )


def _attention(name: str, curve: Any, shares: _Shares, overhead: EngineOverhead) -> Any:
    return _launched(
        curve, shares, overhead, shares.decode_attention if name.endswith("decode") else shares.prefill_attention
    )


def _launched(curve: Any, shares: _Shares, overhead: EngineOverhead, longer: float = 1.0) -> Any:
    changes = {"t0_s": curve.t0_s * overhead.launch}
    for share, factor in (("em", shares.memory), ("ec", shares.device), ("e", shares.device)):
        if hasattr(curve, share):
            changes[share] = min(getattr(curve, share) * factor / longer, 1.0)
    return replace(curve, **changes)

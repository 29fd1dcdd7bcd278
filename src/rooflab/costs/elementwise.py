"""Small kernels that only move data: norms, activations, residual adds, rotary embedding, sampling passes, casts."""

from __future__ import annotations

from dataclasses import dataclass

from rooflab.costs.quantity import Real, only_if

__all__ = ["ElementwiseCurve", "elementwise_s"]


@dataclass(frozen=True, slots=True)
class ElementwiseCurve:
    """`t0_s` launch floor of one kernel; `em` share of datasheet bandwidth that a streaming pass reaches."""

    t0_s: float = 2e-6
    em: float = 0.75


def elementwise_s(moved_bytes: Real, *, bytes_per_s: Real, curve: ElementwiseCurve, kernels: Real = 1.0) -> Real:
    """Seconds of `kernels` passes that read and write `moved_bytes` together: t = kernels·t0 + bytes / (BW·em)."""
    return only_if(moved_bytes, curve.t0_s * kernels + moved_bytes / (bytes_per_s * curve.em))

"""Dense matrix products: a launch floor, a smooth maximum of compute and memory, and the quantisation of activations.

    t = t0 + ((2mnk / (P·ec))^q + (bytes / (BW·em))^q)^(1/q) + a·3·m·k / BW

The library picks tile and split, so wave quantisation does not show; what shows is the launch (t0), the rounded
corner of the roofline (q) and, when activations are quantised on the fly, a pass that reads bf16 and writes the
narrow format (3 bytes an element; a > 1 because that pass is far from the peak bandwidth).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.costs.quantity import Real, only_if

__all__ = ["GemmCurve", "batched_gemm_s", "gemm_s"]


@dataclass(frozen=True, slots=True)
class GemmCurve:
    """Constants of one number format on one device.

    `t0_s` launch floor; `ec`, `em` shares of datasheet peak and bandwidth reached by large products (at most 1);
    `q` sharpness of the corner between the two (infinite: a plain roofline); `a` cost of quantising activations,
    in passes of 3 bytes an element at full bandwidth (0: activations are used as they are).
    """

    t0_s: float
    ec: float
    em: float
    q: float = 3.0
    a: float = 0.0


def gemm_s(
    m: Real,
    n: Real,
    k: Real,
    *,
    weight_bytes: Real,
    act_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: GemmCurve,
    out_bytes: Real = 2.0,
) -> Real:
    """Seconds of an (m × k) by (k × n) product with `m` tokens.

    `weight_bytes`, `act_bytes`, `out_bytes`: bytes an element as the kernel reads and writes it; `peak_flops`:
    datasheet peak (FLOP/s) of the arithmetic; `bytes_per_s`: datasheet memory bandwidth.  0 when m, n or k is 0.
    """
    return batched_gemm_s(
        1.0,
        m,
        n,
        k,
        weight_bytes=weight_bytes,
        act_bytes=act_bytes,
        peak_flops=peak_flops,
        bytes_per_s=bytes_per_s,
        curve=curve,
        out_bytes=out_bytes,
    )


def batched_gemm_s(
    batch: Real,
    m: Real,
    n: Real,
    k: Real,
    *,
    weight_bytes: Real,
    act_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: GemmCurve,
    out_bytes: Real = 2.0,
) -> Real:
    """Seconds of `batch` independent products in one launch, each with its own weights (absorbed MLA: one a head)."""
    flops = 2.0 * batch * m * n * k
    moved = batch * (n * k * weight_bytes + m * k * act_bytes + m * n * out_bytes)
    compute_s = flops / (peak_flops * curve.ec)
    memory_s = moved / (bytes_per_s * curve.em)
    quantise_s = curve.a * 3.0 * batch * m * k / bytes_per_s
    return only_if(flops, curve.t0_s + smooth_max(compute_s, memory_s, curve.q) + quantise_s)


def smooth_max(x: Real, y: Real, q: float) -> Real:
    """(x^q + y^q)^(1/q), computed so that it neither overflows nor falls below the larger of the two."""
    high, low = np.maximum(x, y), np.minimum(x, y)
    ratio = low / np.where(high > 0, high, 1.0)
    return high * (1.0 + ratio**q) ** (1.0 / q)

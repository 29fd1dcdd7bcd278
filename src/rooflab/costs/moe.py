"""Mixture-of-experts feed-forward on one rank: routing passes, two grouped GEMMs, activation, combination.

    A = T·K/ep,  touched = min(A, (E/ep)·(1 − exp(−α·A·ep/E)))          α = ∞: balanced routing
    t = t0 + max( 2·M·h·i·(A + pad·touched) / (P·ec),  touched·M·h·i·wb / (BW·em) )
           + a·A·(2h + M·i)·2 / BW + remote·(T·K − A)·h·2 / BW

M matrices an expert (3 gated, 2 not), h width that experts see (the latent width in latent MoE), i expert width on
this rank.  `pad` is the tokens of work that every touched expert costs beyond its own: the ramp of grouped-GEMM
efficiency.  The `a` term is what permutes, quantises, activates and combines tokens; the `remote` term what a rank
spends on slots of tokens whose expert lives elsewhere, when every rank holds every token.  Under expert parallelism a
step waits for the hottest rank, which skewed routing gives ep^heat times the mean load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.costs.quantity import Real, only_if

__all__ = ["MoeCurve", "experts_touched", "moe_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeCurve:
    """`t0_s` launches; `ec`, `em` shares of peak and bandwidth; `a` activation passes; `pad_tokens` an expert.

    `remote`: passes over a slot whose expert is on another rank.  `alpha`, `heat`: skewed (power-law 1.2) routing, see
    `experts_touched` and the module.  `vector_tokens`: up to so many tokens an expert are products of a matrix with
    vectors, which pad nothing; the padding of tiles sets in towards it (0: tiles from the first token).
    """

    t0_s: float
    ec: float
    em: float
    a: float
    pad_tokens: float
    alpha: float = 1.0
    heat: float = 0.0
    remote: float = 0.0
    vector_tokens: float = 0.0


def experts_touched(assignments: Real, experts: Real, alpha: Real) -> Real:
    """How many of a rank's `experts` get a token when `assignments` token-expert pairs arrive; `alpha` inf: balanced.

    1 is uniform random routing; skewed routing touches fewer.
    """
    safe = np.maximum(experts, 1e-9)
    finite = np.minimum(alpha, 1e9)  # inf times nothing is not a number
    random = experts * -np.expm1(-np.minimum(finite * (assignments / safe), 700.0))
    return np.minimum(assignments, random)


def moe_s(
    tokens: Real,
    *,
    hidden: Real,
    width: Real,
    experts: Real,
    top_k: Real,
    ep: Real = 1.0,
    matrices: Real = 3.0,
    weight_bytes: Real,
    peak_flops: Real,
    bytes_per_s: Real,
    curve: MoeCurve,
    alpha: Real | None = None,
    imbalance: Real | None = None,
    gathered: Real = 1.0,
) -> Real:
    """Seconds of one MoE layer's experts for `tokens` (of all ranks of the expert-parallel group together).

    `width`: expert width on this rank (after tensor parallelism of the experts); `experts`: all of the layer;
    `alpha` overrides the curve's routing skew (np.inf: balanced); `imbalance`, the load of the hottest rank over the
    mean, is ep^heat by default, 1 when balanced; `gathered`: 1 when every rank holds all `tokens` (tensor-parallel
    attention), 0 when an all-to-all brings only a rank's own.
    """
    here = experts / ep
    alpha = curve.alpha if alpha is None else alpha
    if imbalance is None:
        imbalance = np.where(np.isinf(alpha), 1.0, np.asarray(ep) ** curve.heat)
    assignments = np.minimum(tokens * top_k / ep * imbalance, tokens * np.minimum(top_k, here))
    touched = experts_touched(assignments, here, alpha)
    weights = matrices * hidden * width
    pad = curve.pad_tokens * touched
    if curve.vector_tokens > 1.0:
        each = assignments / np.maximum(touched, 1e-12)
        pad = pad * np.clip((each - 1.0) / (curve.vector_tokens - 1.0), 0.0, 1.0)
    compute_s = 2.0 * weights * (assignments + pad) / (peak_flops * curve.ec)
    memory_s = touched * weights * weight_bytes / (bytes_per_s * curve.em)
    passes_s = curve.a * assignments * (2.0 * hidden + matrices * width) * 2.0 / bytes_per_s
    foreign = np.maximum(tokens * top_k - assignments, 0.0) * gathered
    remote_s = curve.remote * foreign * hidden * 2.0 / bytes_per_s
    return only_if(assignments, curve.t0_s + np.maximum(compute_s, memory_s) + passes_s + remote_s)

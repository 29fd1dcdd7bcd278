"""Gaps between tokens: which steps an answer meets while it is written."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.load import Case, Steady, lanes_in_use, mixed_step

__all__ = ["gaps"]

Array = npt.NDArray[np.float64]

_TAIL: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def gaps(costs: StepCosts, case: Case, steady: Steady) -> dict[str, Array]:
    """Gaps between tokens: steps by the prompt tokens that they hold beside the decodes; speculation yields several
    tokens at once.

    Prompts begin in steps as a Poisson process, so a step's prompt tokens are a compound Poisson sum, cut at the token
    budget. Without chunking a prompt stops the decodes: a gap is plain or holds one whole prefill.
    """
    out = {"mean": steady.tpot_s}
    decoding = steady.decoding / lanes_in_use(case, steady.decoding)
    room = np.maximum(case.chunk - decoding, 1.0)
    for name, p in _TAIL.items():
        tokens = np.minimum(_prompt_tokens(case, steady.beginning, p), room)
        chunked_s = np.where(tokens > 0, mixed_step(costs, case, decoding, tokens).seconds, steady.plain_s)
        stopped_s = np.where(steady.mixed_share >= 1 - p, steady.mixed_s, steady.plain_s)
        out[name] = np.where(case.mixed, chunked_s, stopped_s) / case.stage_balance
    return out


def _prompt_tokens(case: Case, beginning: Array, p: float) -> Array:
    """Quantile `p` of the prompt tokens that come in a step, with `beginning` prompts a step on average (lengths
    lognormal).

    The larger of one long prompt, the quantile 1 − (1 − p)/λ of lengths, and of many together: Wilson-Hilferty's
    quantile of a gamma distribution with the sum's mean λI and variance λI²(1 + cv²).
    """
    from statistics import NormalDist

    safe = np.maximum(beginning, 1e-12)
    sigma = np.sqrt(np.log1p(case.isl_cv**2))
    beyond = (1 - p) / -np.expm1(-safe)  # share of steps with a prompt that are worse
    single = case.isl * np.exp(sigma * np.where(beyond < 0.5, _upper(beyond), -_upper(1 - beyond)) - sigma**2 / 2)
    shape = np.maximum(safe / (1 + case.isl_cv**2), 1.0 / 3.0)
    several = safe * case.isl * (1 - 1 / (9 * shape) + NormalDist().inv_cdf(p) / (3 * np.sqrt(shape))) ** 3
    return np.where(beyond < 1, np.maximum(single, several), 0.0)


def _upper(tail: Array) -> Array:
    """Standard normal quantile of upper-tail probabilities up to ½ (Abramowitz and Stegun 26.2.23, error below
    5e-4)."""
    t = np.sqrt(-2 * np.log(np.clip(tail, 1e-12, 0.5)))
    out: Array = t - (2.515517 + 0.802853 * t + 0.010328 * t**2) / (
        1 + 1.432788 * t + 0.189269 * t**2 + 0.001308 * t**3
    )
    return np.maximum(out, 0.0)

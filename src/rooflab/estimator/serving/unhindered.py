"""Latencies of requests that wait for others in part, or not at all.

    TTFT' = TTFT − (1 − w) · (TTFT − alone)        alone: frontend and the steps of its own prompt
    TPOT' = TPOT − (1 − w) · (TPOT − plain)        plain: steps of as many decodes, with no prompt in them

by statistic, where w is the share of waits that is paid for (`rooflab.scenario.paid`).  What an engine gets done is the
same: waits are gone for who waits, and the work that was waited for is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.lengths import WEIGHTS
from rooflab.estimator.serving.load import Case, prefill_seconds, steady_state
from rooflab.estimator.serving.outcome import STATS, Outcome

__all__ = ["unhindered"]

Array = npt.NDArray[np.float64]

_LEVELS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def unhindered(costs: StepCosts, case: Case, frontend_s: Array, outcome: Outcome, share: float) -> Outcome:
    """`outcome` of which requests wait the `share` of what they do; no latency becomes longer."""
    steady = steady_state(costs, case, np.maximum(outcome.running, 1e-9))
    plain_s = steady.plain_s / case.yields / case.stage_balance
    alone_s = _alone_s(costs, case)
    tail = np.maximum(case.osl - 1, 0.0)
    ttft, tpot, e2e = {}, {}, {}
    for name in STATS:
        ttft[name] = _less(outcome.ttft_s[name], frontend_s + alone_s[name], share)
        tpot[name] = _less(outcome.tpot_s[name], plain_s, share)
        gone_s = _gone(outcome.ttft_s[name], ttft[name])
        gone_s = gone_s + tail * np.nan_to_num(_gone(outcome.tpot_s[name], tpot[name]))
        least_s = np.minimum(outcome.e2e_s[name], frontend_s + alone_s[name] + tail * plain_s)
        e2e[name] = np.maximum(outcome.e2e_s[name] - gone_s, least_s)
    return replace(outcome, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e)


def _less(seconds: Array, least_s: Array, share: float) -> Array:
    """`seconds` of which what is beyond `least_s` counts in part; what never ends, never ends."""
    ends = np.isfinite(seconds)
    over_s = np.maximum(np.where(ends, seconds, 0.0) - least_s, 0.0)
    return np.where(ends, np.where(ends, seconds, 0.0) - (1.0 - share) * over_s, seconds)


def _gone(before_s: Array, after_s: Array) -> Array:
    ends = np.isfinite(before_s)
    return np.where(ends, before_s, 0.0) - np.where(ends, after_s, 0.0)


def _alone_s(costs: StepCosts, case: Case) -> dict[str, Array]:
    """Seconds of a request's own prompt with nobody beside it, by statistic over the lengths of prompts."""
    bins = len(WEIGHTS)
    rows = np.repeat(np.arange(len(case.isl)), bins)
    place = np.tile(np.arange(bins), len(case.isl))
    each = case.take(rows)
    isl = np.maximum(each.isl * each.isl_shape[np.arange(len(rows)), place], 1.0)
    own = replace(
        each, isl=isl, prompt=np.maximum(each.prompt * isl / each.isl, 1.0), isl_shape=np.ones_like(each.isl_shape)
    )
    seconds = prefill_seconds(costs, own, np.ones(len(rows)))[0].reshape(-1, bins)
    below = np.cumsum(WEIGHTS)
    out = {name: seconds[:, int(np.searchsorted(below, level))] for name, level in _LEVELS.items()}
    return out | {"mean": seconds @ WEIGHTS}

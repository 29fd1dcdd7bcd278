"""The fit of a trace: what decides queues and caches, as a few distributions and numbers.

Two quantile functions in straight lines between 65 evenly spaced probabilities (the least-squares ones, so that the
mean is the trace's), the rank correlation of prompt and answer, the mean rate, one number for burstiness, and, where
block hashes tell, how conversations go on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.trace_files import Trace, read_trace
from rooflab.catalogue.trace_prefixes import continuations, prompt_blocks
from rooflab.catalogue.workload_entry import WorkloadEntry, measured_sessions
from rooflab.scenario.lengths import Lengths, quantiles
from rooflab.scenario.traffic import Sessions
from rooflab.search.highest import Bracket, arithmetic, narrow

__all__ = ["fit_quantiles", "fit_trace"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

KNOTS: Final = 65
_COARSE_CLOCK: Final = 0.2
"""Fraction of simultaneous arrivals above which a trace's clock is too coarse for gaps to mean anything."""


def fit_trace(
    path: str | Path,
    *,
    key: str = "",
    title: str = "",
    source: str = "",
    url: str = "",
    licence: str = "",
    note: str = "",
) -> WorkloadEntry:
    """A workload entry fitted to the trace in `path` (see `rooflab.catalogue.trace_files` for the forms)."""
    trace = read_trace(path)
    isl, osl = fit_quantiles(trace.input_tokens), fit_quantiles(trace.output_tokens)
    shared_prefix, sessions, reused = _sharing(trace)
    return WorkloadEntry(
        key=key or Path(path).stem,
        title=title or Path(path).name,
        source=source or str(path),
        url=url,
        licence=licence,
        rows=len(trace),
        isl=isl,
        osl=osl,
        correlation=round(_spearman(trace.input_tokens, trace.output_tokens), 4),
        span_s=None if trace.time_s is None else round(float(trace.time_s[-1]), 3),
        rate=trace.rate_per_s,
        arrivals_cv=_burstiness(trace),
        shared_prefix=shared_prefix,
        sessions=sessions,
        reused_fraction=reused,
        note=note,
        errors={
            "isl_ks": round(_ks(trace.input_tokens, isl), 4),
            "osl_ks": round(_ks(trace.output_tokens, osl), 4),
            "isl_cv": round(isl.cv / _cv(trace.input_tokens) - 1, 4) if _cv(trace.input_tokens) else 0.0,
            "osl_cv": round(osl.cv / _cv(trace.output_tokens) - 1, 4) if _cv(trace.output_tokens) else 0.0,
        },
    )


def fit_quantiles(values: npt.NDArray[Any], knots: int = KNOTS) -> Lengths:
    """The quantile function in straight lines through `knots` points that is nearest to that of `values` (least
    squares).

    Its mean is the sample's, because constants are among such functions. Where the fit would fall, the knots are tied
    together.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    ordered = np.repeat(ordered, -(-8 * knots // len(ordered)))  # a small sample leaves no cell empty
    at = (np.arange(len(ordered)) + 0.5) / len(ordered) * (knots - 1)
    cell = np.minimum(at.astype(np.int64), knots - 2)
    f = at - cell
    gram, right = np.zeros((knots, knots)), np.zeros(knots)
    for i, a in ((cell, 1 - f), (cell + 1, f)):
        right += np.bincount(i, a * ordered, knots)
        for j, b in ((cell, 1 - f), (cell + 1, f)):
            gram += np.bincount(i * knots + j, a * b, knots * knots).reshape(knots, knots)
    tied = np.arange(knots)
    while True:
        groups = np.equal.outer(tied, np.unique(tied)).astype(np.float64)
        table = groups @ np.linalg.lstsq(groups.T @ gram @ groups, groups.T @ right, rcond=None)[0]
        falls = np.flatnonzero(np.diff(table) < -1e-9 * max(ordered[-1], 1.0))
        if len(falls) == 0:
            break
        for k in falls:
            tied[tied == tied[k + 1]] = tied[k]
    table = np.maximum.accumulate(np.clip(table, ordered[0], None))
    return quantiles([float(f"{x:.6g}") for x in table])


def _sharing(trace: Trace) -> tuple[int, Sessions | None, float | None]:
    """Tokens that all prompts begin with, sessions, and the fraction of prompt tokens that had been seen before."""
    blocks = prompt_blocks(trace)
    if blocks is None:
        return 0, None, None
    found = continuations(*blocks)
    size = trace.block_tokens
    reused = np.minimum(found.shared * size, trace.input_tokens).sum() / trace.input_tokens.sum()
    child = np.flatnonzero(found.parent >= 0)
    if len(child) < 2 or trace.time_s is None:
        return found.common_blocks * size, None, round(float(reused), 4)
    parent = found.parent[child]
    scores = _normal_scores(trace.input_tokens)
    alike = float(np.corrcoef(scores[child], scores[parent])[0, 1])
    turns = fit_quantiles(np.unique(found.sessions(), return_counts=True)[1])
    gaps = fit_quantiles(trace.time_s[child] - trace.time_s[parent])
    alike = round(min(max(alike, 0.0), 1.0), 4)
    longer = _fit_longer(fit_quantiles(trace.input_tokens), turns, alike, found.common_blocks * size, float(reused))
    return found.common_blocks * size, measured_sessions(turns, gaps, alike, longer), round(float(reused), 4)


def _fit_longer(isl: Lengths, turns: Lengths, alike: float, common_tokens: int, reused: float) -> float:
    """The correlation of a session's lengths with its number of turns for which its turns repeat the fraction `reused`
    of all tokens."""
    rng = np.random.default_rng(0)
    by_turns, shared, own = (rng.standard_normal(n) for n in (40_000, 40_000, int(40_000 * turns.mean * 1.2)))
    counts = np.maximum(np.round(_at_ranks(turns, by_turns)), 1).astype(np.int64)
    session = np.repeat(np.arange(len(counts)), counts)[: len(own)]
    first = np.append(True, session[1:] != session[:-1])

    def repeats(longer: float) -> float:
        of_session = longer * by_turns + (1 - longer**2) ** 0.5 * shared
        tokens = _at_ranks(isl, (1 - alike) ** 0.5 * own[: len(session)] + alike**0.5 * of_session[session])
        tokens = tokens[np.lexsort((tokens, session))]
        return float((tokens[:-1][~first[1:]].sum() + common_tokens * first.sum()) / tokens.sum())

    return round(narrow(lambda longer: repeats(longer) < reused, Bracket(0.0, 1.0, arithmetic), calls=10).middle, 3)


def _at_ranks(lengths: Lengths, scores: F64) -> F64:
    """The quantiles of `lengths` at the ranks of `scores`."""
    out = np.empty(len(scores))
    out[np.argsort(scores)] = np.interp(
        (np.arange(len(scores)) + 0.5) / len(scores), np.linspace(0, 1, KNOTS), lengths.table
    )
    return out


def _burstiness(trace: Trace) -> float | None:
    """Coefficient of variation of the gaps; where many arrivals share an instant (a coarse clock), the square root of
    the variance over the mean of counts in windows of ten ticks, which is the same number for a renewal process."""
    if trace.time_s is None or trace.rate_per_s is None:
        return None
    gaps = np.diff(trace.time_s)
    if (gaps == 0).mean() <= _COARSE_CLOCK:
        return round(_cv(gaps), 4)
    window_s = 10 * float(np.median(gaps[gaps > 0]))
    windows = max(int(trace.time_s[-1] / window_s), 1)
    counts = np.histogram(trace.time_s, bins=np.arange(windows + 1) * window_s)[0]
    return round(float((counts.var() / counts.mean()) ** 0.5), 4)


def _cv(values: npt.NDArray[Any]) -> float:
    return float(values.std() / values.mean())


def _ranks(values: npt.NDArray[Any]) -> F64:
    """Ranks from 0 to 1 exclusive, ties at their middle."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    out: F64 = (np.cumsum(counts) - counts / 2)[index] / len(values)
    return out


def _spearman(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return 0.0
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _normal_scores(values: npt.NDArray[Any]) -> F64:
    from statistics import NormalDist

    levels, index = np.unique(_ranks(values), return_inverse=True)
    return np.array([NormalDist().inv_cdf(p) for p in levels])[index]


def _ks(values: npt.NDArray[Any], fit: Lengths) -> float:
    """Largest distance of the distribution functions of a sample and of a fit, at the sample's values (counts are
    rounded)."""
    levels, counts = np.unique(values, return_counts=True)
    knots = np.asarray(fit.table)
    below = np.interp(
        levels + 0.5, knots + np.arange(len(knots)) * 1e-9, np.linspace(0, 1, len(knots)), left=0.0, right=1.0
    )
    return float(np.abs(below - np.cumsum(counts) / len(values)).max())

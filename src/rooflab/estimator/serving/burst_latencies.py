"""Latencies of the requests of a burst: of first tokens by their place in line, of tokens and answers by length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.burst_line import Line
from rooflab.estimator.serving.burst_prices import Clock, Priced, first_tokens, searched
from rooflab.estimator.serving.burst_sent import LEVELS, SAMPLES, SHARES, weighted
from rooflab.estimator.serving.lengths import WEIGHTS
from rooflab.estimator.serving.load import Case, decode_step, prefill_seconds
from rooflab.estimator.serving.outcome import STATS

__all__ = ["after_first", "first_by_rank", "gaps"]

Array = npt.NDArray[np.float64]
Statistics = dict[str, Array]


def first_by_rank(line: Line, p: Priced, clock: Clock) -> tuple[Statistics, Array, Array]:
    """First tokens by statistic; those of requests evenly along the line, (R, SAMPLES), and where those begin, as
    `first_tokens` has it."""
    n = np.maximum(line.sent.count / line.lanes, 1.0)[:, None]
    frontend_s = line.sent.frontend_s[:, None]
    rank = np.minimum(np.ceil((np.arange(SAMPLES) + 0.5) / SAMPLES * n), np.maximum(np.floor(n), 1.0))
    depth = 1 + np.array(list(LEVELS.values())) * (n - 1)
    ranks = np.concatenate((rank, np.floor(depth), np.ceil(depth - 1e-9)), axis=1)
    first_s, begin = first_tokens(p, clock, line.case, ranks)
    waited_s, low, high = np.split(first_s + frontend_s, (SAMPLES, SAMPLES + len(LEVELS)), axis=1)
    between = depth - np.floor(depth)
    at = low * (1 - between) + high * between
    ttft = {"mean": waited_s.mean(axis=1)} | {name: at[:, i] for i, name in enumerate(LEVELS)}
    if line.held.any():
        since_s = frontend_s[:, :, None] + _since_sent(line, clock, rank, first_s[:, :SAMPLES])
        share = np.broadcast_to(WEIGHTS / SAMPLES, since_s.shape)
        of_all = weighted(since_s, share, line.sent.count * line.sent.engines)
        ttft = {name: np.where(line.held, of_all[name], ttft[name]) for name in ttft}
        waited_s = np.where(line.held[:, None], since_s @ WEIGHTS, waited_s)
    return ttft, waited_s, begin[:, :, :SAMPLES]


def _since_sent(line: Line, clock: Clock, rank: Array, first_s: Array) -> Array:
    """Seconds from when a client that holds requests back sends one to its first token, without the frontend, (R, M,
    len(WEIGHTS)) by the lengths of prompts: those that an answer's end releases wait for their own prompt, and for
    those that are released with them."""
    case, queue, rows = line.case, line.queue, np.arange(len(rank))[:, None]
    place, later_s = clock.seen(rank)
    released = place - np.maximum(np.floor(line.sent.flight / line.lanes), 1.0)[:, None]
    ended = clock.ended
    cell = np.clip(searched(ended, released - 1e-6) - 1, 0, ended.shape[1] - 2)
    span = np.maximum(ended[rows, cell + 1] - ended[rows, cell], 1e-12)
    f = np.clip((released - ended[rows, cell]) / span, 0.0, 1.0)
    at_s = clock.passed[rows, cell] + f * (clock.passed[rows, cell + 1] - clock.passed[rows, cell])
    bins = np.repeat(np.arange(len(rank)), len(WEIGHTS))
    c, ratio = case.take(bins), case.isl_shape.ravel()
    own = replace(c, isl=np.maximum(c.isl * ratio, 1.0), prompt=c.prompt * ratio, isl_shape=np.ones_like(c.isl_shape))
    alone_s = prefill_seconds(line.costs, own, np.ones(len(bins)))[0].reshape(len(rank), -1)
    beside_s = decode_step(line.costs, case, np.maximum(queue.places - 1, 1.0)).seconds * (queue.places > 1)
    own_s = alone_s + (beside_s * np.where(case.mixed, 1.5, 0.5))[:, None]
    more_s = np.maximum(first_s - later_s - at_s - line.sent.frontend_s[:, None] - (own_s @ WEIGHTS)[:, None], 0.0)
    opening_s = (first_s - later_s)[:, :, None]
    return np.where((released > 0)[:, :, None], more_s[:, :, None] + own_s[:, None, :], opening_s)


def after_first(line: Line, p: Priced, clock: Clock, begin: Array, waited_s: Array) -> tuple[Statistics, Statistics]:
    """Times per token and of whole requests: answers of each length from every fourth place in line, which `begin`s
    after `waited_s`."""
    case, rows = line.case, range(len(waited_s))
    every = slice(2, None, 4)
    u, lived_s = begin[0][:, every], begin[1][:, every]
    end = u[:, :, None] + line.queue.steps[:, None, :]
    # of those that end together the last step is behind them when the prompts that follow begin
    rest_s = p.cell_s - (p.u.width - 1) * p.plain_s / case.stage_balance[:, None]
    last_s = np.pad(np.where(case.mixed[:, None], rest_s, p.prompts_s), ((0, 0), (1, 0)))
    ends_s = clock.lived - np.where(p.clumped[:, None], last_s, 0.0)
    steps = p.u.at - np.where(p.clumped & case.mixed, 1.0, 0.0)[:, None]
    at_s = np.stack([np.interp(end[r].ravel(), steps[r], ends_s[r]) for r in rows]).reshape(end.shape)
    took_s = np.maximum(at_s - lived_s[:, :, None], 0.0)
    share, count = np.broadcast_to(SHARES / u.shape[1], took_s.shape), line.sent.count * line.sent.engines
    tail = np.maximum(line.sent.answers - 1, 0.0)[:, None, :]
    several = np.where(tail > 1e-6, share, 0.0)
    none = several.sum(axis=(1, 2)) <= 0
    tpot = weighted(took_s / np.maximum(tail, 1e-6), several, count)
    tpot = {name: np.where(none, np.nan, values) for name, values in tpot.items()}
    near = np.repeat(took_s, 4, axis=1)
    return tpot, weighted(waited_s[:, :, None] + near, np.broadcast_to(SHARES / waited_s.shape[1], near.shape), count)


def gaps(case: Case, p: Priced, tpot: Statistics) -> Statistics:
    """Gaps between tokens: steps by the sequences that decode in them."""
    seen = p.u.decoding * p.u.width * p.times
    values = np.stack((p.plain_s, p.mixed_s), axis=2) / case.stage_balance[:, None, None]
    out = weighted(values, np.stack((seen * (1 - p.share), seen * p.share), axis=2), np.full(len(seen), np.inf))
    out["mean"] = tpot["mean"]
    return {name: np.where(np.isnan(tpot["mean"]), np.nan, out[name]) for name in STATS}

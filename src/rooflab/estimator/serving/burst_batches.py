"""Bursts before engines without a queue of their own: one batch after the other, each as long as its longest answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts, StepResult
from rooflab.estimator.serving.burst_sent import SAMPLES, SHARES, Sent, weighted
from rooflab.estimator.serving.lengths import WEIGHTS
from rooflab.estimator.serving.load import Case, decode_step, prefill_seconds
from rooflab.estimator.serving.outcome import Outcome

__all__ = ["batch_after_batch", "batches"]

Array = npt.NDArray[np.float64]


def batch_after_batch(costs: StepCosts, case: Case, sent: Sent, rounds: Array) -> Outcome:
    """Users of a closed loop before such engines: a batch of those who wait, again and again, for `rounds` (R,); who
    finds no place waits for as long as keeps them all busy (Little's law)."""
    out = batches(costs, case, sent, rounds)
    more_s = np.maximum(sent.mean / out.requests_per_s - out.e2e_s["mean"], 0.0)
    ttft_s, e2e_s = ({name: v + more_s for name, v in of.items()} for of in (out.ttft_s, out.e2e_s))
    return replace(out, ttft_s=ttft_s, e2e_s=e2e_s)


def batches(costs: StepCosts, case: Case, sent: Sent, rounds: Array | float = 1.0) -> Outcome:
    """Bursts before engines that run a batch to its end before the next one: as long as its longest answer; `rounds`
    of them, one behind the other."""
    size = np.maximum(case.prompt - sent.shared + case.beams * (sent.answers @ SHARES), 1e-9)
    most = np.maximum(np.minimum(np.minimum(sent.places, sent.flight), np.floor(sent.room / size + 1e-9)), 1.0)
    full = np.floor(sent.count / most)
    sizes = np.stack((np.minimum(most, sent.count), np.maximum(sent.count - full * most, 1e-9)), axis=1)
    parts = [_one_batch(costs, case, sent, n) for n in sizes.T]
    rest = sent.count - full * most > 1e-9
    (fill_s, wave_s, work, bound_s, longest), (rest_fill_s, rest_s, rest_work, rest_bound_s, rest_longest) = parts
    total_s = full * wave_s + rest * rest_s + sent.frontend_s
    rank = np.minimum(np.ceil((np.arange(SAMPLES) + 0.5) / SAMPLES * sent.count[:, None]), sent.count[:, None])
    wave = np.floor((rank - 1) / most[:, None])
    last = wave >= full[:, None]
    behind_s = wave * wave_s[:, None] * (sent.flight >= sent.count)[:, None]
    waves = np.stack((full, rest), axis=1) * sizes / sent.count[:, None]
    sort = last.astype(int)
    # within one burst all see the same batches, one behind the other; else each sees its own
    many = np.full(len(rank), np.inf)
    own = (sent.flight < sent.count) | (rounds > np.ones(len(rank)))
    filled_s = np.where(
        own[:, None, None], _filled_s(costs, case, sizes), np.stack((fill_s, rest_fill_s), axis=1)[:, :, None]
    )
    waits = (sent.frontend_s[:, None] + behind_s)[:, :, None] + np.take_along_axis(filled_s, sort[:, :, None], axis=1)
    seen = np.where(own, (full + rest) * sent.engines * rounds, many)
    ttft = weighted(waits, np.broadcast_to(WEIGHTS / SAMPLES, waits.shape), seen)
    steps = np.stack((longest, rest_longest), axis=1)
    step_s = np.stack((wave_s - fill_s, rest_s - rest_fill_s), axis=1) / np.maximum(steps, 1e-9)
    tpot = _per_token(case, sent, (sizes, waves, step_s), sent.count * sent.engines * rounds)
    none = np.isnan(tpot["mean"])
    itl = {k: np.where(none, np.nan, v) for k, v in weighted(step_s, waves, many).items()}
    # how long the batch of the request of each rank decodes
    chance = np.take_along_axis(_longest(sizes), sort[:, :, None], axis=1)
    tail_s = np.take_along_axis(step_s, sort, axis=1)[:, :, None] * _steps(case, sent)[:, None, :]
    e2e = weighted((waits @ WEIGHTS)[:, :, None] + tail_s, chance / SAMPLES, many)
    work = StepResult(*(full * a + rest * b for a, b in zip(work, rest_work, strict=True)))
    busy_s = total_s - sent.frontend_s
    idle_w = costs.scalar("idle_w", case.which)
    return Outcome(
        running=np.minimum(most, sent.count), requests_per_s=sent.mean / total_s, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e,
        itl_s=itl, power_w=(work.joules + idle_w * sent.frontend_s) / total_s, parts=work, step_s=busy_s,
        bound_s=full * bound_s + rest * rest_bound_s, utilisation=np.ones_like(total_s),
        saturated=np.zeros(len(total_s), dtype=bool), waves=full + rest,
    )  # fmt: skip


def _one_batch(costs: StepCosts, case: Case, sent: Sent, n: Array) -> tuple[Array, Array, StepResult, Array, Array]:
    """A batch of `n`: seconds of its prompts and of all of it, its work, the bound of that, and its decode steps."""
    fill_s, fill = prefill_seconds(costs, case, n)
    steps = (_longest(n[:, None])[:, 0] * _steps(case, sent)).sum(axis=1)
    step = decode_step(costs, case, np.maximum(n, 1.0), case.prompt + case.beams * steps * case.yields / 2)
    chunks = np.maximum(np.ceil(n * case.isl / case.chunk), 1.0)
    work = StepResult(*(chunks * a + steps * b for a, b in zip(fill, step, strict=True)))
    bound_s = chunks * costs.bound_s(case.which, fill) + steps * costs.bound_s(case.which, step)
    return fill_s, fill_s + steps * step.seconds, work, bound_s, steps


def _filled_s(costs: StepCosts, case: Case, sizes: Array) -> Array:
    """Seconds that the prompts of batches of `sizes` (R, M) take by how long those are, (R, M, len(WEIGHTS)): the sum
    of n of them differs by 1/√n as much as one."""
    bins = np.repeat(np.arange(len(sizes)), sizes.shape[1] * len(WEIGHTS))
    c, n = case.take(bins), np.maximum(np.repeat(sizes.ravel(), len(WEIGHTS)), 1e-9)
    differ = np.repeat(case.isl_shape - 1, sizes.shape[1], axis=0).ravel()
    ratio = 1 + differ / np.sqrt(np.maximum(n, 1.0))
    out, _ = prefill_seconds(costs, replace(c, isl=np.maximum(c.isl * ratio, 1.0), prompt=c.prompt * ratio), n)
    return out.reshape(*sizes.shape, len(WEIGHTS))


def _steps(case: Case, sent: Sent) -> Array:
    """Steps of the answers of each share, (R, len(SHARES))."""
    out: Array = np.maximum(sent.answers - 1, 0.0) / case.yields[:, None]
    return out


def _longest(n: Array) -> Array:
    """Chance that the longest of `n` (R, M) answers is of each share, (R, M, len(SHARES)): P(max <= x) is that of one
    to the n."""
    below = np.cumsum(SHARES) ** np.maximum(n, 1.0)[:, :, None]
    out: Array = np.diff(below, axis=2, prepend=0.0)
    return out


def _per_token(case: Case, sent: Sent, batches: tuple[Array, Array, Array], draws: Array) -> dict[str, Array]:
    """Times per token over `draws` (R,) requests in two kinds of `batches`, (R, 2) each: their size, the share of all
    that is in them, and seconds of a step; an answer waits for the longest of its batch, its own or one of the
    others'."""
    sizes, waves, step_s = batches
    own, steps = np.maximum(sent.answers - 1, 0.0), _steps(case, sent)
    below = np.cumsum(SHARES) ** np.maximum(sizes - 1, 0.0)[:, :, None]
    others = np.diff(below, axis=2, prepend=0.0)
    lasts = np.maximum(steps[:, None, :, None], steps[:, None, None, :])
    per_token = step_s[:, :, None, None] * lasts / np.maximum(own, 1e-6)[:, None, :, None]
    several = SHARES * (own > 1e-6)
    share = waves[:, :, None, None] * several[:, None, :, None] * others[:, :, None, :]
    none = several.sum(axis=1) <= 0
    return {k: np.where(none, np.nan, v) for k, v in weighted(per_token, share, draws).items()}

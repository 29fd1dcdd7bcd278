"""Bursts before engines without a queue of their own: one batch after the other, each as long as its longest answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts, StepResult
from rooflab.estimator.serving.burst_sent import SAMPLES, SHARES, Sent, weighted
from rooflab.estimator.serving.load import Case, decode_step, prefill_seconds
from rooflab.estimator.serving.outcome import Outcome

__all__ = ["batch_after_batch", "batches"]

Array = npt.NDArray[np.float64]


def batch_after_batch(costs: StepCosts, case: Case, sent: Sent) -> Outcome:
    """Users of a closed loop before such engines: a batch of those who wait, again and again; who finds no place waits
    for as long as keeps them all busy (Little's law)."""
    out = batches(costs, case, sent)
    more_s = np.maximum(sent.mean / out.requests_per_s - out.e2e_s["mean"], 0.0)
    ttft_s, e2e_s = ({name: v + more_s for name, v in of.items()} for of in (out.ttft_s, out.e2e_s))
    return replace(out, ttft_s=ttft_s, e2e_s=e2e_s)


def batches(costs: StepCosts, case: Case, sent: Sent) -> Outcome:
    """Bursts before engines that run a batch to its end before the next one: as long as its longest answer."""
    size = np.maximum(case.prompt - sent.shared + case.beams * (sent.answers @ SHARES), 1e-9)
    most = np.maximum(np.minimum(np.minimum(sent.places, sent.flight), np.floor(sent.room / size + 1e-9)), 1.0)
    full = np.floor(sent.count / most)
    parts = [_one_batch(costs, case, sent, np.minimum(most, sent.count)), _one_batch(
        costs, case, sent, np.maximum(sent.count - full * most, 1e-9))]  # fmt: skip
    rest = sent.count - full * most > 1e-9
    (fill_s, wave_s, work, bound_s, longest), (rest_fill_s, rest_s, rest_work, rest_bound_s, rest_longest) = parts
    total_s = full * wave_s + rest * rest_s + sent.frontend_s
    rank = np.minimum(np.ceil((np.arange(SAMPLES) + 0.5) / SAMPLES * sent.count[:, None]), sent.count[:, None])
    wave = np.floor((rank - 1) / most[:, None])
    last = wave >= full[:, None]
    behind_s = wave * wave_s[:, None] * (sent.flight >= sent.count)[:, None]
    waits = sent.frontend_s[:, None] + behind_s + np.where(last, rest_fill_s[:, None], fill_s[:, None])
    one = np.full((1, SAMPLES), 1 / SAMPLES)
    many = np.full(len(rank), np.inf)
    ttft = weighted(waits, np.broadcast_to(one, waits.shape), many)
    decode_s = np.where(last, (rest_s - rest_fill_s)[:, None], (wave_s - fill_s)[:, None])
    tail = np.maximum(sent.answers - 1, 0.0)[:, None, :]
    share = np.broadcast_to(SHARES / SAMPLES, (len(rank), SAMPLES, len(SHARES)))
    per_token = decode_s[:, :, None] / np.maximum(tail, 1e-6)
    several = np.where(tail > 1e-6, share, 0.0)
    none = several.sum(axis=(1, 2)) <= 0
    tpot = {k: np.where(none, np.nan, v) for k, v in weighted(per_token, several, sent.count * sent.engines).items()}
    step_s = np.maximum(decode_s / np.maximum(np.where(last, rest_longest[:, None], longest[:, None]), 1e-9), 0.0)
    itl = {k: np.where(none, np.nan, v) for k, v in weighted(step_s, np.broadcast_to(one, step_s.shape), many).items()}
    work = StepResult(*(full * a + rest * b for a, b in zip(work, rest_work, strict=True)))
    busy_s = total_s - sent.frontend_s
    idle_w = costs.scalar("idle_w", case.which)
    return Outcome(
        running=np.minimum(most, sent.count), requests_per_s=sent.mean / total_s, ttft_s=ttft, tpot_s=tpot,
        e2e_s=weighted(waits + decode_s, np.broadcast_to(one, waits.shape), many), itl_s=itl,
        power_w=(work.joules + idle_w * sent.frontend_s) / total_s, parts=work, step_s=busy_s,
        bound_s=full * bound_s + rest * rest_bound_s, utilisation=np.ones_like(total_s),
        saturated=np.zeros(len(total_s), dtype=bool), waves=full + rest,
    )  # fmt: skip


def _one_batch(costs: StepCosts, case: Case, sent: Sent, n: Array) -> tuple[Array, Array, StepResult, Array, Array]:
    """A batch of `n`: seconds of its prompts and of all of it, its work, the bound of that, and its decode steps."""
    fill_s, fill = prefill_seconds(costs, case, n)
    # the longest of n answers: P(max <= x) is that of one to the n
    below = np.cumsum(SHARES) ** np.maximum(n, 1.0)[:, None]
    steps = (
        np.maximum(sent.answers - 1, 0.0) * np.diff(np.concatenate((np.zeros((len(n), 1)), below), axis=1), axis=1)
    ).sum(axis=1) / case.yields
    step = decode_step(costs, case, np.maximum(n, 1.0), case.prompt + case.beams * steps * case.yields / 2)
    chunks = np.maximum(np.ceil(n * case.isl / case.chunk), 1.0)
    work = StepResult(*(chunks * a + steps * b for a, b in zip(fill, step, strict=True)))
    bound_s = chunks * costs.bound_s(case.which, fill) + steps * costs.bound_s(case.which, step)
    return fill_s, fill_s + steps * step.seconds, work, bound_s, steps

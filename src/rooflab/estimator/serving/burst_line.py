"""The line of a burst before one engine: what its queue looks like, and which part of it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.burst_sent import EDGES, SHARES, Sent
from rooflab.estimator.serving.burst_steps import Queue
from rooflab.estimator.serving.load import NO_BUDGET, Case, decode_step, lanes_in_use

__all__ = ["ALIKE", "SETTLED", "Line", "line_of", "thought_span"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

SETTLED: Final = 4.0
"""Rounds of a full engine after which the next ones are alike."""
ALIKE: Final = 8.0
"""Rounds that stand for those that are left out: so many that it hardly matters in which part of one they begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Bursts before R engines: prices, load, what is sent; the `queue` before one of the `lanes` of an engine without
    `skipped` rounds of it, `full` sequences of a lane that is full, and whether a client holds requests back (`held`).
    """

    costs: StepCosts
    case: Case
    sent: Sent
    queue: Queue
    lanes: Array
    full: Array
    skipped: Array
    held: Flags


def line_of(costs: StepCosts, case: Case, sent: Sent) -> Line:
    """The line that `sent` makes."""
    flight = np.minimum(sent.places, sent.flight)
    lanes = lanes_in_use(case, np.minimum(sent.count, flight))
    held = sent.flight < sent.count
    steps = np.maximum(sent.answers - 1, 0.0) / case.yields[:, None]
    gain = case.beams * case.yields
    answer = gain * (steps @ SHARES + 1)
    kept = np.maximum(case.standing - sent.shared, 0.0)
    size = kept + answer
    alike = (steps[:, -1] - steps[:, 0] < 1e-6) & (case.isl_cv == 0)
    room = sent.room / lanes
    # where lengths differ the next in line does not fit into what is left: half of it on average
    whole = np.where(alike, np.floor(room / np.maximum(size, 1e-9) + 1e-9) * size, room - size / 2)
    room = np.where(sent.whole, np.maximum(whole, size * (1 + 1e-9)), np.maximum(room, size))
    places = np.maximum(np.floor(flight / lanes), 1.0)
    reach = room / np.maximum(np.where(sent.whole, size, case.mean_context - sent.shared), 1e-9)
    count = sent.count / lanes
    full = np.maximum(np.minimum(np.minimum(places, reach), count), 1.0)
    skipped = ALIKE * np.maximum(np.floor((count / full - 2 * SETTLED - ALIKE) / ALIKE), 0.0)
    away = np.where(held & (sent.flight <= sent.places), sent.frontend_s / decode_step(costs, case, full).seconds, 0.0)
    queue = Queue(
        count=count - skipped * full,
        engines=sent.engines * lanes,
        places=places,
        room=room,
        prompt=case.isl,
        kept=kept,
        met=case.standing,
        steps=steps,
        weights=SHARES,
        gain=gain,
        budget=np.where(case.chunk >= NO_BUDGET, np.inf, case.chunk),
        feeds=case.beams,
        mixed=case.mixed,
        whole=sent.whole,
        alike=alike,
        lag=np.where(case.mixed, 1.0, 0.0) + away,
        estimate=sent.estimate,
        spare=sent.spare,
    )
    return Line(costs=costs, case=case, sent=sent, queue=queue, lanes=lanes, full=full, skipped=skipped, held=held)


def thought_span(line: Line) -> Array:
    """Steps that the burst is thought to take: its rounds, the prompts that share their steps, the longest answer."""
    q = line.queue
    mean = q.steps @ q.weights
    deepest = np.searchsorted(EDGES, 1 - 1 / np.maximum(2 * q.count, 2.0), side="right") - 1
    longest = np.take_along_axis(q.steps, np.clip(deepest, 0, len(SHARES) - 1)[:, None], axis=1)[:, 0]
    shared = np.where(q.mixed, q.prompt, 0.0)
    rounds = q.count * np.maximum((mean + q.lag + 1) / line.full, (mean + shared) / q.budget)
    out: Array = rounds + longest + line.full * shared / q.budget
    return out

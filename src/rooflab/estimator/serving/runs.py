"""Runs of prompts in a closed loop of engines whose prompts come first and stop the decodes.

While a run of prompts lasts no answer ends, and who ends asks again δ (the frontend) later.  So the ends of a stretch
of decoding come back together, and what they bring is a run.  ν answers end in a second of decoding, a prompt takes s,
r = ν s:

    few         r < 1, s < δ: prompts meet each other as in M/D/1, whose wait is r s/2 (the loop lets ends pause by as
                much as prompts run: ρ = r/(1 + r))
    waves       r > 1 or s > δ: a dense stretch brings a run that outlasts it, and decodes begin with an empty line, so
                that a run is who ended within δ: 1 + Poisson(ν δ) prompts that come within δ
    convoys     answers of equal length: who is prefilled in one run ends in one step.  Each run delays those who ended
                less than δ before, not those it holds, and draws them in.  A ripple of ends that is 2δ long grows
                fastest, by (1 + r) φ + r a round; φ = exp(−(π σ/δ)²/2) is what answers leave of it that differ by σ
                seconds of decoding.  Runs become those who ended within δ, within 3/2 δ where many do, 1 + Poisson
                prompts that come at once; the more rounds, the more of these convoys meet

A run is served in steps of who has come, as many as fit.  Requests see long runs more often than short ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.waits import Wait

__all__ = ["Loop", "Prompts", "Runs", "runs"]

Array = npt.NDArray[np.float64]

_STEPS: Final = 24
"""Steps of a run that are followed one by one."""
_LUMPS: Final = 12
"""Parts of a run that fills its steps."""
_CALM: Final = 0.7
_WILD: Final = 1.3
"""Loads r below which prompts hardly make waves, and beyond which all of them do. This and the next two are modelling
choices, read off runs of the simulator and of no measurement; `tests/test_closed_loops.py` holds what they give."""
_DRIFT: Final = 0.5
"""Steps a round by which convoys come nearer to each other: long ones leave fewer to decode, so that more steps fit
their δ."""
_QUEUED: Final = 4.0
"""Part of a run that may wait for places before there are no runs any more, as one over this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Per row: engines that take requests in turns, users of each and places for them, seconds until an answer brings
    the next request, standard deviation of an answer's length over its mean, requests of a user."""

    engines: Array
    users: Array
    places: Array
    frontend_s: Array
    answers_cv: Array
    rounds: Array

    def take(self, rows: npt.NDArray[np.intp]) -> Loop:
        """The loops of `rows`."""
        return Loop(**{name: getattr(self, name)[rows] for name in Loop.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Prompts of a step: seconds of the first, of each further one, and how many fit."""

    first_s: Array
    next_s: Array
    fit: Array

    def seconds(self, count: Array) -> Array:
        """Of `count` prompts that are there, in as many steps as they need."""
        wide = np.maximum(self.fit, 1.0)
        full_s = self.first_s + (wide - 1) * self.next_s
        one_s = self.first_s + (count - 1) * self.next_s
        return np.where(count <= wide, one_s, full_s * count / wide)

    def alike(self, each_s: Array) -> Array:
        """Prompts of a step in which each takes `each_s`."""
        spare_s = np.maximum(each_s - self.next_s, 1e-12)
        return np.clip((self.first_s - self.next_s) / spare_s, 1.0, np.maximum(self.fit, 1.0))


class Runs(NamedTuple):
    """What runs of prompts do to a request: its wait beside its own prompt, which takes `own_s`; prompts of a step;
    users that are always in the same run; seconds in which those of them that come later keep its answer waiting."""

    wait: Wait
    own_s: Array
    together: Array
    mates: Array
    rest_s: Array


class _Served(NamedTuple):
    """A run: mean and deviation of first tokens from when their requests came, seconds a prompt, and seconds of the run
    after a first token."""

    mean_s: Array
    deviation_s: Array
    each_s: Array
    rest_s: Array


class _Kinds(NamedTuple):
    """What runs are: load r of prompts, shares of waves and, of all, of convoys, further prompts of either, and ends in
    a second of decoding."""

    load: Array
    waves: Array
    convoys: Array
    wave: Array
    convoy: Array
    ends: Array


def _kinds(prompts: Prompts, loop: Loop, plain_s: Array, decoding: Array, tail: Array) -> _Kinds:
    """The runs of engines; see the module."""
    most = np.maximum(loop.users - 1, 0.0)
    ends = np.maximum(decoding, 1e-9) / (tail * plain_s)
    delay_s = np.maximum(loop.frontend_s, 1e-9)
    met = 1 + np.minimum(ends * prompts.first_s, most)
    load = ends * prompts.seconds(met) / met
    waves = np.clip(np.maximum(prompts.first_s / delay_s, (load - _CALM) / (_WILD - _CALM)), 0.0, 1.0)
    reach = ends * delay_s
    dense = reach / (1 + reach)
    drift = _DRIFT * loop.rounds * ends * plain_s * dense / np.sqrt(1 + reach)
    # of a wave the step of the first end, and the one that its request comes into, are whole
    wave = np.minimum(reach + 1.5 * ends * plain_s, most)
    convoy = np.minimum(reach * (1 + dense / 2) + drift, most)
    kept = np.exp(-((np.pi * loop.answers_cv * tail * plain_s / delay_s) ** 2) / 2)
    ripple = _grown(np.log(np.maximum((1 + load) * kept + load, 1e-9)), loop.rounds, convoy)
    # who waits for a place begins as soon as one ends, in the midst of what would be a stretch of decoding
    free = np.clip(1 - _QUEUED * np.maximum(loop.users - loop.places, 0.0) / np.maximum(reach, 1.0), 0.0, 1.0)
    return _Kinds(load, waves * free, free * kept * ripple, wave, convoy, ends)


def runs(prompts: Prompts, loop: Loop, plain_s: Array, decoding: Array, tail: Array) -> Runs:
    """Runs of engines where `decoding` sequences take steps of `plain_s`, for `tail` steps each."""
    load, waves, convoys, wave, convoy, ends = _kinds(prompts, loop, plain_s, decoding, tail)
    s, delay_s = prompts.first_s, np.maximum(loop.frontend_s, 1e-9)
    begin = decoding / tail
    together = begin / -np.expm1(-begin)
    lone = np.exp(-convoy) / (1 + convoy)
    # several engines deal a convoy out among themselves, and it gathers again
    w_seen, c_seen = _seen(wave, loop.users), np.maximum(_seen(convoy, loop.users) * 2 / (1 + loop.engines), 1.0)
    w = _served(prompts, w_seen, wave / ends)
    c = _served(prompts, c_seen, np.zeros_like(ends))
    mates = convoys * (c_seen - 1)
    beside_s = plain_s * -np.expm1(-decoding * (1 - mates / np.maximum(loop.users, 1.0)))
    left_s = np.where(beside_s > delay_s, beside_s - delay_s, beside_s / 2) * (loop.frontend_s > 0)

    def mixed(few: Array, waved: Array, convoyed: Array) -> Array:
        out: Array = convoys * convoyed + (1 - convoys) * (waves * waved + (1 - waves) * few)
        return out

    few_s = np.minimum(load, np.maximum(loop.users - 1, 0.0)) * s / 2
    in_decode = mixed(1 / (1 + load), 1 / w_seen, np.ones_like(s))
    mean_s = mixed(few_s, w.mean_s - s, c.mean_s - s) + in_decode * left_s
    shares = np.clip(mixed(load / (1 + load), 1 - 1 / w_seen, 1 - lone), 0.0, 1.0)
    met_s = np.maximum(mean_s - (1 - shares) * left_s, 0.0) / np.maximum(shares, 1e-12)
    deviation_s = mixed(
        few_s, np.hypot(w.deviation_s, (w.mean_s - s) / np.sqrt(1 + wave)),
        np.hypot(c.deviation_s, (c.mean_s - s) / np.sqrt(1 + convoy)),
    )  # fmt: skip
    each_s = mixed(prompts.seconds(together) / together, w.each_s, c.each_s)
    return Runs(
        Wait(shares, 2 * left_s, mean_s, met_s, np.clip(deviation_s / np.maximum(met_s, 1e-12), 0.05, 1.0)),
        s, prompts.alike(each_s), mates, convoys * c.rest_s,
    )  # fmt: skip


def _grown(growth: Array, rounds: Array, others: Array) -> Array:
    """How large a ripple is on average over `rounds` that begins as chance has it and grows by exp(`growth`) a round
    until it is all there is; 0 where it shrinks."""
    begin = 1 / np.sqrt(1 + others)
    rate = np.maximum(growth, 1e-9)
    until = np.minimum(-np.log(begin) / rate, rounds)
    rising = begin * np.expm1(rate * until) / (rate * rounds)
    out: Array = np.where(growth > 0, rising + 1 - until / rounds, 0.0)
    return out


def _seen(others: Array, users: Array) -> Array:
    """Prompts of the run that a request sees, runs being of 1 + Poisson(`others`)."""
    return np.minimum((1 + 3 * others + others**2) / (1 + others), np.maximum(users, 1.0))


def _served(prompts: Prompts, count: Array, window_s: Array) -> _Served:
    """A run of `count` prompts, the first at once and the others evenly within `window_s`."""
    wide = np.maximum(prompts.fit, 1.0)
    most = np.maximum(wide, count / _LUMPS)
    gap_s = window_s / np.maximum(count - 1, 1e-9)
    t, busy_s, served = np.zeros_like(count), np.zeros_like(count), np.zeros_like(count)
    total, square, done = np.zeros_like(count), np.zeros_like(count), np.zeros_like(count)
    for step in range(_STEPS):
        left = count - served
        there = np.where(gap_s > 0, 1 + t / np.maximum(gap_s, 1e-12), count)
        taken = np.minimum(np.maximum(np.minimum(there, count) - served, np.minimum(left, 1.0)), most)
        taken = left if step == _STEPS - 1 else taken
        t = np.maximum(t, gap_s * np.maximum(np.minimum(served + 1, count) - 1, 0.0))
        took_s = np.where(taken > 0, prompts.seconds(np.maximum(taken, 1.0)) * np.minimum(taken, 1.0), 0.0)
        steps = np.maximum(taken / wide, 1.0)
        end_s = t + took_s * (0.5 + 0.5 / steps)
        first_s = end_s - gap_s * np.maximum(served + (taken + 1) / 2 - 1, 0.0)
        total += taken * first_s
        square += taken * (first_s**2 + took_s**2 * (1 - 1 / steps**2) / 12)
        done += taken * end_s
        t, busy_s, served = t + took_s, busy_s + took_s, served + taken
    mean_s = total / count
    deviation_s = np.sqrt(np.maximum(square / count - mean_s**2, 0.0))
    return _Served(mean_s, deviation_s, busy_s / count, np.maximum(t - done / count, 0.0))

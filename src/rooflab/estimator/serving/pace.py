"""At which pace requests come and go: sequences that decode, requests a second, and the wait that goes with them.

Each of N sequences that decode gets a token a step, and a request leaves after O − 1 of them, so that

    λ(N) = N / ((O − 1) · TPOT(N))                          a request sees the other sequences: N · (C − 1)/C of C users
    open loop:    λ(N) = rate                               (Little's law)
    closed loop:  N + λ(N) · (frontend + W + own) = C       (who does not decode waits for a first token)

TPOT(N) comes from `steady_state`; it is held at a few N and read off between them.  W is the wait of a prompt for its
first step (see `waits`) and `own` what its steps take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.arrivals import Company
from rooflab.estimator.serving.lengths import WEIGHTS
from rooflab.estimator.serving.load import (
    Case,
    Steady,
    decode_step,
    lanes_in_use,
    prefill_seconds,
    steady_state,
)
from rooflab.estimator.serving.runs import Loop, Prompts, Runs, runs
from rooflab.estimator.serving.waits import Line, Steps, Wait, at_random, by_turns

__all__ = ["Pace", "Settled"]

Array = npt.NDArray[np.float64]

_POINTS: Final = 8
_HALVINGS: Final = 22
"""A ten millionth of the sequences that fit."""
_ECHO: Final = 0.95
"""Load up to which prompts bring further prompts."""
_LEAST: Final = 0.01
"""Tokens that an answer of one token is taken to have after its first, so that its sequence is somewhere."""
_FULL: Final = 0.995
"""Load at which the wait of prompts is cut: beyond it the queue of a run has no steady state to speak of."""

_FEWER: Final = 0.9
"""Share of the sequences between which a slope is taken."""
_GIVE: Final = 0.1
"""Least share by which more sequences serve more: an engine at its limit serves no more with more of them."""


_OF_ROWS: Final = ("case", "runs", "company")
"""Fields of a pace that are not an array a row."""


class Settled(NamedTuple):
    """Where a load settles: sequences that decode, requests/s, prompts' wait, and whether all places are taken."""

    decoding: Array
    rate: Array
    wait: Wait
    full: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Paces of engines by sequences that decode, `at` (R, _POINTS): `tpot_s`, plain step and what a prompt adds to one
    (`plain_s`, `added_s`), prompts that fit a step (`fit`), all (R, _POINTS); `most` sequences that can decode.

    `gaps`: variance of the gaps between requests over that of Poisson arrivals, where it is less; `company`:
    requests that come right before and behind another one, and what each of them adds (`beside_s`).
    """

    case: Case
    others: Array
    gaps: Array
    company: Company
    beside_s: Array
    at: Array
    tpot_s: Array
    plain_s: Array
    added_s: Array
    fit: Array
    most: Array
    runs: Runs | None = None

    def seen(self, n: Array) -> Runs | None:
        """Runs of prompts that a request sees while `n` sequences decode."""
        if self.runs is None:
            return None
        wait, *rest = self.runs

        def at(values: Array) -> Array:
            return self._read(values.reshape(self.at.shape), n)

        return Runs(Wait(*(at(values) for values in wait)), *(at(values) for values in rest))

    @classmethod
    def of(cls, costs: StepCosts, case: Case, places: Array, others: Array, loop: Loop | None = None) -> Pace:
        """The paces of `case` with up to `places` sequences; `others`: share of those that decode that a request
        sees; `loop`: users whose prompts come in runs where they stop the decodes."""
        tail = np.maximum(case.osl - 1, _LEAST)
        steps = np.maximum(case.osl / case.yields, 1e-9)
        lanes = lanes_in_use(case, places)
        # decodes and the prompts that replace them share a step's token budget
        budget = lanes * case.chunk / (case.beams + case.isl / steps) * tail / np.maximum(case.osl, _LEAST)
        most = np.where(case.mixed, np.minimum(places, np.maximum(budget, 1e-6)), places)
        inner = np.linspace(0.0, 1.0, _POINTS - 1)
        least = np.minimum(most, 1.0)[:, None]
        at = np.concatenate((np.zeros_like(least), least ** (1 - inner) * most[:, None] ** inner), axis=1)
        rows = np.repeat(np.arange(len(most)), _POINTS)
        seen = (at * others[:, None]).ravel()
        c = case.take(rows)
        turning = seen * (case.osl / tail)[rows]
        running = np.minimum(1.0 + seen, np.maximum(places[rows], 1.0))
        found, together = None, None
        if loop is not None and not case.mixed.all():
            found = _runs(costs, c, loop.take(rows), seen, running)
            together = found.together
            turning = turning * (1 - found.mates / np.maximum(loop.users[rows], 1.0))
        steady = steady_state(costs, c, running, turning, together)
        added, fit = _prompt(c, steady)
        shape, none = at.shape, np.zeros_like(most)
        tpot_s = steady.tpot_s if found is None else steady.tpot_s + found.rest_s / tail[rows]
        return cls(
            case=case, others=others, gaps=np.ones_like(most), beside_s=none,
            company=Company(none, none, none, none, none), at=at, most=most,
            tpot_s=tpot_s.reshape(shape), plain_s=steady.plain_s.reshape(shape), added_s=added.reshape(shape),
            fit=fit.reshape(shape), runs=found,
        )  # fmt: skip

    def coming(self, gaps: Array, company: Company, beside_s: Array) -> Pace:
        """The same engines under requests that come otherwise, and add `beside_s` where many share a step."""
        return replace(self, gaps=gaps, company=company, beside_s=beside_s)

    def take(self, rows: npt.NDArray[np.bool_]) -> Pace:
        """The paces of `rows`."""
        columns = {name: getattr(self, name)[rows] for name in Pace.__dataclass_fields__ if name not in _OF_ROWS}
        company = Company(*(values[rows] for values in self.company))
        return Pace(case=self.case.take(rows), company=company, **columns)

    def give(self, n: Array) -> Array:
        """How much more is served with more sequences: d ln rate / d ln n at `n`."""
        fewer = n * _FEWER
        slower = np.log(self._read(self.tpot_s, n) / self._read(self.tpot_s, fewer)) / -np.log(_FEWER)
        out: Array = np.clip(1 - slower, _GIVE, 1.0)
        return out

    def rate(self, n: Array) -> Array:
        """Requests a second that leave with `n` sequences decoding, each after as many mean steps as it has tokens."""
        return n / (np.maximum(self.case.osl - 1, _LEAST) * self._read(self.tpot_s, n))

    def wait(self, n: Array, rate: Array) -> Wait:
        """The wait of prompts that come at `rate`, whatever becomes of them, while `n` sequences decode."""
        flow = rate / lanes_in_use(self.case, np.maximum(n, 1.0))
        line = Line(self.company, self.joining(n), self.beside_s)
        return at_random(self._steps(n), flow, self.gaps, line)

    def joining(self, n: Array) -> Array:
        """Requests behind one that share its own step beside `n` sequences: half of those that fit, if so many come."""
        return _at_most(self.company.joining, (np.maximum(self._read(self.fit, n), 1.0) - 1) / 2)

    def turn(self, n: Array, frontend_s: Array, even: Array) -> Wait:
        """The wait of prompts that come when an answer has ended, while `n` sequences decode."""
        tail = np.maximum(self.case.osl - 1, _LEAST) / self.case.yields
        begin = n * self.others / lanes_in_use(self.case, np.maximum(n, 1.0)) / tail
        wait = by_turns(self._steps(n), begin, frontend_s, even)
        runs = self.seen(n)
        if runs is None:
            return wait
        return Wait(*(np.where(self.case.mixed, a, b) for a, b in zip(wait, runs.wait, strict=True)))

    def _steps(self, n: Array) -> Steps:
        p, s, b = (self._read(values, n) for values in (self.plain_s, self.added_s, self.fit))
        return Steps(
            plain_s=p, added_s=s, fit=b, mixed=self.case.mixed, differ=self.case.isl_shape**2 @ WEIGHTS,
            decoding=n * self.others,
        )  # fmt: skip

    def own_s(self, n: Array) -> Array:
        """What the steps of a prompt of mean length take."""
        p, s, b = (self._read(values, n) for values in (self.plain_s, self.added_s, self.fit))
        runs = self.seen(n)
        alone_s = s if runs is None else runs.own_s
        return np.where(self.case.mixed, s + p * np.minimum(n, 1.0) * np.maximum(1.0 / b, 1.0), alone_s)

    def brought_s(self, n: Array, rate: Array, tail: Array) -> Array:
        """What an answer of `tail` tokens after its first ((R,) or (R, bins)) takes longer than as many mean steps: the
        own prompt lengthens a step, into which more prompts come, which lengthen the next one; and requests that come
        right behind it are beside it."""
        case = self.case

        def wide(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return values[:, None] if tail.ndim == 2 else values

        flow = rate * self.others / lanes_in_use(case, np.maximum(n, 1.0))
        s = self._read(self.added_s, n)
        rho = np.minimum(flow * s, _ECHO)
        steps = np.maximum(tail / wide(case.yields), 1.0)
        differ = self.gaps - 1 + case.isl_shape**2 @ WEIGHTS
        after = np.where(wide(case.mixed), 1 - wide(rho) ** steps, 1.0)
        # a full batch takes as many prompts as it lets go
        out = wide(s * differ / (1 - rho**2) * rho / (1 - rho) * (1 - n / self.most)) * after
        if self.company.behind.any():
            p, b = self._read(self.plain_s, n), np.maximum(self._read(self.fit, n), 1.0)
            behind = _at_most(self.company.behind, self.most)
            # where decodes go on, only so many come while it is written
            later = np.maximum(behind - self.joining(n), 0.0)
            met = _at_most(wide(later), steps * wide(b))
            together = self.company.ahead + self.company.behind
            longer = self.company.behind * self.beside_s / np.maximum(np.maximum(case.osl - 1, 1.0) * p, 1e-12)
            together = together / (1 + longer)
            more_s = self._read(self.plain_s, np.minimum(n + together, self.most)) - p
            out = out + np.where(wide(case.mixed), met, wide(later)) * wide(self.beside_s) + steps * wide(more_s)
        # no step is longer than one whose token budget is full
        fullest_s = self._read(self.plain_s, self.most) + s * self._read(self.fit, n)
        spare_s = np.maximum(fullest_s / case.yields - self._read(self.tpot_s, n) * case.stage_balance, 0.0)
        out = np.where(wide(case.mixed), np.minimum(out, tail * wide(spare_s)), out)
        return np.asarray(out / wide(case.stage_balance))

    def plain(self, n: Array) -> Array:
        """A step without prompts while `n` sequences decode."""
        return self._read(self.plain_s, n)

    def added(self, n: Array) -> Array:
        """What a prompt adds to the steps of the others."""
        return self._read(self.added_s, n)

    def open_loop(self, rate: Array) -> Settled:
        """Where requests that come at `rate` settle."""
        tail = np.maximum(self.case.osl - 1, _LEAST)
        n = self._highest(lambda n: n <= rate * (tail * self._read(self.tpot_s, n) + self.brought_s(n, rate, tail)))
        return Settled(n, rate, self.wait(n, rate), self.rate(self.most) < rate)

    def closed_loop(self, users: Array, frontend_s: Array, places: Array, even: Array) -> Settled:
        """Where `users` settle whose requests pass a frontend of `frontend_s` and find `places` places."""

        def out(n: Array) -> Array:
            return n + self.rate(n) * (frontend_s + self.turn(n, frontend_s, even).mean_s + self.own_s(n))

        n = self._highest(lambda n: (out(n) <= users) & (n + self.rate(n) * self.own_s(n) <= places))
        rate = self.rate(n)
        return Settled(n, rate, self.turn(n, frontend_s, even), out(n) < users * (1 - 1e-3))

    def _highest(self, holds: Callable[[Array], npt.NDArray[np.bool_]]) -> Array:
        """The most sequences up to which `holds`."""
        low, high = np.zeros_like(self.most), self.most.copy()
        fine = holds(high)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            up = holds(middle)
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return np.where(fine, self.most, low)

    def _read(self, values: Array, n: Array) -> Array:
        """`values` (R, _POINTS) at `n` (R,), on straight lines."""
        i = np.clip((self.at <= n[:, None]).sum(axis=1) - 1, 0, _POINTS - 2)
        flat = i + np.arange(0, len(n) * _POINTS, _POINTS)
        left, right = self.at.take(flat), self.at.take(flat + 1)
        f = np.clip((n - left) / np.maximum(right - left, 1e-12), 0.0, 1.0)
        low = values.take(flat)
        out: Array = low + (values.take(flat + 1) - low) * f
        return out


def _at_most(mean: Array, most: Array) -> Array:
    """Mean of a number that is geometrically distributed, with `mean`, and cut at `most`."""
    out: Array = mean * (1 - (mean / (1 + mean)) ** most)
    return out


def _prompt(case: Case, steady: Steady) -> tuple[Array, Array]:
    """Seconds that a prompt adds to the steps of an engine, and prompts that fit a step."""
    beside = np.where(case.mixed, steady.decoding / lanes_in_use(case, steady.decoding), 0.0)
    room = np.maximum(case.chunk - beside, 1.0)
    return np.maximum((steady.mixed_s - steady.plain_s) * case.isl / steady.taken, 0.0), room / case.isl


def _runs(costs: StepCosts, case: Case, loop: Loop, seen: Array, running: Array) -> Runs:
    """Runs of prompts beside engines with `running` sequences, of which a request sees `seen` others; none that takes
    part of a step where decodes go on beside them."""
    lanes = lanes_in_use(case, running)
    n = np.maximum(seen / lanes, 1e-9)
    plain_s = decode_step(costs, case, np.maximum(running / lanes, 1.0)).seconds
    tail = np.maximum(np.maximum(case.osl - 1, _LEAST) / case.yields, 1e-9)
    fit = case.chunk / case.isl
    idle, wide = np.exp(-n), np.maximum(np.minimum(fit, n + 1), 1.0)
    first_s, _ = prefill_seconds(costs, case, np.ones_like(n), idle)
    full_s, _ = prefill_seconds(costs, case, wide, idle)
    next_s = np.where(wide > 1.01, (full_s - first_s) / np.maximum(wide - 1, 0.01), first_s)
    prompts = Prompts(first_s=first_s, next_s=next_s, fit=fit)
    found = runs(prompts, loop, plain_s, n, tail)
    zero = np.zeros_like(n)
    return found._replace(
        mates=np.where(case.mixed, zero, found.mates), rest_s=np.where(case.mixed, zero, found.rest_s)
    )

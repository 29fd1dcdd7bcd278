"""An unfolded burst priced, and the clock put to it: when the cells of `burst_steps` end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepResult
from rooflab.estimator.serving.burst_line import ALIKE, SETTLED, Line
from rooflab.estimator.serving.burst_steps import Queue, Unfolded
from rooflab.estimator.serving.load import Case, pairs, prefill_seconds

__all__ = ["Clock", "Priced", "first_tokens", "priced", "searched"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """An unfolded burst with what its cells take: `cell_s` each, of which `prompts_s` where those stop the decodes;
    steps without and with prompts and the `share` of the latter, (R, G); prompts before the first decode (`open_s`, in
    `open_steps` steps); `times` that a cell stands for; `prompts` that are beside the decodes for `with_prompts_s`;
    `lived_s` as a sequence that decodes sees it."""

    u: Unfolded
    cell_s: Array
    prompts_s: Array
    plain_s: Array
    mixed_s: Array
    share: Array
    open_s: Array
    open_steps: Array
    times: Array
    prompts: Array
    with_prompts_s: Array
    lived_s: Array
    clumped: Flags
    work: StepResult
    bound_s: Array


def priced(line: Line, u: Unfolded) -> Priced:
    """What the cells of `u` take."""
    costs, queue, shape = line.costs, line.queue, u.width.shape
    rows = np.repeat(np.arange(shape[0]), shape[1])
    c = line.case.take(rows)
    width, tokens, some = u.width.ravel(), u.tokens.ravel(), u.decoding.ravel() > 1e-6
    going = np.maximum(u.going.ravel(), 1e-9)
    n = np.where(some, np.maximum(u.decoding.ravel() / going, 1.0), 0.0)
    context = u.context.ravel() * n / np.maximum(u.decoding.ravel(), 1e-9)
    zero = np.zeros_like(n)
    plain = costs.step(
        c.which, n_decode=n * c.beams, context=context, n_prefill=zero, prefill_tokens=zero, area=zero
    )  # fmt: skip
    q = _taken(c, queue, u, rows, n)
    per_cell = np.where(tokens > 0, tokens / q, 0.0)
    # one at a time has no other prompts beside it
    single = queue.places[rows] <= 1
    beside = np.where(c.mixed & ~single, n, 0.0)
    mixed = (c.encoder or costs).step(
        c.which, n_decode=beside * c.beams, context=np.where(beside > 0, context, 0.0),
        n_prefill=np.where(tokens > 0, np.maximum(q / c.isl, 1.0), 0.0), prefill_tokens=np.where(tokens > 0, q, 0.0),
        area=pairs(c, q, np.maximum(q / c.isl, 1.0)),
    )  # fmt: skip
    share = np.minimum(per_cell / width, 1.0)
    with_them = np.where(c.mixed, share * width, per_cell)
    without = np.where(c.mixed, (1 - share) * width, width) * some
    open_s, open_steps, open_work = _opening(line, u)
    times = _times(u, line.full, line.skipped)
    weight = (u.going * times).ravel()

    def grid(values: Array) -> Array:
        return values.reshape(shape)

    work = StepResult(*(
        grid(weight * (without * a + with_them * b)).sum(axis=1) + open_steps * d
        for a, b, d in zip(plain, mixed, open_work, strict=True)
    ))  # fmt: skip
    bound_s = weight * (without * costs.bound_s(c.which, plain) + with_them * costs.bound_s(c.which, mixed))
    with_prompts_s = with_them * mixed.seconds / c.stage_balance
    cell_s = without * plain.seconds / c.stage_balance + with_prompts_s
    together = np.where(c.mixed, tokens / np.maximum(with_them, 1e-9), tokens)
    return Priced(
        u=u, cell_s=grid(cell_s), lived_s=grid(np.where(single, width * plain.seconds / c.stage_balance, cell_s)),
        prompts_s=grid(np.where(c.mixed, 0.0, with_prompts_s)), plain_s=grid(plain.seconds),
        mixed_s=grid(np.where(c.mixed, mixed.seconds, plain.seconds + mixed.seconds)), share=grid(share),
        open_s=open_s, open_steps=open_steps, times=times, prompts=grid(together / c.isl),
        with_prompts_s=grid(with_prompts_s), clumped=queue.clumped, work=work,
        bound_s=grid(bound_s).sum(axis=1) + open_steps * costs.bound_s(line.case.which, open_work),
    )  # fmt: skip


def _taken(c: Case, queue: Queue, u: Unfolded, rows: npt.NDArray[np.intp], n: Array) -> Array:
    """Prompt tokens of a step that has any, beside `n` decodes: those of prompts that come at random, or all at once
    where answers end together."""
    begin = u.tokens.ravel() / c.isl
    each = begin / u.width.ravel()
    at_random = each / np.maximum(-np.expm1(-each), 1e-12)
    together = np.where(queue.clumped[rows] | (u.width.ravel() <= 1), begin, at_random)
    most = np.where(c.mixed, np.maximum(c.chunk - n * c.beams, 1.0), c.chunk)
    out: Array = np.minimum(np.maximum(together * c.isl, 1e-9), np.minimum(most, queue.places[rows] * c.isl))
    return out


def _opening(line: Line, u: Unfolded) -> tuple[Array, Array, StepResult]:
    """Seconds and steps of the prompts before the first decode, and the work of one of these steps."""
    begin, tokens = u.opened
    seconds, work = prefill_seconds(line.costs, line.case, np.maximum(begin, 1e-9))
    steps = np.maximum(np.ceil(tokens / line.case.chunk), 1.0)
    return seconds * (begin > 0), steps * (begin > 0), work


def _times(u: Unfolded, full: Array, skipped: Array) -> Array:
    """How often a cell occurs: rounds in the middle stand for those that are left out."""
    begin = np.concatenate((u.opened[0][:, None], u.out[:, :-1]), axis=1)
    low, high = SETTLED * full[:, None], (SETTLED + ALIKE) * full[:, None]
    inside = np.clip(u.out, low, high) - np.clip(begin, low, high)
    new = u.out - begin
    share = np.where(new > 1e-9, inside / np.maximum(new, 1e-9), (begin >= low) & (begin < high))
    out: Array = 1 + skipped[:, None] / ALIKE * share
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When cells end, (R, G + 1): `lived` as one who is there sees it, `passed` of the whole run, which goes on for as
    long as anything is left; `nth` first token and `ended` answers by then.

    After `middle` (R,) first tokens come `copies` of the last `rounds` (R,) of them, `rounds_s` each.
    """

    lived: Array
    passed: Array
    nth: Array
    ended: Array
    middle: Array
    rounds: Array
    rounds_s: Array
    copies: Array

    @classmethod
    def of(cls, p: Priced, full: Array, skipped: Array) -> Clock:
        """The clock of priced cells."""
        start = p.open_s[:, None]
        lived = np.concatenate((start, start + np.cumsum(p.lived_s, axis=1)), axis=1)
        seconds = p.cell_s * p.u.lasting
        passed = np.concatenate((start, start + np.cumsum(seconds, axis=1)), axis=1)
        copies = skipped / ALIKE
        more_s = (seconds * (p.times - 1)).sum(axis=1)
        return cls(
            lived=lived, passed=passed, nth=np.concatenate((p.u.opened[0][:, None], p.u.out), axis=1),
            ended=np.maximum.accumulate(np.concatenate((np.zeros_like(start), p.u.ended), axis=1), axis=1),
            middle=(SETTLED + ALIKE) * full, rounds=ALIKE * full, rounds_s=more_s / np.maximum(copies, 1.0),
            copies=copies,
        )  # fmt: skip

    @property
    def total_s(self) -> Array:
        """How long the run takes."""
        out: Array = self.passed[:, -1] + self.copies * self.rounds_s
        return out

    def seen(self, rank: Array) -> tuple[Array, Array]:
        """The place among those that are looked at of whom comes at `rank` (R, M), and how much later that is."""
        beyond = np.ceil((rank - self.middle[:, None]) / self.rounds[:, None] - 1e-9)
        back = np.clip(beyond, 0.0, self.copies[:, None])
        return rank - back * self.rounds[:, None], back * self.rounds_s[:, None]


def first_tokens(p: Priced, clock: Clock, case: Case, rank: Array) -> tuple[Array, Array]:
    """Seconds to the first token of the request of `rank` (R, M) in line; and the step at whose end it is, with its
    time as `lived` counts it, (2, R, M)."""
    rank, later_s = clock.seen(rank)
    rows = np.arange(len(rank))[:, None]
    cell = np.clip(searched(clock.nth, rank - 1e-6) - 1, 0, clock.nth.shape[1] - 2)
    before, after = clock.nth[rows, cell], clock.nth[rows, cell + 1]
    f = np.clip((rank - before) / np.maximum(after - before, 1e-12), 0.0, 1.0)
    width = p.u.width[rows, cell]
    stepped = np.minimum(np.ceil(f * width - 1e-6), width) / width
    prompts = p.prompts_s[rows, cell] / np.maximum(p.cell_s[rows, cell], 1e-12)
    clumped = p.clumped[:, None]
    stopped = np.where((width > 1) & ~clumped, f, 1 - prompts + f * prompts)
    stepped = np.where(clumped, 1.0, stepped)
    f = np.where(case.mixed[:, None], stepped, stopped)
    at_s = clock.passed[rows, cell] + f * (clock.passed[rows, cell + 1] - clock.passed[rows, cell])
    lived_s = clock.lived[rows, cell] + f * p.lived_s[rows, cell]
    done = np.ceil(rank / np.maximum(p.u.opened[0], 1e-9)[:, None] * p.open_steps[:, None] - 1e-6)
    early = rank <= p.u.opened[0][:, None] + 1e-6
    opening = np.minimum(done / np.maximum(p.open_steps, 1.0)[:, None], 1.0) * p.open_s[:, None]
    u = p.u.at[rows, cell] + np.where(case.mixed[:, None], stepped, 1.0) * width
    begin = np.stack((np.where(early, 0.0, u), np.where(early, opening, lived_s)))
    return np.where(early, opening, at_s) + later_s, begin


def searched(table: Array, values: Array) -> npt.NDArray[np.intp]:
    """Where `values` (R, M) stand in `table` (R, G), not decreasing along G."""
    return np.stack([np.searchsorted(t, v) for t, v in zip(table, values, strict=True)])

"""Who is where in a burst, after how many steps: N requests that are all there at once, until the last is answered.

What limits an engine is counted in tokens and places, not in seconds, so a burst unfolds over steps and is priced
afterwards.  With A(u) first tokens out by step u, and answers that take S further steps (a few S_k stand for all, each
with a share w_k),

    F(u) = Σ w_k A(u − S_k)                                  answers that have ended
    A(u) = the most with    A − F ≤ places,    held(A) ≤ memory,    A ≤ N,    ΔA · I ≤ Δu · (budget − decodes)

the last of these where prompts and decodes share a step; where prompts stop the decodes they take no step of the
decodes.  `held` counts whole answers where the engine reserves them, else prompts and what is written so far.  Where
that outgrows the memory those that came last are thrown out, A falls, and they are computed anew, before any other.
The grid of steps is one step wide at first and wider later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Queue", "Unfolded", "unfold"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_SINGLE: Final = 48
"""Cells of one step that a grid begins with."""
_WIDER: Final = 1.06
"""A cell over the one before it, until cells are as wide as they get."""
_CELLS: Final = 200
"""Cells of the greatest width, by what a run is thought to take."""
_MOST_CELLS: Final = 900
_LONGER: Final = 3.0
"""A run that does not end within the grid is looked at anew on one that reaches so much farther."""
_LOOKS: Final = 24
"""Looks after which something is amiss: the last grid reaches 3²³ times as far as the run was thought to."""
_OVER: Final = 1e-4
"""Chance that anything is left below which a run is over."""
_SURE: Final = -40.0
"""Logarithm of the chance that a sequence has ended which cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A burst before each of R engines.

    `count` requests before each of `engines`, `places` sequences at once, `room` tokens of cache; `prompt` tokens to
    compute and `kept` tokens in the cache of each, `met` those that a decode reads (more, where beginnings lie there
    once for all); `steps` (R, K) of an answer after its first token, not decreasing along K, with `weights` (K,); a
    step adds `gain` tokens to a sequence's cache and takes `feeds` of the `budget` (inf) of a step; `mixed`, `whole` as
    the engine's rules have them; `alike`: answers end together; `lag` steps before a place is taken again; `estimate`
    (start, least, fall a step) of what answers are taken to need, each (R,), start 0: none; `spare` share of the cache
    that admission leaves free.
    """

    count: Array
    engines: Array
    places: Array
    room: Array
    prompt: Array
    kept: Array
    met: Array
    steps: Array
    weights: Array
    gain: Array
    budget: Array
    feeds: Array
    mixed: Flags
    whole: Flags
    alike: Flags
    lag: Array
    estimate: tuple[Array, Array, Array]
    spare: Array

    @property
    def clumped(self) -> Flags:
        """Whether all that have begun in a step end, and are followed, in one step, for ever: answers that are alike,
        where prompts stop the decodes or any number of them fits a step."""
        out: Flags = self.alike & ~(self.mixed & np.isfinite(self.budget)) & (self.steps[:, 0] + self.lag >= 1)
        return out

    @property
    def answer(self) -> Array:
        """Mean tokens of an answer in the cache."""
        out: Array = self.gain * (self.steps @ self.weights + 1)
        return out


class Unfolded(NamedTuple):
    """A burst by cells of `width` steps, all (R, G): first tokens `out` and answers `ended` by its end, prompt `tokens`
    computed in it, sequences `decoding` and tokens `context` in a mean step; the chance that anything is left to do,
    of one engine (`going`) and of all (`lasting`). `at` (R, G + 1): steps so far; `opened` (R,): first tokens that are
    out, and prompt tokens computed, before the first step of decodes.
    """

    width: Array
    out: Array
    ended: Array
    tokens: Array
    decoding: Array
    context: Array
    going: Array
    lasting: Array
    at: Array
    opened: tuple[Array, Array]


class _Grid:
    """Steps at which a burst is looked at, a row each: those of a `period` (0: none) are evenly apart and divide it,
    so that what ends together does so on the grid."""

    def __init__(self, span: Array, period: Array):
        self.even = period > 0
        parts = np.clip(np.ceil(_CELLS * period / np.maximum(span, 1.0)), 1.0, np.maximum(np.floor(period), 1.0))
        self.part = np.where(self.even, period / parts, 1.0)
        grown = np.ceil(np.log(np.maximum(span / _CELLS, 1.0)) / np.log(_WIDER))
        self.widest = _WIDER**grown
        self.grown = grown
        self.knee = _SINGLE + _WIDER * (self.widest - 1) / (_WIDER - 1)
        cell = np.arange(_MOST_CELLS + 1.0)[None, :]
        later = np.clip(cell - _SINGLE, 0.0, grown[:, None])
        wider = _WIDER * (_WIDER**later - 1) / (_WIDER - 1)
        widest = np.maximum(cell - _SINGLE - grown[:, None], 0.0) * self.widest[:, None]
        single = np.minimum(cell, _SINGLE) + wider + widest
        self.at: Array = np.where(self.even[:, None], cell * self.part[:, None], single)

    def cell(self, u: Array) -> npt.NDArray[np.intp]:
        """The cell (R, K) that ends at or after step `u` (R, K), less one."""
        beyond = np.maximum(u - _SINGLE, 0.0)
        growing = np.log1p(beyond * (_WIDER - 1) / _WIDER) / np.log(_WIDER)
        even = self.grown[:, None] + (u - self.knee[:, None]) / self.widest[:, None]
        place = np.where(u > self.knee[:, None], _SINGLE + even, np.minimum(u, _SINGLE) + growing)
        place = np.where(self.even[:, None], u / self.part[:, None], place)
        return np.clip(place.astype(np.intp), 0, _MOST_CELLS - 1)


class _Run:
    """A burst while it unfolds: `out` (R, cells + 1), A by cell; `begun` first tokens ever out; `gone` sequences that
    were thrown out and wait, `gone_steps` what they had written; `ratio` of the estimate."""

    def __init__(self, q: Queue, grid: _Grid):
        rows = len(q.count)
        self.q, self.grid = q, grid
        self.out = np.zeros((rows, _MOST_CELLS + 1))
        self.area = np.zeros((rows, _MOST_CELLS + 1))
        self.begun, self.gone, self.gone_steps = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        self.ratio = q.estimate[0].copy()
        self.tight = np.zeros(rows, dtype=bool)
        self.row = np.arange(rows)[:, None]
        self.growing = ~q.whole & np.isfinite(q.room)

    def past(self, j: int, lag: Array) -> tuple[Array, Array, Array]:
        """A (R, K) at `lag` (R, K) before cell j ends, the share of cell j that lies before that step, and the area
        below A up to there; in cell j itself A is as before it."""
        at, u = self.grid.at, self.grid.at[:, j, None] - lag
        low = np.minimum(self.grid.cell(np.maximum(u, 0.0)), j)
        begin, end = at[self.row, low], at[self.row, np.minimum(low + 1, j)]
        f = np.clip((u - begin) / np.maximum(end - begin, 1e-12), 0.0, 1.0)
        last = max(j - 1, 0)
        left, right = self.out[self.row, np.minimum(low, last)], self.out[self.row, np.minimum(low + 1, last)]
        value = np.where(u < -1e-6, 0.0, left + f * (right - left))
        inside = np.clip((u - at[:, last, None]) / np.maximum(at[:, j, None] - at[:, last, None], 1e-12), 0.0, 1.0)
        inside = inside if j else np.where(u >= 0, 1.0, 0.0)
        below = self.area[self.row, np.minimum(low, j)]
        below = np.where(u < -1e-6, 0.0, below + np.maximum(u - begin, 0.0) * (left + value) / 2)
        return value, inside, below

    def admit(self, j: int, width: Array, decoding: Array) -> Array:
        """Let in what cell j takes; prompt tokens that it computes."""
        q, w, before = self.q, self.q.weights, self.out[:, max(j - 1, 0)].copy()
        lag = q.steps + q.lag[:, None]
        self.area[:, j] = self.area[:, max(j - 1, 0)] + before * width
        value, inside, below = self.past(j, lag)
        ended, soon = value @ w, np.minimum(inside @ w, 1 - 1e-9)
        most = np.minimum((q.places + ended - soon * before) / (1 - soon), q.count)
        room = q.room * np.where(before > ended, 1 - q.spare, 1.0)
        size = q.kept[:, None] + q.gain[:, None] * (q.steps + 1)
        held_whole = (size * value) @ w
        late = (size * inside) @ w
        whole = (room + held_whole - late * before) / np.maximum(size @ w - late, 1e-9)
        most = np.where(q.whole, np.minimum(most, whole), most)
        shared = q.mixed & np.isfinite(q.budget)
        # what a full engine lets in beyond what grows up it computes anew: an answer's growth between two ends, less
        # that of a step, for which room is kept
        spent = q.prompt + np.where(self.tight & ~q.alike, np.maximum(q.answer - q.gain * decoding, 0.0), 0.0)
        fed = np.where(shared, width * np.maximum(np.where(shared, q.budget, 0.0) - decoding * q.feeds, 0.0), np.inf)
        by_budget = fed / (spent + q.feeds * np.maximum(width - 1, 0.0) / 2)
        if self.growing.any():
            grown = q.gain * np.maximum((self.area[:, j, None] - below - q.steps * value) @ w, 0.0)
            self._throw_out(j, before, ended, grown)
            before = self.out[:, max(j - 1, 0)].copy()
            by_room, short = self._by_memory(before, grown, value, width)
            self.tight, most = short & (by_room < most), np.minimum(most, by_room)
        limit = before + by_budget
        again = np.where(self.gone > 1e-9, np.clip(np.minimum(most, limit) - before, 0.0, self.gone), 0.0)
        tokens = self._take_back(j, again)
        now = np.where(self.gone > 1e-9, before + again, np.maximum(np.minimum(most, limit), before + again))
        now = np.maximum(now, np.minimum(np.where(before > ended + 0.5, 0.0, ended + 1), limit))
        now = np.minimum(now, q.count)
        self.out[:, j] = np.maximum(now, before)
        fresh = np.maximum(self.out[:, j] - before - again, 0.0)
        self.begun = np.maximum(self.begun, self.out[:, j])
        self.area[:, j] += (self.out[:, j] - before) * width / 2
        return tokens + fresh * spent

    def _throw_out(self, j: int, before: Array, ended: Array, grown: Array) -> None:
        """Those that came last, until what is left fits: A is cut at what is left, as if they had never come."""
        q, last = self.q, max(j - 1, 0)
        excess = q.kept * (before - ended) + grown - q.room
        rows = np.flatnonzero(self.growing & (excess > 1e-9 * q.room) & (before > ended + 1))
        if not len(rows):
            return
        past, top, least = self.out[rows, : last + 1], before[rows], ended[rows] + 1
        width = np.diff(self.grid.at[rows, : last + 2], axis=1)
        kept, gain, excess = q.kept[rows], q.gain[rows], excess[rows]
        left = np.clip(top - excess / np.maximum(kept, 1.0), least, top)
        for _ in range(8):
            had = (np.maximum(past - left[:, None], 0.0) * width).sum(axis=1)
            freed = np.maximum(kept * (top - left) + gain * had, 1e-9)
            left = np.clip(top - np.maximum(top - left, 1e-9) * excess / freed, least, top)
        had = (np.maximum(past - left[:, None], 0.0) * width).sum(axis=1)
        self.gone[rows] += top - left
        self.gone_steps[rows] += had
        grown[rows] -= gain * had
        self.out[rows, : last + 1] = np.minimum(past, left[:, None])
        self._areas(rows, j)
        made = grown[rows] / gain
        needed = made / np.maximum((q.steps @ q.weights)[rows] * (left - ended[rows]), 1.0)
        self.ratio[rows] = np.where(q.estimate[0][rows] > 0, np.minimum(needed, 1.0), self.ratio[rows])

    def _areas(self, rows: npt.NDArray[np.intp], j: int) -> None:
        """Areas below A of `rows`, whose past has changed, up to cell j."""
        a, at = self.out[rows, : max(j, 1)], self.grid.at[rows, : max(j, 1)]
        steps = (a[:, 1:] + a[:, :-1]) / 2 * np.diff(at, axis=1)
        self.area[rows, : max(j, 1)] = np.concatenate((np.zeros((len(rows), 1)), np.cumsum(steps, axis=1)), axis=1)
        if j:
            self.area[rows, j] = self.area[rows, j - 1] + a[:, -1] * (self.grid.at[rows, j] - self.grid.at[rows, j - 1])

    def _by_memory(self, before: Array, grown: Array, value: Array, width: Array) -> tuple[Array, Flags]:
        """The most that memory lets in where nothing is reserved for answers but by an estimate; and whether answers
        may grow into what is not there."""
        q = self.q
        running = np.maximum(before - value @ q.weights, 0.0)
        held = q.kept * running + grown
        start, least, fall = q.estimate
        left = np.maximum((q.steps * (before[:, None] - value)) @ q.weights * q.gain - grown, 0.0)
        guarded = start > 0
        margin = np.where(running > 1e-9, np.where(guarded, self.ratio * left + q.answer, 0.5 * q.kept), 0.0)
        each = q.kept + np.where(guarded, self.ratio * q.answer, 0.0)
        room = q.room * np.where(running > 1e-9, 1 - q.spare, 1.0)
        by_room = before + np.maximum(room - held - margin, 0.0) / np.maximum(each, 1e-9)
        self.ratio = np.where(guarded, np.maximum(self.ratio - fall * width, least), self.ratio)
        short = self.growing & ~guarded & (before + self.gone < q.count - 1e-9) & (running > 0)
        return np.where(self.growing, by_room, np.inf), short

    def _take_back(self, j: int, again: Array) -> Array:
        """Those thrown out come in again and go on where they were: A as if they had begun as much earlier as they
        have written; prompt tokens that it takes."""
        rows = np.flatnonzero(again > 1e-12)
        if not len(rows):
            return np.zeros(len(again))
        had = self.gone_steps[rows] / self.gone[rows]
        since = self.grid.at[rows, j] - had
        last = max(j - 1, 0)
        self.out[rows, : last + 1] += again[rows, None] * (self.grid.at[rows, : last + 1] >= since[:, None])
        self._areas(rows, j)
        self.gone_steps[rows] -= again[rows] * had
        self.gone[rows] -= again[rows]
        tokens = np.zeros(len(again))
        tokens[rows] = again[rows] * (self.q.prompt[rows] + self.q.gain[rows] * had)
        return tokens


def unfold(q: Queue, span: Array) -> Unfolded:
    """The bursts `q`, which are thought to take `span` steps each."""
    for _ in range(_LOOKS):
        found, left = _looked_at(q, span)
        assert not np.isnan(found.ended).any(), "a burst of no numbers"
        if (left <= 0).all():
            return found
        span = np.where(left > 0, _LONGER * span, span)
    raise AssertionError("a burst that nothing keeps from ending does not end")


def _looked_at(q: Queue, span: Array) -> tuple[Unfolded, Array]:
    """What a grid that reaches about `span` steps shows, and the chance that anything is left beyond it."""
    grid = _Grid(span, np.where(q.clumped, q.steps[:, 0] + q.lag, 0.0))
    run = _Run(q, grid)
    rows, w = len(q.count), q.weights
    sure = np.log(np.maximum(np.cumsum(w)[:-1], 1e-300))
    nothing = np.zeros(rows)
    opening = np.where(q.mixed, 0.0, 1.0)
    opened_tokens = run.admit(0, nothing, nothing) * opening
    run.out[:, 0] *= opening
    run.begun = run.out[:, 0].copy()
    decoding, going, lasting = run.out[:, 0].copy(), np.ones(rows), np.ones(rows)
    written = nothing
    columns: list[tuple[Array, ...]] = []
    opened = (run.out[:, 0].copy(), opened_tokens)
    for j in range(1, _MOST_CELLS):
        width = grid.at[:, j] - grid.at[:, j - 1]
        tokens = run.admit(j, width, decoding)
        value, inside, below = run.past(j, q.steps)
        now, last = run.out[:, j], run.out[:, j - 1]
        value = value + inside * (now - last)[:, None]
        # a prompt that is half through does not decode
        whole = np.where((width <= 1) & ~q.clumped & (now < q.count), np.floor(now + 1e-6), now)
        then = np.maximum(whole - value @ w, 0.0)
        wrote = q.gain * np.maximum((run.area[:, j, None] - below - q.steps * value) @ w, 0.0)
        # chance that not all of those that have begun are through
        over = (now - value[:, 0]) * _SURE + (value[:, :-1] - value[:, 1:]) @ sure
        left, any_left = (
            np.where(now < q.count - 1e-6, 1.0, np.where(x < -_OVER, -np.expm1(np.minimum(x, 0.0)), 0.0))
            for x in (over, over * q.engines)
        )
        inner = np.where(q.clumped, 0.0, (width - 1) / (2 * np.maximum(width, 1.0)))
        mean = decoding + (then - decoding) * inner
        context = q.met * mean + written + (wrote - written) * inner
        columns.append((
            width, run.begun.copy(), value @ w, tokens, mean, context, going + (left - going) * inner,
            lasting + (any_left - lasting) * inner,
        ))  # fmt: skip
        decoding, going, lasting, written = then, left, any_left, wrote
        if (any_left <= 0).all():
            break
    width, out, ended, tokens, mean, context, going_on, lasting_on = (
        np.stack(values, axis=1) for values in zip(*columns, strict=True)
    )
    found = Unfolded(
        width=width, out=out, ended=ended, tokens=tokens, decoding=mean, context=context, going=going_on,
        lasting=lasting_on, at=grid.at[:, : len(columns) + 1], opened=opened,
    )  # fmt: skip
    return found, any_left

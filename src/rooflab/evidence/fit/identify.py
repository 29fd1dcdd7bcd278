"""Which constants rows can tell, what they are, and whether rows that were not used agree.

Constants are taken in one by one, each time the one that explains most, as long as it explains enough for one more
constant and the rows tell all that are in: the posterior of each is clearly narrower than its prior.  Times are lines
in the constants, drawn again at each optimum until none is better in truth.  Every constant that stays out has a
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.evidence.fit.linear import Line
from rooflab.evidence.fit.posterior import NOISE, Posterior, draw, loss_of, solve
from rooflab.evidence.fit.priors import Prior

__all__ = ["FEWEST", "Constant", "Found", "Stage", "errors", "find", "stage_of"]

Array = npt.NDArray[np.float64]

FEWEST: Final = 3
"""Rows below which nothing is fitted: fewer cannot be checked against each other."""
_IDENTIFIED: Final = 0.6
"""Posterior over prior width below which rows are said to tell a constant."""
_SEPARATE: Final = 0.7
"""Correlation of two constants above which the rows cannot tell them apart."""
_WORTH: Final = 2.0
"""Loss that one more constant must explain: twice its number, as Akaike's criterion has it."""
_ROUNDS: Final = 9
_HALVINGS: Final = 3
_FOLDS: Final = 20
"""Most times that a fit is done again without some of the rows; more configurations are left out in as many parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant: where it belongs, shipped and fitted value, its standard deviation before and after the rows; why
    it was refused.

    `stands_for` names constants that have the same effect on these rows: the rows tell their sum, which this one
    carries.
    """

    owner: str
    name: str
    shipped: float
    value: float
    prior_deviation: float
    deviation: float
    refused: str
    stands_for: tuple[str, ...] = ()

    @property
    def fitted(self) -> bool:
        """Whether the rows moved it."""
        return not self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One fit: its rows, median and p90 error before, after, and after with each configuration left out in turn; kept
    or not."""

    name: str
    rows: tuple[str, ...]
    before: tuple[float, float]
    after: tuple[float, float]
    left_out: tuple[float, float]
    kept: bool
    constants: tuple[Constant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Result of `find`, by position of the priors: constants, which are fitted, why the others are not, standard
    deviations.

    `alike`: for each fitted constant the names of others that the rows cannot tell from it.  Errors are (median, p90);
    `better`: whether rows that were left out lose less with the fitted constants than with the shipped ones.
    """

    theta: Array
    kept: tuple[int, ...]
    reasons: Mapping[int, str]
    deviation: Array
    alike: Mapping[int, tuple[str, ...]]
    before: tuple[float, float]
    after: tuple[float, float]
    left_out: tuple[float, float]
    better: bool


@dataclass(frozen=True, slots=True)
class _Task:
    """What is expected of the constants, what was measured, which rows are left out together, and σ."""

    priors: Mapping[str, Prior]
    measured: Array
    groups: Sequence[Hashable]
    noise: float

    @property
    def listed(self) -> list[Prior]:
        """The priors in their order."""
        return list(self.priors.values())

    @property
    def shipped(self) -> Array:
        """The shipped constants."""
        return np.array([p.mean for p in self.listed])

    @property
    def width(self) -> Array:
        """Standard deviations of the priors."""
        return np.array([p.width for p in self.listed])

    def solve(self, line: Line, some: Sequence[int]) -> Posterior:
        """The posterior of `some` of the constants, the others standing still."""
        return solve(line.constants(some), self.measured, [self.listed[i] for i in some], self.noise)


def find(
    times_at: Callable[[Array], Array],
    priors: Mapping[str, Prior],
    measured: Array,
    groups: Sequence[Hashable],
    *,
    noise: float = NOISE,
    elsewhere: Sequence[Array] = (),
) -> Found:
    """Fit what `measured` can tell of the constants in `priors` (by name), whose means are the shipped values.

    `times_at(theta)` gives the rows at given constants; rows of one of the `groups` (a configuration) are left out
    together. `elsewhere` are constants to look from too, where rows hardly move at the shipped ones (power at its
    limit).
    """
    task = _Task(priors, measured, groups, noise)
    climbs = [_climb(times_at, task, first) for first in (task.shipped, *elsewhere)]
    _, best = min(climbs, key=lambda climb: climb[0])
    return _judged(best, times_at(task.shipped), task)


def _climb(times_at: Callable[[Array], Array], task: _Task, first: Array) -> tuple[float, _Try]:
    """The least loss found from the line at `first`, and the constants that have it."""
    start = task.shipped
    best = tried = _Try(first, (), {}, {}, np.zeros(0))
    least, halvings = np.inf, 0
    for i in range(_ROUNDS):
        line = draw(times_at, task.priors, tried.theta)
        loss = loss_of(line.base, task.measured, tried.theta, task.listed, task.noise)
        if loss > least - 1e-3:
            # the line led too far: go half of the way, as long as that is far
            halvings += 1
            if halvings > _HALVINGS or np.max(np.abs(tried.theta - best.theta) / task.width, initial=0.0) < 0.02:
                break
            theta = start.copy()
            theta[list(tried.kept)] = (best.theta + tried.theta)[list(tried.kept)] / 2
            tried = replace(tried, theta=theta)
            continue
        # constants that are not taken in stand at their shipped values, not where the last line left them
        shipped = Line(line.at(start), line.slopes, start)
        kept, reasons, posterior = _identified(shipped, task)
        alike = _alike(shipped, task, kept)
        if i or np.array_equal(first, start):
            best, least = replace(tried, line=line, reasons=tried.reasons or reasons, alike=tried.alike or alike), loss
        theta = start.copy()
        theta[kept] = posterior.theta
        tried = _Try(theta, tuple(kept), reasons, alike, posterior.deviation)
    return least, best


@dataclass(frozen=True, slots=True)
class _Try:
    """Constants, which of them are fitted, reasons against the others, what the fitted ones stand for, deviations, the
    line through all."""

    theta: Array
    kept: tuple[int, ...]
    reasons: Mapping[int, str]
    alike: Mapping[int, tuple[str, ...]]
    deviation: Array
    line: Line | None = None


def _judged(best: _Try, shipped: Array, task: _Task) -> Found:
    """`best` if left-out rows get better by it, else the shipped constants, with the reason; `shipped` are times at
    those."""
    assert best.line is not None
    kept, measured = list(best.kept), task.measured
    without = _without_each(best.line, task, kept)
    before, after, left_out = (errors(predicted, measured) for predicted in (shipped, best.line.base, without))
    better = bool(kept) and _lost(without, task) < _lost(shipped, task)
    deviation = task.width
    deviation[kept] = best.deviation
    reasons = {i: r for i, r in best.reasons.items() if i not in kept}
    found = Found(
        theta=best.theta,
        kept=best.kept,
        reasons=reasons,
        deviation=deviation,
        alike=best.alike,
        before=before,
        after=after,
        left_out=left_out,
        better=better,
    )
    if better:
        return found
    start = task.shipped
    if len(set(task.groups)) < 2:
        flat = {i: r for i, r in reasons.items() if r == _NO_ROW}
        refused = dict.fromkeys(range(len(start)), _ONE_RUN) | flat
    else:
        refused = dict.fromkeys(range(len(start)), _NO_BETTER) | reasons
    return Found(
        theta=start,
        kept=(),
        reasons=refused,
        deviation=task.width,
        alike={},
        before=before,
        after=after,
        left_out=left_out,
        better=False,
    )


def stage_of(name: str, rows: Sequence[str], found: Found, priors: Mapping[str, Prior]) -> Stage:
    """A fit as a record: constants are named ``owner:constant`` in `priors`, whose means are the shipped values."""
    constants = []
    for i, (constant, prior) in enumerate(priors.items()):
        owner, _, short = constant.rpartition(":")
        deviation, refused = found.deviation[i].item(), found.reasons.get(i, "")
        alike = found.alike.get(i, ())
        constants.append(
            Constant(
                owner=owner,
                name=short,
                shipped=prior.mean,
                value=found.theta[i].item(),
                prior_deviation=prior.width,
                deviation=deviation,
                refused=refused,
                stands_for=alike,
            )
        )
    return Stage(
        name=name,
        rows=tuple(rows),
        before=found.before,
        after=found.after,
        left_out=found.left_out,
        kept=found.better,
        constants=tuple(constants),
    )


_NO_ROW: Final = "no row depends on it"
_ONE_RUN: Final = "all rows measure one configuration: nothing is left to check a fit against"
_NO_BETTER: Final = "left-out rows get no better: the shipped value stays"


def errors(predicted: Array, measured: Array) -> tuple[float, float]:
    """Median and p90 of |predicted/measured − 1|."""
    error = np.abs(predicted / measured - 1.0)
    return float(np.median(error)), float(np.quantile(error, 0.9))


def _lost(predicted: Array, task: _Task) -> float:
    """Loss of predictions, a constant's own apart."""
    return loss_of(predicted, task.measured, np.zeros(0), [], task.noise)


def _identified(line: Line, task: _Task) -> tuple[list[int], dict[int, str], Posterior]:
    """Constants that the rows can tell and ask for, why each other one stays, and the posterior of the former."""

    def told(found: Posterior, some: list[int]) -> bool:
        return bool(np.all(found.deviation <= _IDENTIFIED * task.width[some]))

    every = range(len(task.priors))
    kept: list[int] = []
    best = task.solve(line, kept)
    while True:
        tried = [
            (found.loss, i, found)
            for i in every
            if i not in kept and told(found := task.solve(line, [*kept, i]), [*kept, i])
        ]
        if not tried or min(t[0] for t in tried) > best.loss - _WORTH:
            break
        _, chosen, best = min(tried, key=lambda t: t[0])
        kept.append(chosen)
    reasons = {i: _reason(line, kept, i, task.solve(line, [*kept, i]), task.priors) for i in every if i not in kept}
    return kept, reasons, best


def _reason(line: Line, kept: list[int], i: int, found: Posterior, priors: Mapping[str, Prior]) -> str:
    """Why constant `i` is not fitted beside `kept`; `found` is the posterior with it."""
    if not np.any(np.abs(line.slopes[:, i]) > 0):
        return _NO_ROW
    names = list(priors)
    left = found.deviation[-1] / priors[names[i]].width
    if left <= _IDENTIFIED:
        return "the rows bear the shipped value out"
    others = np.abs(found.correlation[-1, :-1])
    if len(others) and others.max() > _SEPARATE:
        return f"the rows cannot tell it from {_short(names[kept[int(np.argmax(others))]])}"
    return f"the rows narrow it down by {max(1 - left, 0.0):.0%} only"


def _short(constant: str) -> str:
    return constant.rpartition(":")[2]


def _alike(line: Line, task: _Task, kept: list[int]) -> dict[int, tuple[str, ...]]:
    """For each of `kept` the constants outside that the rows cannot tell from it."""
    names, out = list(task.priors), dict[int, tuple[str, ...]]()
    for i in range(len(names)):
        if i in kept or not kept or not np.any(np.abs(line.slopes[:, i]) > 0):
            continue
        found = task.solve(line, [*kept, i])
        others = np.abs(found.correlation[-1, :-1])
        if found.deviation[-1] > _IDENTIFIED * task.width[i] and others.max() > _SEPARATE:
            with_ = kept[int(np.argmax(others))]
            out[with_] = (*out.get(with_, ()), _short(names[i]))
    return out


def _without_each(line: Line, task: _Task, kept: Sequence[int]) -> Array:
    """Times of each row by constants fitted without its group."""
    if not kept:
        return line.base
    part, listed, measured = line.constants(kept), [task.listed[i] for i in kept], task.measured
    place = {group: i for i, group in enumerate(dict.fromkeys(task.groups))}
    of = np.array([place[g] for g in task.groups])
    of = of % _FOLDS if len(place) > _FOLDS else of
    out = np.empty(len(measured))
    for group in np.unique(of):
        inside = of == group
        if inside.all():
            return part.at(np.array([p.mean for p in listed]))
        out[inside] = part.rows(inside).at(solve(part.rows(~inside), measured[~inside], listed, task.noise).theta)
    return out

"""How requests of an open loop come: evenly, at random, or many right behind each other.

Gaps that differ more than at random (gamma, shape k = 1/cv² < 1; before one of E engines that take turns E k) are a run
of very short ones and then a long one.  The work that one finds before it is that of a random walk, of which Spitzer's
identity says all: with S_n = n s − (n gaps), s being what a request takes,

    E[W] = Σ E[S_n⁺] / n,     Var W = Σ E[(S_n⁺)²] / n,     ln P(W = 0) = − Σ P(S_n > 0) / n

and n gaps are gamma distributed with shape n k.  Behind it come those that come before it has gone, which each of them
puts off by s: a chain that goes on with P(gap < w_j), w_{j+1} = w_j / (1 + k) + s, as ln gap is about even below w.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Arrivals", "Company", "chains"]

Array = npt.NDArray[np.float64]

_CHAIN: Final[Array] = np.unique(np.geomspace(1, 4000, 64).round())
"""Places in a chain at which it is looked at."""
_TERMS: Final = 60
_SHIFT: Final = 8
_FULL: Final = 0.97
"""Load up to which the work before one is that of engines for ever under that load."""


class Company(NamedTuple):
    """Requests that come right before and right behind one, on average, (R,); those ahead by the work that is left of
    them, those behind also as far as they are in time for its own step (`joining`); `met`: share of requests that find
    any, and `met_cv` how much the work before those differs."""

    ahead: Array
    joining: Array
    behind: Array
    met: Array
    met_cv: Array


def _log_gamma(x: Array) -> Array:
    """ln Γ(x), by Stirling's series beyond a shift."""
    y = x + _SHIFT
    low = np.log(np.multiply.reduce([x + i for i in range(_SHIFT)]))
    out: Array = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + 1 / (12 * y) - 1 / (360 * y**3) - low
    return out


def _below(shape: Array, x: Array) -> Array:
    """The regularised incomplete gamma function P(shape, x), for an x not far beyond the shape."""
    z = np.clip(x, 1e-300, shape + 20.0)
    total = np.zeros_like(z)
    term = np.exp(shape * np.log(z) - z - _log_gamma(1 + shape))
    for n in range(1, _TERMS):
        total += term
        term = term * z / (shape + n)
    out: Array = np.minimum(total + term, 1.0)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Per engine: requests a second, `engines` that take them in turns, coefficient of variation of the gaps between
    all requests, requests that come at once (`group`), coefficient of variation of answers."""

    rate: Array
    engines: Array
    gaps_cv: Array
    group: Array
    answers_cv: Array

    @property
    def gaps(self) -> Array:
        """Variance of the gaps before one engine over their mean squared, company apart: turns make them even."""
        return np.minimum(self.gaps_cv, 1.0) ** 2 / self.engines

    @property
    def variation(self) -> Array:
        """Variance of the gaps before one engine over their mean squared, in the long run."""
        return self.gaps_cv**2 * self.group / self.engines

    def company(self, each_s: Array, alone_s: Array, stay_s: Array) -> Company:
        """Those beside a request of one engine beyond those at random: it takes `alone_s`, many of them `each_s` each,
        and one stays for `stay_s` when nobody comes behind it."""
        # of those that come at once any place is as likely as another
        each = np.maximum(self.group / self.engines, 1.0)
        group = (self.group - 1) / 2 / self.engines
        cv = np.sqrt(np.maximum(1 - 2 / each, 0.03) / 3)
        out = Company(group.copy(), group.copy(), group.copy(), group / (group + 0.5), cv)
        wild = self.gaps_cv > np.sqrt(self.engines)
        if wild.any():
            shape = self.engines[wild] / self.gaps_cv[wild] ** 2
            times = (each_s[wild, None], alone_s[wild, None], stay_s[wild, None])
            seen, at_random = (chains(k, self.rate[wild], times) for k in (shape, np.ones_like(shape)))
            for of, some, others in zip(out[:3], seen, at_random, strict=False):
                of[wild] += np.maximum(some - others, 0.0)
            out.met[wild], out.met_cv[wild] = seen.met, seen.met_cv
        return out


def chains(shape: Array, rate: Array, times: tuple[Array, Array, Array]) -> Company:
    """The company of one whose gaps are gamma distributed with `shape` (R,) at `rate`; `times` (R, 1) as in
    `company`."""
    each, alone, stay = times
    k, pace, left = shape[:, None], (shape * rate)[:, None], (1 / (1 + shape))[:, None]
    load = np.minimum(rate[:, None] * each, _FULL)
    n = _CHAIN * k
    p, q, r = (_below(n + i, n * load) for i in range(3))
    # in gaps of 1/(k rate); a request takes k times the load of them
    mean = _sum(n * load * p - n * q) / (k * load)[:, 0]
    square = _sum((n * load) ** 2 * p - 2 * n * load * n * q + n * (n + 1) * r) / (k * load)[:, 0] ** 2
    met = -np.expm1(-_sum(p))
    cv = np.sqrt(np.maximum((square + mean**2) * met / np.maximum(mean, 1e-12) ** 2 - 1, 0.01))
    kept = left ** (_CHAIN - 1)
    queue = each * (1 - kept) / (1 - left)
    joining = _mean(_still(_below(k, pace * alone + 0 * kept)))
    behind = _mean(_still(_below(k, pace * (stay * kept + queue))))
    return Company(mean, joining, behind, met, cv)


def _sum(values: Array) -> Array:
    """Σ values(n) / n over all n, from those (R, N) at `_CHAIN`."""
    each = values / _CHAIN
    step = np.diff(_CHAIN)
    between = (each[:, :-1] + each[:, 1:]) / 2 * step + (each[:, :-1] - each[:, 1:]) / 2
    out: Array = np.maximum(between.sum(axis=1) + each[:, -1], 0.0)
    return out


def _still(goes_on: Array) -> Array:
    """Chance (R, N) that a chain goes on for as long as `_CHAIN`, from that of each place."""
    log = np.log(np.maximum(goes_on, 1e-12))
    between = np.diff(_CHAIN) * (log[:, 1:] + log[:, :-1]) / 2 + (log[:, 1:] - log[:, :-1]) / 2
    out: Array = np.exp(np.concatenate((log[:, :1], log[:, :1] + np.cumsum(between, axis=1)), axis=1))
    return out


def _mean(there: Array) -> Array:
    """Mean length of chains that reach each place of `_CHAIN` with chance `there` (R, N)."""
    step = np.diff(_CHAIN)
    between = (there[:, :-1] + there[:, 1:]) / 2 * step + (there[:, :-1] - there[:, 1:]) / 2
    out: Array = between.sum(axis=1) + there[:, -1]
    return out

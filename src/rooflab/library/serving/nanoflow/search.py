"""The search for number, size, order and shares of nano-batches (section 4.1.3), in two stages.

First stage: with durations d of the nano-operations, the pipeline that repeats every T seconds a layer is an integer
program. With the frequency f = 1/T and phases s (start over T) it is linear:

    max f      s_j ≥ s_i + d_i f                                                 j waits for i, in one nano-batch
               s_first + 1 ≥ s_last + d_last f                                   so does the next layer
               s_i + d_i f ≤ s_j + k,   s_j + d_j f ≤ s_i + 1 − k,   k whole     i, j on one resource
               s(o, b + 1) ≥ s(o, b) + d f                                       nano-batches keep their order
               d_i f = Σ_c d_i(c) φ_c,   Σ φ_c = f,   φ_c ≤ F_c x_c,   Σ x_c = 1, x binary: one of the cuts c

F_c is the frequency at which the busiest resource of a cut never rests. HiGHS solves it for each number of nano-batches
until a further one gains nothing, once with durations alone and once with those under the shares that would be best if
nothing had to wait.

Second stage: shares are tried on the pipeline itself (`Pipeline.run`), the best common ones first; then shares of
single operations, exchanges of neighbours on a resource and shifts of a nano-batch, as long as they shorten a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.library.serving.nanoflow.pipeline import Order, Pipeline, Run
from rooflab.library.serving.nanoflow.profile import COMPUTE, Profile
from rooflab.search.program import Program

__all__ = ["Found", "cuts", "search", "whole_s"]

F64 = npt.NDArray[np.float64]

_UNITS: Final = {2: 16, 3: 6, 4: 8}
"""Into how many equal pieces a batch is cut, of which nano-batches take one or several."""
_GAP: Final = 5e-3
_NODES: Final = 2000
"""Where HiGHS stops: within half a hundredth of the best, or after so many nodes (a count, not a clock)."""
_BETTER: Final = 1e-6
_STEP: Final = 1e-3
"""Share by which a round of small changes has to shorten a layer for another round."""
_SHIFTS: Final = (-0.25, -0.125, 0.125, 0.25)
"""Parts of a layer by which all of a nano-batch is moved."""
_WORTH: Final = 0.01
"""Share of the period that one more nano-batch has to promise."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: `parts` of the batch, the pipeline's order and shares, and what it then does."""

    parts: tuple[float, ...]
    order: Order
    run: Run

    @property
    def period_s(self) -> float:
        """Seconds a layer."""
        return self.run.period_s


def whole_s(profile: Profile) -> float:
    """Seconds of a layer that is not cut, one operation after the other."""
    return float(profile.seconds((1.0,)).sum())


def cuts(count: int) -> tuple[tuple[float, ...], ...]:
    """Ways to cut a batch into `count` nano-batches, smallest first."""
    units = _UNITS.get(count, count)
    return tuple(tuple(p / units for p in parts) for parts in _parts(units, count, 1))


def _parts(units: int, count: int, least: int) -> Iterator[tuple[int, ...]]:
    if count == 1:
        yield (units,)
        return
    for first in range(least, units // count + 1):
        yield from ((first, *rest) for rest in _parts(units - first, count - 1, first))


def search(profile: Profile, most: int = 4, fixed: int = 0) -> Found:
    """The fastest pipeline of at most `most` nano-batches (`fixed`: of so many).

    One more is tried as long as the bound of the first stage promises another hundredth. Raises MissingExtra without
    SciPy.
    """
    return _searched(profile, (fixed,) if fixed else tuple(range(2, most + 1)))


@lru_cache(maxsize=512)
def _searched(profile: Profile, counts: tuple[int, ...]) -> Found:
    """The same over numbers of nano-batches, once for each profile."""
    best: Found | None = None
    for count in counts:
        choices = cuts(count)
        share = _shares(profile, profile.seconds((1.0 / count,) * count).sum(axis=1))
        durations = np.stack([_beside(profile, profile.seconds(c), share) for c in choices])
        if best is not None and _bound_s(profile, durations) > best.period_s * (1 - _WORTH):
            break
        for given in (np.stack([profile.seconds(c) for c in choices]), durations):
            at, phase = _first_stage(profile, given)
            found = Found(choices[at], *_second_stage(profile, profile.seconds(choices[at]), phase))
            if best is None or found.period_s < best.period_s:
                best = found
    assert best is not None
    return best


def _loads(profile: Profile, durations: F64) -> F64:
    """Seconds that the busiest resource of each cut works a layer."""
    resources = sorted({op.resource for op in profile.operations})
    out: F64 = np.max([durations[:, list(profile.of(r))].sum(axis=(1, 2)) for r in resources], axis=0)
    return out


def _bound_s(profile: Profile, durations: F64) -> float:
    return float(_loads(profile, durations).min())


def _options(profile: Profile) -> list[list[float]]:
    """Shares that each operation may have; 0 for products, which have what is left."""
    return [[0.0] if op.resource == COMPUTE else [r for r, _ in op.rates] for op in profile.operations]


def _common(profile: Profile) -> Iterator[tuple[float, ...]]:
    """One share for all operations of a resource, those of different resources within the device."""
    tables = {op.resource: dict(op.rates) for op in profile.operations if op.resource != COMPUTE}
    for chosen in product(*tables.values()):
        by = dict(zip(tables, chosen, strict=True))
        if sum(by.values()) < 1.0 or all(r == 1.0 for r in by.values()):
            yield tuple(_nearest(op.rates, by[op.resource]) if op.resource in by else 0.0 for op in profile.operations)


def _nearest(rates: Sequence[tuple[float, float]], share: float) -> float:
    return min((r for r, _ in rates), key=lambda r: abs(r - share))


def _lost(profile: Profile, share: Sequence[float]) -> F64:
    """Seconds of products that a second of each operation costs."""
    rates = [dict(op.rates).get(r, 1.0) for op, r in zip(profile.operations, share, strict=True)]
    return np.array([r / p for r, p in zip(share, rates, strict=True)])


def _shares(profile: Profile, seconds: F64) -> tuple[float, ...]:
    """The shares at which a layer would be shortest if nothing had to wait for anything else."""
    return min(_common(profile), key=lambda share: _freely_s(profile, seconds, share))


def _freely_s(profile: Profile, seconds: F64, share: Sequence[float]) -> float:
    """Seconds of a layer whose operations take `seconds` and never wait: no pipeline with these shares is faster."""
    products = sum(float(seconds[i]) for i in profile.of(COMPUTE)) + float((_lost(profile, share) * seconds).sum())
    rates = [1.0 if r == 0 else dict(op.rates)[r] for op, r in zip(profile.operations, share, strict=True)]
    others = [
        sum(float(seconds[i]) / rates[i] for i in profile.of(resource))
        for resource in {op.resource for op in profile.operations} - {COMPUTE}
    ]
    return max([products, *others])


def _beside(profile: Profile, seconds: F64, share: Sequence[float]) -> F64:
    """Durations under `share`, the loss of products spread over all of them."""
    products = list(profile.of(COMPUTE))
    lost = float((_lost(profile, share)[:, None] * seconds).sum())
    out = seconds.copy()
    out[products] *= 1 + lost / max(float(seconds[products].sum()), 1e-300)
    for i, (op, r) in enumerate(zip(profile.operations, share, strict=True)):
        if op.resource != COMPUTE:
            out[i] /= dict(op.rates)[r]
    return out


class _Pipeline:
    """The program of one set of durations, cuts × operations × nano-batches, in units near 1."""

    def __init__(self, durations: F64, most: F64) -> None:
        self.durations = durations
        cuts_, operations, count = durations.shape
        self.program = Program("nanoflow")
        self.frequency = [self.program.variable(gain=1.0, most=float(f)) for f in most]
        self.chosen = [self.program.variable(most=1.0, whole=True) for _ in range(cuts_)]
        self.phase = [[self.program.variable(most=2.0) for _ in range(count)] for _ in range(operations)]
        self.program.row(dict.fromkeys(self.chosen, 1.0), low=1.0, high=1.0)
        for f, x, limit in zip(self.frequency, self.chosen, most, strict=True):
            self.program.row({f: 1.0, x: -float(limit)}, high=0.0)

    def before(self, i: tuple[int, int], j: tuple[int, int], high: float, k: int = -1, sign: float = 0.0) -> None:
        """s_i + d_i f − s_j ± k ≤ high, for (operation, nano-batch) i and j."""
        terms = {f: float(d) for f, d in zip(self.frequency, self.durations[:, i[0], i[1]], strict=True)}
        for (o, b), one in ((i, 1.0), (j, -1.0)):
            column = self.phase[o][b]
            terms[column] = terms.get(column, 0.0) + one
        if sign:
            terms[k] = sign
        self.program.row(terms, high=high)

    def apart(self, i: tuple[int, int], j: tuple[int, int]) -> None:
        """i and j never at the same time, whichever comes first, in any layers."""
        k = self.program.variable(least=-1.0, most=1.0, whole=True)
        self.before(i, j, 0.0, k, -1.0)
        self.before(j, i, 1.0, k, 1.0)


def _first_stage(profile: Profile, durations: F64) -> tuple[int, F64]:
    """Which cut, and the phases of operations × nano-batches."""
    loads = _loads(profile, durations)
    p = _Pipeline(durations / loads.min(), loads.min() / loads)
    operations, count = durations.shape[1:]
    p.program.row({p.phase[profile.first[0]][0]: 1.0}, high=0.0)
    for b in range(count):
        for o, op in enumerate(profile.operations):
            for waited in op.after:
                p.before((waited, b), (o, b), 0.0)
        for last, first in product(profile.last, profile.first):
            p.before((last, b), (first, b), 1.0)
    for o in range(operations):
        for b in range(count - 1):
            p.before((o, b), (o, b + 1), 0.0)
        p.before((o, count - 1), (o, 0), 1.0)
    for i, j in product(range(operations), repeat=2):
        if i != j and profile.operations[i].resource == profile.operations[j].resource:
            for a, b in combinations(range(count), 2):
                p.apart((i, a), (j, b))
    x = p.program.solved(gap=_GAP, nodes=_NODES, presolve=False)
    return int(np.argmax(x[p.chosen])), x[np.array(p.phase)]


def _second_stage(profile: Profile, seconds: F64, phase: F64) -> tuple[Order, Run]:
    """The order and the shares at which the pipeline itself is fastest, from the order of the first stage: downhill."""
    spent = seconds.sum(axis=1)
    common = sorted(_common(profile), key=lambda share: _freely_s(profile, spent, share))
    order, pipeline = Order(phase, common[0]), Pipeline(profile, seconds)
    ran = pipeline.run(order)
    assert ran is not None, "the order of the first stage waits for itself"

    def faster(other: Order, than_s: float) -> Run | None:
        if _freely_s(profile, spent, other.share) >= than_s:
            return None
        return pipeline.run(other, than_s * (1 - _BETTER))

    for share in common[1:]:
        if found := faster(Order(phase, share), ran.period_s):
            order, ran = Order(phase, share), found
    before_s = np.inf
    while ran.period_s < before_s * (1 - _STEP):
        before_s = ran.period_s
        for other in _near(profile, order):
            if found := faster(other, ran.period_s):
                order, ran = other, found
    return order, ran


def _near(profile: Profile, order: Order) -> Iterator[Order]:
    """Orders one step away: another share of one operation, two neighbours on a resource exchanged, a nano-batch
    moved."""
    for o, options in enumerate(_options(profile)):
        for r in options:
            share = (*order.share[:o], r, *order.share[o + 1 :])
            if r != order.share[o] and _fits(profile, share):
                yield Order(order.phase, share)
    count = order.phase.shape[1]
    for resource in sorted({op.resource for op in profile.operations}):
        turns = sorted((order.phase[o, b] % 1.0, o, b) for o in profile.of(resource) for b in range(count))
        for (_, i, a), (_, j, b) in zip(turns, turns[1:] + turns[:1], strict=True):
            if a != b:
                phase = order.phase.copy()
                phase[i, a], phase[j, b] = _exchanged(phase[i, a], phase[j, b])
                yield Order(phase, order.share)
    for b in range(1, count):
        for shift in _SHIFTS:
            phase = order.phase.copy()
            phase[:, b] += shift
            yield Order(phase, order.share)


def _exchanged(first: float, second: float) -> tuple[float, float]:
    """Phases of two neighbours after they change places: each keeps its layer."""
    return np.floor(first) + second % 1.0, np.floor(second) + first % 1.0


def _fits(profile: Profile, share: Sequence[float]) -> bool:
    """Whether kernels of different resources find room beside each other, or all run by themselves."""
    by = {
        op.resource: [r for o, r in zip(profile.operations, share, strict=True) if o.resource == op.resource]
        for op in profile.operations
        if op.resource != COMPUTE
    }
    together = sum(max((r for r in shares if r < 1.0), default=0.0) for shares in by.values())
    return together < 1.0

"""How far engines can be filled whose memory is promised to nobody, so that answers grow into what is not there.

Where memory has run out, the sequence that came last is thrown out and its prompt and what it had written are computed
anew.  An engine that stays full takes (I + O) / I prompts for each answer that ends, as its room is that of prompts,
and throws out again what does not grow up: O tokens more to compute for each request, so that such an engine serves

    λ_full = rate of the places with prompts of I + O tokens

Below that rate a shortage passes.  Above it lasts for good, and engines keep up only as long as none comes:

    n + 3 √(n (v/ε + f²)) ≤ places,     f = O / (√12 (I + O/2)),   ε = 1 − d ln TPOT / d ln n

n sequences differ by √(n v/ε) where requests come with a variance of v over their mean and a fuller engine is a slower
one, and each of them is somewhere in its answer.  Users of a closed loop are as many as they are (v = 0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.load import Case
from rooflab.estimator.serving.pace import Pace
from rooflab.scenario.paid import paid

__all__ = ["computed_anew", "most_rates"]

Array = npt.NDArray[np.float64]

_DEVIATIONS: Final = 3.0
"""Deviations from the mean at which memory must still be enough: beyond are 0.1 % of the moments of a run."""


def most_rates(
    costs: StepCosts, pace: Pace, places: Array, variation: Array, growing: npt.NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Requests a second that engines of `places` serve for good, and those at which nobody finds a place any more.

    `variation`: variance of the gaps between requests over that of Poisson arrivals; `growing`: memory is what limits
    the sequences of an engine, and nothing of it is reserved for answers.
    """
    all_places = pace.rate(pace.most)
    if not growing.any():
        return all_places, all_places
    some, held = pace.take(growing), places[growing]
    full = Pace.of(costs, _anew(some.case, 1.0), held, some.others)
    lasting = np.minimum(full.rate(full.most), all_places[growing])
    calm = some.rate(np.minimum(_calm(some.case, held, variation[growing] / some.give(some.most)), some.most))
    most, filled = all_places.copy(), all_places.copy()
    most[growing] = np.maximum(lasting, calm)
    filled[growing] = np.where(lasting >= calm, lasting, all_places[growing])
    return most, filled


def computed_anew(costs: StepCosts, case: Case, users: Array, places: Array, growing: npt.NDArray[np.bool_]) -> Case:
    """`case` as engines of `places` compute it that `users` may fill: what is thrown out is computed anew.

    With fewer users than places it is as much as keeps an engine from doing better than a full one.
    """
    short = growing & (users > _calm(case, places, np.zeros_like(places)))
    if not short.any():
        return case
    few, held = case.take(short), places[short]
    others = 1 - 1 / np.maximum(users[short], 1.0)
    calm, full = (Pace.of(costs, c, held, others) for c in (few, _anew(few, 1.0)))
    n = np.minimum(users[short], held)
    plain_s, worst_s, full_s = (1 / np.maximum(r, 1e-12) for r in (calm.rate(n), full.rate(n), full.rate(full.most)))
    part = np.zeros_like(places)
    part[short] = np.clip((full_s - plain_s) / np.maximum(worst_s - plain_s, 1e-12), 0.0, 1.0)
    return _anew(case, part)


def _anew(case: Case, part: Array | float) -> Case:
    """`case` of which a `part` of all answers' tokens is computed anew."""
    return replace(case, isl=case.isl + part * paid().recomputation * case.osl)


def _calm(case: Case, places: Array, variation: Array) -> Array:
    """Sequences, of a variance of `variation` over their mean, with which engines of `places` have memory enough."""
    grown = case.beams * case.osl / np.sqrt(12.0) / np.maximum(case.mean_context, 1.0)
    spread = _DEVIATIONS * np.sqrt(variation + grown**2)
    out: Array = (np.sqrt(spread**2 / 4 + places) - spread / 2) ** 2
    return out

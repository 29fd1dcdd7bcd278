"""The wait for a first token in a closed loop, from how its client behaves.

    TTFT = frontend + queue + 1/n · opening + (1 − 1/n) · later
    opening = mean over a wave of C prompts that start together, in steps of at most `chunk` tokens
    later   = ½ plain step + (prompt and the decodes beside it) + held + met
    met     = S · (min(convoy, (C + 1)/2) − 1)

S is the prefill of one prompt.  Requests that start together and are equally long finish together and come back
together: each meets the `convoy` of an engine, round after round (those whose lengths differ come apart, see `loops`).
Users of a load without an end come independently of each other and queue as in M/D/1: met = S · ρ / (2 (1 − ρ)), where
ρ = C · S / (O · TPOT) is the share of time that prompts take (cut at a whole wave).  Where prompts stop the decodes, or
all of them fit a step, requests whose answers are equal to a token do not come apart at all: everybody waits for the
whole wave each time, some of it after the own first token, and no decode is ever stopped.  `held`: decode steps for
which the scheduler does not look at the line (half of `admit_every`), or for which a prompt waits for company
(`batch_wait_steps` W for the first one; others come meanwhile, a = W · N / O of them, and wait half).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.load import NO_BUDGET, Case, Steady, prefill_seconds

__all__ = ["Admission", "Client", "first_tokens", "held_steps", "in_phase"]

Array = npt.NDArray[np.float64]

_TAIL = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_FULL = 0.95  # M/D/1 waits grow without end towards a load of 1; a closed loop cannot go there


class Client(NamedTuple):
    """Per engine: requests per user, whether all start at once, coefficient of variation of output lengths."""

    rounds: Array
    burst: npt.NDArray[np.bool_]
    osl_cv: Array


class Admission(NamedTuple):
    """Per engine: steps between two looks at the waiting line (1: at every step), steps that a prompt waits for
    company."""

    every: Array
    wait: Array


def held_steps(admission: Admission, arrivals_per_step: Array) -> Array:
    """Mean decode steps that a prompt is held back by the scheduler's settings."""
    company = admission.wait * arrivals_per_step
    waiting = admission.wait * (1 + company / 2) / (1 + company)
    out: Array = (admission.every - 1) / 2 + waiting
    return out


def in_phase(case: Case, client: Client) -> Array:
    """How far users that start at once stay in one wave: 1 where answers are equal, 0 where they differ by a token and
    more, or prompts go along with the decodes."""
    apart = np.maximum(1 - client.osl_cv * case.osl, 0.0)
    return np.where((~case.mixed | (case.chunk >= NO_BUDGET)) & client.burst, apart, 0.0)


def first_tokens(
    costs: StepCosts, case: Case, steady: Steady, running: Array, *, client: Client, convoy: Array, admission: Admission
) -> tuple[dict[str, Array], Array]:
    """Seconds to the first token by statistic, without frontend and without the queue for a place; and seconds that the
    rest of a wave keeps its answers waiting, on average."""
    alone_s, _ = prefill_seconds(costs, case, np.ones_like(running))
    wave_s, _ = prefill_seconds(costs, case, running)
    steps = np.maximum(np.ceil(running * case.isl / case.chunk), 1.0)
    opening_s = wave_s * (1 + 1 / steps) / 2
    stay_s = np.maximum(case.osl * steady.tpot_s, 1e-12)
    company = np.minimum(convoy, (running + 1) / 2) - 1
    load = np.minimum(running * alone_s / stay_s, _FULL)
    random = np.minimum(load / (1 - load) / 2, (running - 1) / 2)
    met_s = alone_s * np.where(client.burst, company, random)
    whole = in_phase(case, client)
    met_s = whole * (opening_s - alone_s) + (1 - whole) * met_s
    held_s = held_steps(admission, running / np.maximum(case.osl, 1.0)) * steady.tpot_s * (running > 1)
    beside_s = np.where(running > 1, steady.plain_s, 0.0)
    own_s = alone_s + beside_s
    first = np.where(client.burst, 1.0 / client.rounds, 0.0)
    ttft = {"mean": first * opening_s + (1 - first) * (own_s + beside_s / 2 + held_s + met_s)}
    for name, p in _TAIL.items():
        among_first = np.clip((p - (1 - first)) / np.maximum(first, 1e-9), 0.0, 1.0)  # quantile within the opening wave
        waited = np.minimum(met_s * -np.log1p(-p), (running - 1) * alone_s)
        waited = np.where(whole > 0.5, wave_s * np.maximum(p, 1 / steps) - alone_s, waited)
        later_s = own_s + beside_s * p + held_s * np.minimum(2 * p, 1.0) + waited
        ttft[name] = np.maximum(later_s, among_first * wave_s)
    return ttft, whole * (wave_s - opening_s)

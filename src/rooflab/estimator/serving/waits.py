"""How long a prompt waits for its first step, beside engines whose steps last p and s more for each prompt in them.

Open loops.  Prompts come at λ whatever the engine does, so those of a step came during the step before, and a long step
is followed by a long one: τ = p + s · k, with ρ = λs

    E[τ] = p / (1 − ρ),   Var τ = λ E[τ] E[s²] / (1 − ρ²)
    W = E[τ²] / E[τ] · (½ + ρ (1 − 1/2b)) · (1 − ρ) / (1 − ρ')        ρ' = λ (s + p/b), b prompts fit a step

the rest of the step that a prompt comes into, and the prompts that go with it; for b = 1 this is M/G/1.  Engines whose
prompts stop the decodes have p only where no prompt is: W = (1 − ρ) p/2 + λ E[s²] (½ + ρ (1 − 1/2b)) / (1 − ρ²).

Closed loops.  A request comes when another one has its last token, so μ = N/O come a step, however long it lasts, and
they come δ (the frontend) after its end: into the next step, of which τ − δ are left, or into any later one, and
without a wait where δ is 0,

    W = E[max(τ − δ, 0)] + P(τ < δ) · E[τ²] / 2E[τ] + s μ + μ^√(2(b + 1)) / (2 (b − μ)) · E[τ]

with μ others in the own step, and the line of those who do not fit (b servers that all end together).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.arrivals import Company

__all__ = ["Line", "Steps", "Wait", "at_random", "by_turns"]

Array = npt.NDArray[np.float64]

_FULL: Final = 0.995
"""Load at which waits are cut: beyond it the line of a run has no steady state to speak of."""


class Wait(NamedTuple):
    """The wait of a prompt for its first step: share of prompts that meet others, longest plain step that one may come
    into, mean wait of all, mean wait of those that meet a prompt and its coefficient of variation."""

    met: Array
    plain_s: Array
    mean_s: Array
    met_s: Array
    met_cv: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps of engines: `plain_s` without prompts, `added_s` for each of them, `fit` that one holds, `mixed` (decodes
    go on beside them), `differ` E[s²]/E[s]², `decoding` sequences."""

    plain_s: Array
    added_s: Array
    fit: Array
    mixed: npt.NDArray[np.bool_]
    differ: Array
    decoding: Array

    @property
    def beside(self) -> Array:
        """A plain step as far as anything decodes."""
        out: Array = self.plain_s * -np.expm1(-self.decoding)
        return out


class Line(NamedTuple):
    """Prompts beyond those at random: the `company` of one, and those `joining` its step behind it, each of which adds
    `each_s`."""

    company: Company
    joining: Array
    each_s: Array


def at_random(steps: Steps, flow: Array, gaps: Array, line: Line) -> Wait:
    """The wait of prompts that come at `flow` a second; `gaps`: variance of the gaps over that of Poisson arrivals,
    where it is less; `line`: those that come right behind each other."""
    p, s, b = steps.beside, steps.added_s, np.maximum(steps.fit, 1.0)
    rho = np.minimum(flow * s, _FULL)
    full = np.minimum(flow * (s + np.where(steps.mixed, p / steps.fit, 0.0)), _FULL)
    squeezed = (1 - rho) / (1 - np.maximum(full, rho))
    together = 0.5 + rho * (1 - 0.5 / b)
    prompts_s = flow * s**2 * (gaps - 1 + steps.differ) / (1 - rho**2)
    steps_s = p / (1 - rho) + prompts_s
    # of requests that come evenly, one's own stands among those that a step brings
    even_s = (1 - gaps) * s * np.minimum(flow * steps_s, 1.0)
    mixed_s = np.maximum(steps_s * together - even_s, steps_s / 2) * squeezed
    apart_s = (1 - rho) * p / 2 + prompts_s * together * squeezed
    others_s = line.each_s + np.where(steps.mixed, p / np.minimum(b, 1 + line.company.ahead), 0.0)
    line_s = (line.company.ahead + line.joining) * others_s
    mean_s = np.where(steps.mixed, mixed_s, apart_s) + line_s
    busy = np.minimum(flow * (s + np.where(steps.mixed, p, 0.0)), 1.0)
    met = 1 - (1 - busy) * (1 - line.company.met)
    met_s = np.maximum(mean_s - (1 - met) * p / 2, 0.0) / np.maximum(met, 1e-12)
    spread = np.where(line_s > mean_s / 2, line.company.met_cv**2, (1 + 2 * rho * gaps) / 3 * steps.differ)
    return Wait(met, p, mean_s, met_s, np.sqrt(np.minimum(spread, 1.0)))


def by_turns(steps: Steps, begin: Array, frontend_s: Array, even: Array) -> Wait:
    """The wait of prompts of which `begin` a step come, `frontend_s` after its end; `even`: variance of their number
    over that of Poisson's."""
    p, s, b = steps.beside, steps.added_s, steps.fit
    none = np.exp(-begin)
    some_s = p + s * begin / np.maximum(1 - none, 1e-12)
    mean = none * p + (1 - none) * some_s
    square = none * p**2 + (1 - none) * (some_s**2 + s**2 * np.maximum(begin * steps.differ * even, 0.0))
    later_s = square / np.maximum(2 * mean, 1e-12)

    def left(step_s: Array) -> Array:
        out: Array = np.where(step_s > frontend_s, step_s - frontend_s, later_s)
        # who asks again at once is there when the next step is formed
        return np.where(frontend_s > 0, out, 0.0)

    plain_left_s, some_left_s = left(p), left(some_s)
    wide = np.maximum(b, 1.0)
    load = np.minimum(begin / b, _FULL)
    over = even * load ** np.sqrt(2 * (wide + 1)) / (2 * (1 - load)) / np.minimum(b, 1.0)
    # prompts that stop the decodes are through one after the other
    own_s = s * begin * np.where(steps.mixed, 1.0, 0.5)
    mean_s = none * plain_left_s + (1 - none) * some_left_s + own_s + over * some_s
    # of a line that hardly ends nobody finds the end; its length is that of the users in it
    met = 1 - none**2 * (1 - load ** np.sqrt(2 * (wide + 1)))
    met_s = np.maximum(mean_s - (1 - met) * plain_left_s, 0.0) / np.maximum(met, 1e-12)
    line = begin * over * some_s / np.maximum(mean, 1e-12)
    deviation_s = np.sqrt(s**2 * begin * steps.differ * even + some_s**2 / 12 + (over * some_s) ** 2 / (1 + line))
    return Wait(met, 2 * plain_left_s, mean_s, met_s, np.clip(deviation_s / np.maximum(met_s, 1e-12), 0.05, 1.0))

"""Was a figure looked for among what the engines say of many set-ups?

A figure that is a mean, a ratio, a curve or one of many readings follows each answer as it gets better and as it gets
worse, or not at all. One that is the best of a sweep, or the nearest to something, follows the answers that were not
taken in one direction only: in the other they are passed over as before. Where the paper itself takes the best (or the
worst) of a sweep, KEY.yaml says so (`chooses`). A search whose questions depend on the answers is not seen here; what
it looks for by itself does not move with its engines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final

from rooflab.evidence.claims.figures import MOVED, Labs, change, figure
from rooflab.inputs.perturb import Perturbation
from rooflab.papers.claim import Claim
from rooflab.papers.expectation import Got
from rooflab.papers.lab import Engines, Lab
from rooflab.scenario.scenario import Scenario

__all__ = ["is_chosen"]

_FEW: Final = 4
"""Set-ups below which there is no choice to speak of."""
_PARTS: Final = 8
"""Into how many parts set-ups are put at most, each of which is changed by itself."""


def is_chosen(claim: Claim, got: Got, labs: Labs, name: str) -> bool:
    """Whether the figure follows the answers of some set-ups in one direction alone, as half and as double of the input
    `name` change them behind the engines' door."""
    setups: dict[Scenario, None] = {}
    figure(claim, Lab(_asking(labs.remembering, lambda s: _noted(s, setups))))
    every = list(setups)
    if len(every) < _FEW:
        return False
    size = -(-len(every) // _PARTS)
    for part in (every[i : i + size] for i in range(0, len(every), size)):
        moved = []
        for factor in (0.5, 2.0):
            other, known = _with(claim, labs, part, setups, Perturbation(name, factor))
            if not known:
                return False
            moved.append(change(got, other) > MOVED)
        if moved[0] != moved[1]:
            return True
    return False


def _with(
    claim: Claim, labs: Labs, part: Collection[Scenario], setups: Collection[Scenario], by: Perturbation
) -> tuple[Got | None, bool]:
    """The figure when only the set-ups of `part` are changed, and whether it still asks of no others."""
    asked: dict[Scenario, None] = {}

    def changed(s: Scenario) -> Scenario:
        _noted(s, asked)
        return by.scenario(s) if s in part else s

    found = figure(claim, Lab(_asking(labs.remembering, changed)))
    return found, set(asked) <= set(setups)


def _noted(scenario: Scenario, into: dict[Scenario, None]) -> Scenario:
    into[scenario] = None
    return scenario


def _asking(engines: Engines, of: Callable[[Scenario], Scenario]) -> Engines:
    """`engines` that are asked of another scenario in the place of each."""

    def instead(ask: Callable[..., Any]) -> Callable[..., Any]:
        return lambda scenario, *how, **options: ask(of(scenario), *how, **options)

    return replace(
        engines, estimate=instead(engines.estimate), simulate=instead(engines.simulate),
        engine=instead(engines.engine), operators=instead(engines.operators),
    )  # fmt: skip

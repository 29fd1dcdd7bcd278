"""Monte-Carlo spread: a claim in which something is drawn, computed with other seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rooflab.evidence.claims.figures import Labs, figure
from rooflab.papers.claim import Claim
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got
from rooflab.papers.lab import Lab

__all__ = ["MORE", "SEEDS", "is_drawn", "other_seeds", "spread"]

SEEDS: Final = (1, 2)
"""Seeds beside the one that the figure is of."""
MORE: Final = tuple(range(1, 9))
"""The same where no engine is asked: streams of a paper's own are drawn anew in no time, and are told apart by purposes
that it chose."""


def is_drawn(lab: Lab) -> bool:
    """Whether a claim drew: it asked its lab for a seed, or an engine for requests whose lengths or gaps are drawn."""
    loads = [scenario.workload for scenario, _ in lab.priced]
    return lab.drew or any(
        (w.mode == "open" and w.arrivals != "uniform") or w.isl.kind != "fixed" or w.osl.kind != "fixed" for w in loads
    )


def other_seeds(claim: Claim, labs: Labs, seeds: Sequence[int] = SEEDS) -> list[Got]:
    """The figure with each of the other seeds, as far as it can be computed."""
    found = (figure(claim, labs.get(Condition(seed=seed, reseeded=True))) for seed in seeds)
    return [got for got in found if got is not None]


def spread(got: Got, others: Sequence[Got]) -> Any:
    """Lowest and highest value over all seeds, in the form of the figure; None where no seed makes a difference."""
    if all(other == got for other in others):
        return None
    every = [got, *others]
    if isinstance(got, Mapping):
        return {name: _ends([o[name] for o in every if isinstance(o, Mapping) and name in o]) for name in got}
    if isinstance(got, (tuple, list)):
        return [_ends([o[i] for o in every if isinstance(o, (tuple, list)) and i < len(o)]) for i in range(len(got))]
    return _ends([float(o) for o in every if isinstance(o, (int, float))])


def _ends(values: Sequence[float]) -> list[float]:
    return [float(min(values)), float(max(values))]

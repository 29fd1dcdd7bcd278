"""The feed for a scenario: what each paper could give it at the most, what it does give where it runs, and what its
abstract says.

At most is the ceiling of the kinds of work that a paper spares (`rooflab.planner.spares`), all of them free together.
A paper about other work than the scenario's (training, retrieval, programs) gives it nothing; one that names an end
alone (money) has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.papers.cards import Card
from rooflab.papers.ranked import Ranked
from rooflab.planner.ceiling import Ceiling
from rooflab.planner.spares import ENDS, works_of
from rooflab.scenario.scenario import Scenario

__all__ = ["LITTLE", "AtMost", "at_most"]

_OTHER_WORK: Final[Mapping[str, str]] = {
    "training": "training", "retrieval": "search in an index", "data-systems": "data systems",
    "code-efficiency": "other programs", "vision-edge": "vision networks", "other": "other work",
    "evaluation": "measuring", "survey": "what others do",
}  # fmt: skip
"""Kinds of papers whose work a serving language model does not do, or that spare none by themselves."""
_ENDLESS: Final = 1e3
"""Gains that are no bound any more: next to all work is spared."""
_CLOSE: Final = 1.005
"""A claim that is larger than a ceiling by less is not."""
LITTLE: Final = 1.03
"""A gain below which a paper is not worth a line of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtMost:
    """A paper for a scenario: `gain` at the most (NaN: no bound) with the `works` that it spares free, `halved` with
    half of them; `real` is what a ranking found of its
    technique (None: it was not tried, or does not apply); `note` is a plain sentence where there is something to
    say."""

    card: Card
    gain: float
    halved: float
    works: tuple[str, ...]
    real: Ranked | None = None
    note: str = ""

    @property
    def bounded(self) -> bool:
        """Whether there is a bound to speak of; what makes a scenario possible that is not has one, without end."""
        return self.gain < _ENDLESS or math.isinf(self.gain)

    @property
    def worthwhile(self) -> bool:
        """Whether it could give enough to have a line of its own."""
        return self.bounded and self.gain >= LITTLE

    @property
    def claim_exceeds(self) -> bool:
        """Whether the abstract says more than the scenario could get."""
        return self.card.claimed is not None and self.card.claimed > self.gain * _CLOSE

    def record(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite is null."""
        real = None
        if self.real is not None:
            gain = self.real.gain if math.isfinite(self.real.gain) else None
            real = {"called": self.real.called, "gain": gain, "of": self.real.of}
        numbers = {"at_most": self.gain, "halved": self.halved}
        bound = {name: x if math.isfinite(x) else None for name, x in numbers.items()}
        return (
            self.card.record()
            | bound
            | {"works": list(self.works), "real": real, "claim_exceeds": self.claim_exceeds, "note": self.note}
        )


def at_most(cards: Sequence[Card], ceiling: Ceiling, ranked: Iterable[Ranked] = ()) -> list[AtMost]:
    """The papers by what they could give at the most, those that run first among equals; what has no bound stands
    last."""
    real: dict[str, Ranked] = {}
    for r in ranked:
        if r.paper not in real or real[r.paper].gain < r.gain:
            real[r.paper] = r
    found = [_of(c, ceiling, real.get(c.key)) for c in cards]
    found.sort(key=lambda a: (not a.bounded, -a.gain if a.bounded else 0.0, not a.card.runnable))
    return found


def _of(card: Card, ceiling: Ceiling, real: Ranked | None) -> AtMost:
    works = works_of(card.saves)
    if other := _other_work(card, ceiling.scenario):
        return AtMost(card=card, gain=1.0, halved=1.0, works=(), note=f"It is about {other}, not about work done here.")
    if not works and any(s in ENDS for s in card.saves):
        said = "It says what it is for, not what it spares."
        return AtMost(card=card, gain=math.nan, halved=math.nan, works=(), real=real, note=said)
    gain, halved = ceiling.bound(works)
    found = AtMost(card=card, gain=gain, halved=halved, works=works, real=real)
    return replace(found, note=_said(found, ceiling.objective.title))


def _said(a: AtMost, objective: str) -> str:
    if not a.claim_exceeds:
        return ""
    got = "cannot gain by it here" if a.gain < _CLOSE else f"could gain {a.gain:.2f} × at the most here"
    return f"The abstract says {a.card.claimed:g} × ({a.card.claimed_of}); {objective} {got}."


def _other_work(card: Card, scenario: Scenario) -> str:
    if card.kind == "vision-edge" and scenario.model.kind in ("vision", "encoder"):
        return ""
    return _OTHER_WORK.get(card.kind, "")

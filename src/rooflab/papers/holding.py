"""What is known of one offer on one scenario, kept in the user's cache folder under all that it depends on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rooflab.costs.engine_constants import active
from rooflab.files import keep, kept, user_cache
from rooflab.inputs.content import digest
from rooflab.metrics.registry import METRICS
from rooflab.papers.offers import Offer, code_of
from rooflab.papers.ranked import Advice, Ranked
from rooflab.scenario.scenario import Scenario
from rooflab.units import significant

__all__ = ["Holding", "held", "hold"]

_DAMAGED: Final = (LookupError, TypeError, ValueError, AttributeError)
_KEPT: Final = 1000
"""Results that are kept, those that were last added to."""


@dataclass(slots=True, kw_only=True)
class Holding:
    """Settings of a technique that were tried (`tried`), and its best ones with more requests (`again`), each a record
    of `Ranked` or ``{"refused": reason}``; of a method its `advice`.

    `offered`: how many settings suit the scenario (-1: not asked yet). `refused`: why there is nothing. `failed`: a
    mistake in the paper's code was met, so that nothing is kept.
    """

    tried: dict[str, Any] = field(default_factory=dict)
    again: dict[str, Any] = field(default_factory=dict)
    offered: int = -1
    refused: str = ""
    advice: dict[str, Any] | None = None
    failed: bool = False

    @property
    def all_tried(self) -> bool:
        """Whether no first try is open."""
        return bool(self.refused) or self.advice is not None or len(self.tried) >= self.offered >= 0

    def shown(self) -> list[Ranked]:
        """The setting of known quality that gains most (whose value is best, where the scenario does not run without),
        and of those whose quality is not known the first that applies, the paper's own, with what the others gain; each
        as its longest simulation has it."""
        found = [r for r in map(_ranked, self.tried.values()) if r is not None]
        known, open_ = ([r for r in found if r.known == wanted] for wanted in (True, False))
        others = tuple(f"{r.called} {significant(r.gain)} ×" for r in open_[1:] if r.gain > open_[0].gain)
        chosen = [max(known, key=_worth)] if known else []
        return [*map(self._longest, chosen), *(replace(self._longest(r), others=others) for r in open_[:1])]

    def _longest(self, r: Ranked) -> Ranked:
        return _ranked(self.again.get(r.called, {"refused": ""})) or r

    def reason(self) -> str:
        """Why there is nothing to show."""
        reasons = [r["refused"] for r in self.tried.values() if "refused" in r]
        return self.refused or (reasons[0] if reasons else "")


def _ranked(record: dict[str, Any]) -> Ranked | None:
    """The setting of a record; None of one that was refused."""
    return None if "refused" in record else Ranked.of_record(record)


def _worth(r: Ranked) -> tuple[bool, float]:
    """What settings of one technique are ordered by."""
    if not math.isnan(r.gain):
        return True, r.gain
    return False, r.after if METRICS[r.metric].better == "higher" else -r.after


def held(offer: Offer, scenario: Scenario) -> Holding:
    """What was kept; an empty holding where there is nothing, or something else than was written."""
    path = _path(offer, scenario)
    value: Any = kept(path) if path is not None else None
    try:
        found = Holding(**value)
        for record in [*found.tried.values(), *found.again.values()]:
            _ranked(record)
        if found.advice is not None:
            Advice(**found.advice)
        return found
    except _DAMAGED:
        return Holding()


def hold(offer: Offer, scenario: Scenario, holding: Holding) -> None:
    """Keep what is known."""
    path = _path(offer, scenario)
    if path is not None and not holding.failed and keep(path, asdict(holding)):
        _forget(path.parent)


def _path(offer: Offer, scenario: Scenario) -> Path | None:
    """Under its code, the scenario and the constants in force; None for a paper that came without its sources."""
    code = code_of(offer.paper)
    if not code:
        return None
    parts = (offer.name, code, digest(replace(scenario, name="")), digest(active()))
    return user_cache("rank") / f"{offer.name}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:32]}.json"


def _forget(folder: Path) -> None:
    """Delete results of long ago, a tenth at a time."""
    try:
        files = list(folder.glob("*-*.json"))
        if len(files) > 1.1 * _KEPT:
            for old in sorted(files, key=lambda path: -path.stat().st_mtime)[_KEPT:]:
                old.unlink(missing_ok=True)
    except OSError:
        return

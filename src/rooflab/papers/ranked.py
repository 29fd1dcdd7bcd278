"""What a ranking found, as plain records that can be kept and shown without their papers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from rooflab.papers.compare import Comparison
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, plain
from rooflab.papers.reasons import same

__all__ = ["SECTIONS", "Advice", "Ranked", "Ranking", "Refused", "Section", "Untried", "advice_of", "ranked_of"]

Section = Literal["pays", "pays when full", "if quality allows", "runs only with this", "does not pay"]
SECTIONS: Final[tuple[Section, ...]] = (
    "pays", "pays when full", "if quality allows", "runs only with this", "does not pay",
)  # fmt: skip
_NAMES: Final = ("ranked", "pays_when_full", "if_quality_allows", "runs_only_with", "no_gain")
"""Sections in a JSON record."""
_REASONS: Final = 2
"""Reasons that a ranking keeps of a technique; `papers run` shows all of them."""


_NUMBERS: Final = ("gain", "before", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One setting of a technique on the scenario.

    `gain` in `of`, what the technique is about (`metric`, `before` and `after`); NaN, as `before`, where the scenario
    does not run without it. `quality` in words; `known` says that somebody published it, or that outputs stay;
    `only_full` that the gain is of engines kept full, and that the scenario's own load loses. `changes`: the gain of
    every other metric; `others`: what further settings of unknown quality gain. `requests` of a simulation (0: closed
    form), `seconds` that it took.
    """

    paper: str
    technique: str
    parameters: Mapping[str, Any]
    called: str
    gain: float
    of: str
    metric: str
    before: float
    after: float
    quality: str
    known: bool
    only_full: bool
    verdict: str
    because: tuple[str, ...]
    changes: Mapping[str, float]
    others: tuple[str, ...] = ()
    requests: int = 0
    seconds: float = 0.0

    @property
    def section(self) -> Section:
        """Where a ranking shows it: what pays and costs nothing that is unknown stands first."""
        if math.isnan(self.gain):
            return "runs only with this"
        if self.gain <= 1 or same(self.gain, 1.0):
            return "does not pay"
        if not self.known:
            return "if quality allows"
        return "pays when full" if self.only_full else "pays"

    def record(self) -> dict[str, Any]:
        """As plain JSON values; what is not finite is null."""
        changes = {name: plain(gain) for name, gain in self.changes.items()}
        numbers = {name: plain(getattr(self, name)) for name in _NUMBERS}
        return asdict(self) | numbers | {"changes": changes, "section": self.section}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Ranked:
        """What `record` was made of. Raises TypeError, KeyError or ValueError for anything else."""
        held = {name: value for name, value in record.items() if name != "section"}
        alone = record["section"] == "runs only with this"
        endless = {
            "gain": math.nan if alone else math.inf,
            "before": math.nan if alone else math.inf,
            "after": math.inf,
        }
        numbers = {name: endless[name] if held[name] is None else float(held[name]) for name in _NUMBERS}
        changes = {name: math.nan if x is None else float(x) for name, x in held["changes"].items()}
        return cls(**held | numbers | {"changes": changes, "because": tuple(held["because"]), "others": ()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a method makes of the scenario: its headline figure (`figure`, a record of `Figure`), and why."""

    paper: str
    method: str
    called: str
    figure: Mapping[str, Any]
    because: str
    partial: bool = False
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Refused:
    """A technique or method that does not apply, with the reason."""

    key: str
    paper: str
    reason: str

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"technique": self.key, "paper": self.paper, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Untried:
    """What there was no time for, and about how long it takes (NaN: not known)."""

    key: str
    paper: str
    what: str
    seconds: float

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"technique": self.key, "paper": self.paper, "what": self.what, "seconds": plain(self.seconds)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Techniques by section and gain, advice, what does not apply and what was not tried."""

    ranked: tuple[Ranked, ...]
    advice: tuple[Advice, ...]
    refused: tuple[Refused, ...]
    untried: tuple[Untried, ...]
    budget_s: float
    took_s: float

    def within(self, section: Section) -> tuple[Ranked, ...]:
        """Those of a section, what they are about together, the highest gain first."""
        return tuple(r for r in self.ranked if r.section == section)

    def record(self) -> dict[str, Any]:
        """As plain JSON values: what pays under `ranked`, the other sections under names of their own."""
        return {
            **{name: [r.record() for r in self.within(s)] for name, s in zip(_NAMES, SECTIONS, strict=True)},
            "advice": [a.record() for a in self.advice], "refused": [r.record() for r in self.refused],
            "not_tried": [u.record() for u in self.untried], "budget_s": plain(self.budget_s), "took_s": self.took_s,
        }  # fmt: skip


def ranked_of(c: Comparison, *, requests: int, seconds: float) -> Ranked:
    """A comparison as a ranking keeps it."""
    gain, of = c.headline
    t, about = c.technique, c.about
    moved = [str(r) for r in c.reasons if not math.isnan(r.before)] or [str(r) for r in c.reasons]
    devices = [] if c.before is None else [m.load.get("devices") for m in (c.before, c.after)]
    if len(set(devices)) > 1:
        moved.insert(0, f"on {devices[1]:,.0f} devices instead of {devices[0]:,.0f}")
    return Ranked(
        paper=t.paper, technique=t.key, parameters=t.parameters(), called=str(t),
        gain=math.nan if c.before is None else gain, of=of, metric=about.metric, before=about.before,
        after=about.after, quality=str(c.quality),
        known=c.quality.status != "unknown", only_full=c.only_full, verdict=c.verdict,
        because=tuple(moved[:_REASONS]),
        changes={x.metric: x.gain for x in c.changes}, requests=requests, seconds=seconds,
    )  # fmt: skip


def advice_of(method: type[Method[Any]], called: str, outcome: Outcome, seconds: float) -> Advice:
    """A method's outcome as a ranking keeps it."""
    named = [f for f in outcome.figures if f.name == method.headline]
    compared = [f for f in outcome.figures if f.baseline is not None]
    figure = (named or compared or list(outcome.figures))[0]
    # cells that the budget left out are gone on with in the next ranking, as those that were interrupted
    cut = outcome.account.partial or any(c.done < c.wanted for c in outcome.account.cells)
    return Advice(
        paper=method.paper, method=method.key, called=called, figure=figure.record(), because=outcome.because,
        partial=cut, seconds=seconds,
    )  # fmt: skip

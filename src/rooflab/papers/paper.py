"""A paper: its card, its techniques, its claims, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rooflab.errors import InputError, unknown
from rooflab.papers.cards import Card, card
from rooflab.papers.quality import EXACT, QualityCost, QualityPoint, quality_cost
from rooflab.papers.technique import Technique
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab

__all__ = ["Analysis", "Bound", "Claim", "ClaimKind", "NotModelled", "Paper"]

T = TypeVar("T", bound=Technique)
Bound = Literal["near", "at least", "at most"]
ClaimKind = Literal["executed", "modelled"]
Figure = Callable[["Lab"], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A published figure and the function that computes it.

    `expect` is a number, or the two ends of a published range. `bound`: "near" (within `tolerance`, a share of the
    figure), "at least" or "at most" (the text only promises a bound). `kind`: "executed" (an algorithm ran on data),
    "modelled" (the engine's prices and simulations). `moves`: inputs of the audit and the direction in which the figure
    must go when one doubles. `wider` gives the reason for a tolerance above 15 %, `note` what explains a gap,
    `calibrated` the fit that the figure took part in (it then does not count as reproduced).
    """

    paper: str
    id: str
    text: str
    expect: float | tuple[float, float]
    tolerance: float
    unit: str
    source: str
    kind: ClaimKind
    function: Figure
    bound: Bound = "near"
    moves: Mapping[str, int] = field(default_factory=dict, hash=False)
    wider: str = ""
    note: str = ""
    calibrated: str = ""

    def error(self, got: float) -> float:
        """Signed distance of `got` from what is expected, as a share of it; 0 inside a range or beyond a bound."""
        low, high = self.expect if isinstance(self.expect, tuple) else (self.expect, self.expect)
        if self.bound == "at least":
            high = float("inf")
        elif self.bound == "at most":
            low = -float("inf")
        end = low if got < low else high if got > high else got
        return 0.0 if end == got else (got - end) / abs(end or 1.0)

    def holds(self, got: float) -> bool:
        """Whether `got` agrees with the published figure."""
        return abs(self.error(got)) <= self.tolerance


@dataclass(frozen=True, slots=True)
class NotModelled:
    """A published figure that is not computed, and why."""

    id: str
    text: str
    expect: float | tuple[float, float] | None
    reason: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a paper's method says about a scenario: figures (name, value, unit) and what they mean, in a sentence or
    two."""

    figures: tuple[tuple[str, float, str], ...]
    because: str


@dataclass(slots=True, kw_only=True)
class Paper:
    """One paper of the feed, with what its file adds: techniques, claims, scenarios, notes.

    `does` is one sentence of our own; `saves` names the resources it saves; `seed` its number in the origin's list (0:
    another). `executed`, `modelled`, `assumed` are sentences for its page.
    """

    key: str
    title: str
    url: str = ""
    date: str = ""
    kind: str = ""
    saves: tuple[str, ...] = ()
    does: str = ""
    seed: int = 0
    name: str = ""
    executed: str = ""
    modelled: str = ""
    assumed: str = ""
    techniques: dict[str, type[Technique]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    left_out: list[NotModelled] = field(default_factory=list)
    setups: dict[str, Callable[[Lab], Scenario]] = field(default_factory=dict)
    points: list[QualityPoint] = field(default_factory=list)
    plot: Callable[[Lab], Any] | None = None
    analyse: Callable[[Lab, Scenario], Analysis] | None = None

    @classmethod
    def from_card(cls, key: str, *, executed: str = "", modelled: str = "", assumed: str = "") -> Paper:
        """A paper of the feed with the facts of its card."""
        c = card(key)
        return cls(
            key=key, title=c.title, url=c.url, date=c.date, kind=c.kind, saves=c.saves, does=c.does, seed=c.seed,
            name=c.name, executed=executed, modelled=modelled, assumed=assumed,
        )  # fmt: skip

    def card(self) -> Card:
        """What the feed lists of a paper that has no card there."""
        return Card(
            key=self.key, seed=self.seed, name=self.name or self.key, title=self.title, date=self.date, url=self.url,
            kind=self.kind, saves=self.saves, does=self.does, runnable=True,
        )  # fmt: skip

    def technique(self, cls: type[T]) -> type[T]:
        """Register a technique of this paper (a class decorator)."""
        if not issubclass(cls, Technique):
            raise InputError(f"{cls.__name__} is not a Technique", self.key)
        cls.paper = self.key
        if not self.techniques and "key" in cls.__dict__ and cls.key != self.key:
            cls.key = self.key if cls.key.replace("_", "") == self.key.replace("_", "") else cls.key
        self.techniques[cls.key] = cls
        return cls

    def claim(
        self,
        text: str,
        *,
        expect: float | tuple[float, float],
        source: str,
        id: str = "",
        tolerance: float = 0.15,
        unit: str = "",
        kind: ClaimKind = "modelled",
        bound: Bound = "near",
        moves: Mapping[str, int] | None = None,
        wider: str = "",
        note: str = "",
        calibrated: str = "",
    ) -> Callable[[Figure], Figure]:
        """Register the function that computes a published figure (a decorator); see `Claim` for the arguments."""
        if tolerance > 0.15 and not wider:
            raise InputError(f"a tolerance of {tolerance:.0%} needs its reason (wider=...)", f"{self.key}: {text}")

        def register(function: Figure) -> Figure:
            name = id or function.__name__
            if any(c.id == name for c in self.claims):
                raise InputError(f"two claims are called {name!r}", self.key)
            self.claims.append(
                Claim(
                    paper=self.key,
                    id=name,
                    text=text,
                    expect=expect,
                    tolerance=tolerance,
                    unit=unit,
                    source=source,
                    kind=kind,
                    function=function,
                    bound=bound,
                    moves=dict(moves or {}),
                    wider=wider,
                    note=note,
                    calibrated=calibrated,
                )
            )
            return function

        return register

    def claims_of(self, table: Mapping[str, Any], figure: Callable[..., float]) -> None:
        """Register a claim for each row of a published table, all computed by `figure`.

        `table` has what its claims share (arguments of `claim`) and, under ``claims``, a row by id: its `text`, what is
        expected, what differs, and as `ask` what `figure` takes beside the lab. What `figure` is asked must not tell
        what is expected.
        """
        shared = {name: value for name, value in table.items() if name != "claims"}
        for id, row in table["claims"].items():
            given = {**shared, **row}
            text, expect, ask = given.pop("text"), given.pop("expect"), given.pop("ask", {})
            register = self.claim(text, expect=tuple(expect) if isinstance(expect, list) else expect, id=id, **given)
            register(partial(figure, **ask))

    def not_modelled(
        self, id: str, text: str, expect: float | tuple[float, float] | None, reason: str, *, unit: str = ""
    ) -> None:
        """State a published figure that is not computed, and why."""
        if not reason.strip():
            raise InputError("needs a reason", f"{self.key}: {id}")
        self.left_out.append(NotModelled(id, text, expect, reason, unit))

    def setup(self, name: str) -> Callable[[Callable[[Lab], Scenario]], Callable[[Lab], Scenario]]:
        """Register a scenario of the paper's own evaluation (a decorator on a function of a lab)."""

        def register(function: Callable[[Lab], Scenario]) -> Callable[[Lab], Scenario]:
            self.setups[name] = function
            return function

        return register

    def analysis(self, function: Callable[[Lab, Scenario], Analysis]) -> Callable[[Lab, Scenario], Analysis]:
        """Register the function that runs the paper's method on a scenario (a decorator): for papers that measure,
        model or search."""
        self.analyse = function
        return function

    def draws(self, function: Callable[[Lab], Any]) -> Callable[[Lab], Any]:
        """Register the function that gives the page's plot (`rooflab.charts.plot.Plot`); a decorator."""
        self.plot = function
        return function

    def quality(
        self, *, model: str, task: str, delta: float, unit: str, source: str, when: Mapping[str, Any] | None = None
    ) -> None:
        """State a published change of a task's metric; above zero is worse."""
        self.points.append(QualityPoint(model, task, delta, unit, source, dict(when or {})))

    def quality_cost(self, technique: Technique, model: Model) -> QualityCost:
        """What `technique` costs in quality on `model`."""
        return quality_cost(self.points, model, technique.parameters()) if technique.changes_outputs else EXACT

    def find(self, claim: str) -> Claim:
        """The claim called `claim`. Raises InputError with the nearest ones."""
        for c in self.claims:
            if c.id == claim:
                return c
        raise unknown("claim", claim, [c.id for c in self.claims], self.key)

    def noted(self, claim: str, note: str) -> None:
        """Put `note` beside a claim: what explains its gap."""
        at = self.claims.index(self.find(claim))
        self.claims[at] = replace(self.claims[at], note=note)

    def missing(self) -> Sequence[str]:
        """Names of the facts and texts that a complete page needs and that are empty."""
        return [
            name
            for name in ("title", "url", "date", "kind", "saves", "does", "executed", "modelled", "assumed")
            if not getattr(self, name)
        ]

"""A paper: what stands in print (KEY.yaml), and the code beside it: techniques, methods, claims, setups, a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rooflab.errors import InputError, unknown
from rooflab.papers.cards import Card, card
from rooflab.papers.claim import Claim, ClaimFunction, NotModelled
from rooflab.papers.facts import Constant, Facts, read_facts
from rooflab.papers.method import Method
from rooflab.papers.quality import EXACT, QualityCost, QualityPoint, quality_cost
from rooflab.papers.technique import Technique
from rooflab.scenario.model import Model

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab

__all__ = ["Paper"]

T = TypeVar("T", bound=Technique)
M = TypeVar("M", bound=Method[Any])
G = TypeVar("G")


@dataclass(slots=True, kw_only=True)
class Paper:
    """One paper of the feed, with what its file adds.

    `does` is one sentence of our own; `saves` names the resources it saves; `seed` its number in the origin's list (0:
    another). `executed`, `modelled`, `assumed` are sentences for its page. `own_data` names what its authors measured;
    `file` is where its code lies; `numbers` are published numbers that stand there for another reason, `constants`
    numbers of it and data of its claims with their sources.
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
    own_data: tuple[str, ...] = ()
    file: Path | None = None
    numbers: Mapping[float, str] = field(default_factory=dict)
    constants: Mapping[str, Constant] = field(default_factory=dict)
    stated: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: tuple[NotModelled, ...] = ()
    points: tuple[QualityPoint, ...] = ()
    techniques: dict[str, type[Technique]] = field(default_factory=dict)
    methods: dict[str, type[Method[Any]]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    setups: dict[str, Callable[[Lab], Any]] = field(default_factory=dict)
    plot: Callable[[Lab], Any] | None = None

    @classmethod
    def beside(cls, file: str | Path) -> Paper:
        """The paper whose module is `file`: its facts stand in KEY.yaml in the same folder.

        KEY is the module's name, that of its package for a module called `paper`. What KEY.yaml does not say of title,
        address and date is taken from the card of that key. Raises InputError where neither says it.
        """
        path = Path(file).resolve()
        key = path.parent.name if path.stem == "paper" else path.stem
        return cls.of(key, read_facts(path.with_name(f"{key}.yaml")), path)

    @classmethod
    def of(cls, key: str, facts: Facts, file: Path | None = None) -> Paper:
        """A paper from facts that were read."""
        texts = dict(facts.texts)
        if "title" not in texts:
            c = card(key)
            known = {
                "title": c.title, "url": c.url, "date": c.date, "kind": c.kind, "saves": c.saves, "does": c.does,
                "seed": c.seed, "name": c.name,
            }  # fmt: skip
            texts = known | texts
        return cls(
            key=key, own_data=facts.own_data, file=file, numbers=facts.numbers, stated=facts.claims,
            constants=facts.constants, left_out=facts.left_out, points=facts.quality, **texts,
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

    def method(self, cls: type[M]) -> type[M]:
        """Register a method of this paper (a class decorator)."""
        if not issubclass(cls, Method):
            raise InputError(f"{cls.__name__} is not a Method", self.key)
        if cls.key in self.methods or cls.key in self.techniques:
            raise InputError(f"two methods are called {cls.key!r}", self.key)
        cls.paper = self.key
        self.methods[cls.key] = cls
        return cls

    def claim(self, id: str) -> Callable[[ClaimFunction], ClaimFunction]:
        """Register the function that computes the claim `id` of KEY.yaml (a decorator). Raises InputError with the
        nearest ids."""
        if id not in self.stated:
            raise unknown("claim", id, self.stated, f"{self.key}.yaml")
        if any(c.id == id for c in self.claims):
            raise InputError(f"claim {id!r} is computed twice", self.key)

        def register(function: ClaimFunction) -> ClaimFunction:
            self.claims.append(Claim(paper=self.key, function=function, **self.stated[id]))
            return function

        return register

    def setup(self, name: str) -> Callable[[Callable[[Lab], G]], Callable[[Lab], G]]:
        """Register an input of the paper's own evaluation (a decorator on a function of a lab): a scenario, or data of
        the kind that one of its methods reads."""

        def register(function: Callable[[Lab], G]) -> Callable[[Lab], G]:
            self.setups[name] = function
            return function

        return register

    def draws(self, function: Callable[[Lab], Any]) -> Callable[[Lab], Any]:
        """Register the function that gives the page's plot (`rooflab.charts.plot.Plot`); a decorator."""
        self.plot = function
        return function

    def quality_cost(self, technique: Technique, model: Model) -> QualityCost:
        """What `technique` costs in quality on `model`."""
        return quality_cost(self.points, model, technique.parameters()) if technique.changes_outputs else EXACT

    def find(self, claim: str) -> Claim:
        """The claim called `claim`. Raises InputError with the nearest ones."""
        for c in self.claims:
            if c.id == claim:
                return c
        raise unknown("claim", claim, [c.id for c in self.claims], self.key)

    def missing(self) -> Sequence[str]:
        """What a complete page needs and is not there: facts and texts by name, and claims that nothing computes."""
        names = ("title", "url", "date", "kind", "saves", "does", "executed", "modelled", "assumed")
        computed = {c.id for c in self.claims}
        return [n for n in names if not getattr(self, n)] + [f"claim {id}" for id in self.stated if id not in computed]

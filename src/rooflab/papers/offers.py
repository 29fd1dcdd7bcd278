"""What papers offer for a scenario: techniques, and methods that read one; known without importing a paper again.

A paper is imported when its sources are new; what it offers is then kept in the user's cache folder under their digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from rooflab.errors import RooflabError
from rooflab.files import keep, kept, user_cache
from rooflab.papers.method import Method
from rooflab.papers.reach import sources
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Offer", "Offers", "code_of", "offers"]

_NO_SOURCES: Final = (OSError, ValueError, SyntaxError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A technique ("estimate", "simulate": what sees its effect), or a method that reads a scenario ("method")."""

    paper: str
    key: str
    sort: Literal["estimate", "simulate", "method"]
    takes_s: float = 0.0

    @property
    def name(self) -> str:
        """What it is called among all papers."""
        return f"{self.paper}.{self.key}"

    def technique(self) -> type[Technique]:
        """The class of a technique, its paper imported."""
        return paper(self.paper).techniques[self.key]

    def method(self) -> type[Method[Any]]:
        """The class of a method, its paper imported."""
        return paper(self.paper).methods[self.key]


@dataclass(frozen=True, slots=True)
class Offers:
    """Offers of all papers, and why a paper could not be asked, by its key."""

    every: tuple[Offer, ...]
    broken: dict[str, str]


def offers(keys: Iterable[str], *, keeps: bool = True) -> Offers:
    """What the papers `keys` offer for a scenario."""
    index = user_cache("papers") / "offers.json"
    value = kept(index) if keeps else None
    known: dict[str, Any] = value if isinstance(value, dict) else {}
    now: dict[str, Any] = {}
    every: list[Offer] = []
    broken = {}
    for key in keys:
        code = code_of(key)
        found = _again(known.get(code)) if code else None
        if found is None:
            try:
                found = _asked(key)
            except RooflabError as error:
                broken[key] = str(error)
                continue
            except Exception as error:  # a mistake in one paper is told, and is not the end of a ranking
                broken[key] = f"cannot be imported ({type(error).__name__}: {error})"
                continue
        if code:
            now[code] = [asdict(offer) for offer in found]
        every += found
    if keeps and not now.keys() <= known.keys():
        keep(index, now)
    return Offers(tuple(every), broken)


def code_of(key: str) -> str:
    """The digest of what a paper's figures are computed with; empty for one that came without its sources."""
    try:
        return sources(key)
    except _NO_SOURCES:
        return ""


def _again(records: Any) -> list[Offer] | None:
    try:
        return [Offer(**record) for record in records]
    except TypeError:
        return None


def _asked(key: str) -> list[Offer]:
    p = paper(key)
    found = [Offer(paper=key, key=k, sort=cls.engine, takes_s=cls.takes_s) for k, cls in p.techniques.items()]
    methods = [(k, cls) for k, cls in p.methods.items() if cls.reads is Scenario]
    return found + [Offer(paper=key, key=k, sort="method", takes_s=cls.takes_s) for k, cls in methods]

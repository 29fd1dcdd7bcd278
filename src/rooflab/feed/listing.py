"""The list of papers: cards of the feed and the papers that can be run, one entry each.

No paper that has a card is imported; one that has none (a third party's) is, because only its file says what it is
called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final

from rooflab.errors import unknown
from rooflab.papers.cards import KINDS, RESOURCES, cards
from rooflab.papers.registry import keys, normal, paper

__all__ = ["NOT_YET", "RUNNABLE", "Entry", "by_day", "entries", "entry", "select"]

RUNNABLE: Final = "runnable"
NOT_YET: Final = "not runnable yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A paper of the feed: facts of its card and whether it can be run."""

    key: str
    seed: int
    name: str
    title: str
    date: str
    url: str
    kind: str
    saves: tuple[str, ...]
    does: str
    status: str
    terms: str = ""

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "terms"}


def entries() -> list[Entry]:
    """All papers, newest first, then by key."""
    runnable = set(keys())
    found = [
        Entry(
            key=c.key,
            seed=c.seed,
            name=c.name,
            title=c.title,
            date=c.date,
            url=c.url,
            kind=c.kind,
            saves=c.saves,
            does=c.does,
            status=RUNNABLE if c.key in runnable else NOT_YET,
            terms=c.terms,
        )
        for c in cards()
    ]
    for key in sorted(runnable - {c.key for c in cards()}):
        p = paper(key)
        found.append(
            Entry(
                key=p.key,
                seed=p.seed,
                name=p.name or p.key,
                title=p.title,
                date=p.date,
                url=p.url,
                kind=p.kind,
                saves=p.saves,
                does=p.does,
                status=RUNNABLE,
            )
        )
    found.sort(key=lambda e: e.key)
    found.sort(key=lambda e: e.date, reverse=True)
    return found


def entry(key: str) -> Entry:
    """The paper called `key`. Raises InputError with the nearest keys."""
    listed = entries()
    for e in listed:
        if e.key == normal(key):
            return e
    raise unknown("paper", key, [e.key for e in listed])


def select(
    listed: Sequence[Entry], *, kind: str = "", saves: str = "", day: str = "", runnable: bool = False
) -> list[Entry]:
    """Those of a kind, that save a resource, of a day (or the beginning of one: ``2024-08``), or that can be run."""
    if kind and kind not in {*KINDS, *(e.kind for e in listed)}:
        raise unknown("kind", kind, KINDS, "--kind")
    if saves and saves not in {*RESOURCES, *(s for e in listed for s in e.saves)}:
        raise unknown("resource", saves, RESOURCES, "--saves")
    return [
        e
        for e in listed
        if (not kind or e.kind == kind)
        and (not saves or saves in e.saves)
        and e.date.startswith(day)
        and (not runnable or e.status == RUNNABLE)
    ]


def by_day(listed: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Entries by day, newest day first; a month stands for papers whose day is not known."""
    ordered = sorted(listed, key=lambda e: e.date, reverse=True)
    return ((day, list(group)) for day, group in groupby(ordered, key=lambda e: e.date))

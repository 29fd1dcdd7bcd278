"""The list of papers: cards of the feed and of the papers that other packages offer.

No paper is imported: one that has no card here (a third party's) says in its KEY.yaml what it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from rooflab.errors import unknown
from rooflab.papers.cards import KINDS, RESOURCES, Card, cards
from rooflab.papers.registry import keys, normal
from rooflab.papers.shelved import shelved

__all__ = ["by_day", "entries", "entry", "select"]


def entries() -> list[Card]:
    """All papers with whether they can be run, newest first, then by key."""
    runnable = set(keys())
    found = [replace(c, runnable=c.key in runnable) for c in cards()]
    found += shelved(sorted(runnable - {c.key for c in cards()}))
    found.sort(key=lambda e: e.key)
    found.sort(key=lambda e: e.date, reverse=True)
    return found


def entry(key: str) -> Card:
    """The paper called `key`. Raises InputError with the nearest keys."""
    listed = entries()
    for e in listed:
        if e.key == normal(key):
            return e
    raise unknown("paper", key, [e.key for e in listed])


def select(
    listed: Sequence[Card], *, kind: str = "", saves: str = "", day: str = "", runnable: bool = False
) -> list[Card]:
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
        and (not runnable or e.runnable)
    ]


def by_day(listed: Sequence[Card]) -> Iterator[tuple[str, list[Card]]]:
    """Entries by day, newest day first; a month stands for papers whose day is not known."""
    ordered = sorted(listed, key=lambda e: e.date, reverse=True)
    return ((day, list(group)) for day, group in groupby(ordered, key=lambda e: e.date))

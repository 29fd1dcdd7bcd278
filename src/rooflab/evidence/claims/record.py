"""Writing to the ledger: first values of claims, and changes with their reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

from rooflab.errors import InputError, unknown
from rooflab.evidence.claims.ledger import EVENTS, NAME, Entry, Event, Ledger, changed, ledger_near
from rooflab.evidence.claims.row import Row
from rooflab.papers.registry import paper

__all__ = ["record"]


@dataclass(frozen=True, slots=True)
class _Said:
    reason: str
    version: str
    event: Event
    independent: str
    claims: Collection[str] = ()


def record(
    rows: Sequence[Row], *, reason: str, version: str, event: str = "value", independent: str = "",
    claims: Collection[str] = (),
) -> list[Entry]:  # fmt: skip
    """Add to the ledger of each paper what is new or has changed in `rows`; the entries written.

    A value that moved by more than 2 % is written as `event` (what made it move). A paper without a ledger gets one
    beside its module. With the event "withdrawn" the sources are taken back that earlier changes of `claims` name.
    Raises InputError where something changed and no `reason` is given, and for an unknown event.
    """
    if event not in EVENTS:
        raise unknown("event", event, EVENTS, "event")
    if event == "first":
        raise InputError("is written by itself: a claim has one first value", "event 'first'")
    if (event == "withdrawn") != bool(claims):
        raise InputError("takes back what claims name that are told by --claim, and only they do", "event 'withdrawn'")
    for claim in claims:
        if claim not in {row.claim for row in rows}:
            raise unknown("claim", claim, [row.claim for row in rows])
    said = _Said(reason.strip(), version, cast(Event, event), independent.strip(), tuple(claims))
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.got is not None and row.tolerance is not None:
            found[row.paper].append(row)
    written = []
    for key, own in found.items():
        file = paper(key).file
        if file is None:
            raise InputError("has no file, so no ledger beside it", key)
        ledger = ledger_near(file.parent) or Ledger(file.parent / NAME)
        entries = [e for e in (_entry(ledger, r, said) for r in own) if e]
        ledger.append(entries)
        written += entries
    return written


def _entry(ledger: Ledger, row: Row, said: _Said) -> Entry | None:
    entries = ledger.history(row.paper, row.claim).entries
    assert row.tolerance is not None
    what = changed(entries[-1] if entries else None, row.got, row.expected, row.tolerance)
    if said.claims:
        what = _withdrawn(ledger, row) if row.claim in said.claims else None
    if what is None:
        return None
    if what != "first" and not said.reason:
        raise InputError(f"its {what} has changed since {entries[-1].date}: say why", f"{row.paper}.{row.claim}")
    return Entry(
        date=date.today().isoformat(), version=said.version, paper=row.paper, claim=row.claim,
        event=said.event if what == "value" else what, value=row.got, expected=row.expected, tolerance=row.tolerance,
        reason=said.reason, independent=said.independent,
    )  # fmt: skip


def _withdrawn(ledger: Ledger, row: Row) -> Event:
    if not ledger.history(row.paper, row.claim).justified:
        raise InputError("names no source that could be withdrawn", f"{row.paper}.{row.claim}")
    return "withdrawn"

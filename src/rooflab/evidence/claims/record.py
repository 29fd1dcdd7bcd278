"""Writing to the ledger: first values of claims, and changes with their reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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


def record(
    rows: Sequence[Row], *, reason: str, version: str, event: str = "value", independent: str = ""
) -> list[Entry]:
    """Add to the ledger of each paper what is new or has changed in `rows`; the entries written.

    A value that moved by more than 2 % is written as `event` (what made it move). A paper without a ledger gets one
    beside its module. Raises InputError where something changed and no `reason` is given, and for an unknown event.
    """
    if event not in EVENTS:
        raise unknown("event", event, EVENTS, "event")
    if event == "first":
        raise InputError("is written by itself: a claim has one first value", "event 'first'")
    said = _Said(reason.strip(), version, cast(Event, event), independent.strip())
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
    if what is None:
        return None
    if what != "first" and not said.reason:
        raise InputError(f"its {what} has changed since {entries[-1].date}: say why", f"{row.paper}.{row.claim}")
    return Entry(
        date=date.today().isoformat(), version=said.version, paper=row.paper, claim=row.claim,
        event=said.event if what == "value" else what, value=row.got, expected=row.expected, tolerance=row.tolerance,
        reason=said.reason, independent=said.independent,
    )  # fmt: skip

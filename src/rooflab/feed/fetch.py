"""Fetching: each source page by page into the store, where a killed fetch finds how far it was.

Papers of a page and where the next one begins are kept in one transaction, so that a kill loses a page at most, which
is then asked again. A source that was read whole is asked with the validators that it gave; a long one is read until a
page holds nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rooflab.feed.download import Document, Downloader, Failed, Unreachable
from rooflab.feed.entries import Entries, read_entries
from rooflab.feed.sources import Source
from rooflab.store.opening import Store
from rooflab.store.papers import Kept, Paper, put_papers

__all__ = ["Fetched", "fetch", "fetch_all"]

Prepare = Callable[[Iterable[Paper]], list[Paper]]
"""What is made of papers before they are kept: their kind, what they save, what they claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of a source: counts, broken entries, whether it was `unchanged`, and the `error` that ended it (""
    for none; `reached`: whether anybody answered)."""

    source: str
    kept: Kept = Kept()
    broken: tuple[str, ...] = ()
    unchanged: bool = False
    error: str = ""
    reached: bool = True

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        counts = {"source": self.source, "new": self.kept.new, "updated": self.kept.updated, "same": self.kept.same}
        return counts | {"broken": list(self.broken), "unchanged": self.unchanged, "error": self.error}


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of a source: validators of its last whole answer, and where it goes on."""

    etag: str = ""
    last_modified: str = ""
    start: int = 0
    whole: bool = False


def fetch_all(
    store: Store, sources: Sequence[Source], downloader: Downloader, prepare: Prepare, *, limit: int
) -> list[Fetched]:
    """Fetch each source in turn, at most `limit` entries of one that has pages."""
    return [fetch(store, source, downloader, prepare, limit=limit) for source in sources]


def fetch(store: Store, source: Source, downloader: Downloader, prepare: Prepare, *, limit: int) -> Fetched:
    """Fetch a source. What goes wrong with it is in the answer; what goes wrong with the store is raised."""
    known = _state(store, source)
    start, kept, broken = known.start, Kept(), list[str]()
    while True:
        try:
            document, found = _page(source, downloader, known, start)
        except Failed as error:
            _remember(store, source, f"failed: {error}", cursor=start)
            reached = not isinstance(error, Unreachable)
            return Fetched(source=source.name, kept=kept, broken=tuple(broken), error=str(error), reached=reached)
        if document.unchanged:
            _remember(store, source, "unchanged", cursor=None, etag=known.etag, last_modified=known.last_modified)
            return Fetched(source=source.name, unchanged=True)
        papers = prepare(found.papers)
        end = start + found.entries
        more = source.paged and found.entries > 0 and end < limit
        with store.change() as db:
            page = put_papers(db, papers, source.name, _now())
            # a page of a source that was read whole before and holds nothing new: the rest is known
            more = more and not (known.whole and start == 0 and page.new == 0 and page.updated == 0)
            validators = (document.etag, document.last_modified) if found.whole else ("", "")
            _write(db, source, "whole" if not more else "going on", end if more else None, validators)
        kept += page
        broken += found.broken
        if not more:
            return Fetched(source=source.name, kept=kept, broken=tuple(broken))
        start = end


def _page(source: Source, downloader: Downloader, known: _State, start: int) -> tuple[Document, Entries]:
    if source.file is not None:
        try:
            document = Document(source.file.read_bytes())
        except OSError as error:
            raise Failed(f"cannot be read ({error.strerror})") from None
    else:
        first = start == 0
        document = downloader.get(
            source.page(start), etag=known.etag if first else "", last_modified=known.last_modified if first else "",
            polite=source.paged,
        )  # fmt: skip
    if document.unchanged:
        return document, Entries((), (), 0)
    return document, read_entries(document.content, _now()[:10])


def _state(store: Store, source: Source) -> _State:
    row = store.row("SELECT * FROM sources WHERE address = ?", (_key(source),))
    if row is None:
        return _State()
    start = json.loads(row["cursor"])["start"] if row["cursor"] else 0
    return _State(row["etag"] or "", row["last_modified"] or "", start, row["whole_at"] is not None)


def _key(source: Source) -> str:
    return source.address or source.name


def _remember(
    store: Store, source: Source, outcome: str, *, cursor: int | None, etag: str = "", last_modified: str = ""
) -> None:
    with store.change() as db:
        _write(db, source, outcome, cursor, (etag, last_modified))


_WRITE: Final = """
    INSERT INTO sources (address, etag, last_modified, cursor, asked_at, whole_at, outcome)
    VALUES (:address, :etag, :last_modified, :cursor, :now, :whole_at, :outcome)
    ON CONFLICT (address) DO UPDATE SET
        etag = CASE WHEN :whole_at IS NULL THEN etag ELSE excluded.etag END,
        last_modified = CASE WHEN :whole_at IS NULL THEN last_modified ELSE excluded.last_modified END,
        cursor = excluded.cursor, asked_at = excluded.asked_at, outcome = excluded.outcome,
        whole_at = coalesce(excluded.whole_at, whole_at)"""


def _write(db: Any, source: Source, outcome: str, cursor: int | None, validators: tuple[str, str]) -> None:
    """Validators are of a whole answer only: what a page of a cut one said must not hide the rest."""
    whole = outcome in ("whole", "unchanged")
    values = {
        "address": _key(source), "etag": validators[0] or None, "last_modified": validators[1] or None,
        "cursor": json.dumps({"start": cursor}) if cursor else None, "now": _now(),
        "whole_at": _now() if whole else None, "outcome": outcome,
    }  # fmt: skip
    db.execute(_WRITE, values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

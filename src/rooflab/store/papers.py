"""Papers that were fetched: put in, merged by identity, listed and searched."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.store.opening import Store

__all__ = [
    "Kept",
    "Paper",
    "Wanted",
    "classify_anew",
    "count_papers",
    "find_paper",
    "list_papers",
    "put_papers",
    "search_papers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A paper as a source tells it, and what rules make of it.

    `identity` is ``arxiv:2408.12757`` or ``url:https://...``; `day` the day of its first version, `updated` of this
    `version`; `figures` are what its abstract claims, as records; `relevance` is how far it is about efficiency, from 0
    to 1; `classified` names the rules that filled the last five ("" where none did).
    """

    identity: str
    title: str
    abstract: str
    link: str
    day: str
    updated: str
    version: int = 1
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kind: str = "other"
    saves: tuple[str, ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    nearest: tuple[str, ...] = ()
    relevance: float = 0.0
    classified: str = ""

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: _plain(getattr(self, name)) for name in _FIELDS}


_FIELDS: Final = (
    "identity", "version", "title", "abstract", "authors", "categories", "link", "day", "updated", "kind", "saves",
    "figures", "nearest", "relevance", "classified",
)  # fmt: skip
_LISTS: Final = frozenset({"authors", "categories", "saves", "figures", "nearest"})
_COLUMNS: Final = ", ".join(f"p.{name}" for name in _FIELDS)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of papers: `new`, `updated` by a later version, the `same` as before."""

    new: int = 0
    updated: int = 0
    same: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.new + other.new, self.updated + other.updated, self.same + other.same)


def put_papers(db: sqlite3.Connection, papers: Iterable[Paper], source: str, now: str) -> Kept:
    """Put `papers` of a source in, inside a transaction of the caller's (`Store.change`).

    What is there already is replaced by a later version only (the number, then the day of the update); the first day
    stays the earliest, and authors or categories that a source leaves out stay.
    """
    counts = Kept()
    for paper in papers:
        row = db.execute("SELECT id, version, updated FROM papers WHERE identity = ?", (paper.identity,)).fetchone()
        if row is None:
            place = _insert(db, paper, now)
            counts += Kept(new=1)
        else:
            place = int(row["id"])
            later = (paper.version, paper.updated) > (row["version"], row["updated"])
            if later:
                _update(db, place, paper, now)
            else:
                db.execute("UPDATE papers SET day = ? WHERE id = ? AND day > ?", (paper.day, place, paper.day))
            counts += Kept(updated=int(later), same=int(not later))
        db.execute("INSERT OR IGNORE INTO paper_sources (paper_id, source) VALUES (?, ?)", (place, source))
    return counts


def _values(paper: Paper) -> list[Any]:
    return [_value(paper, name) for name in _FIELDS]


def _value(paper: Paper, name: str) -> Any:
    value = getattr(paper, name)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if name in _LISTS else value


_INSERT: Final = (
    f"INSERT INTO papers ({', '.join(_FIELDS)}, seen_at) VALUES ({', '.join('?' * (len(_FIELDS) + 1))}) RETURNING id"
)
_UPDATE: Final = f"UPDATE papers SET {', '.join(f'{n} = ?' for n in _FIELDS)}, seen_at = ? WHERE id = ?"

_OF_RULES: Final = ("kind", "saves", "figures", "nearest", "relevance", "classified")
_RECLASSIFY: Final = (
    f"UPDATE papers SET {', '.join(f'{n} = ?' for n in _OF_RULES)} WHERE id = ? AND version = ? AND updated = ?"
)
_LOT: Final = 500


def _insert(db: sqlite3.Connection, paper: Paper, now: str) -> int:
    return int(db.execute(_INSERT, (*_values(paper), now)).fetchone()[0])


def _update(db: sqlite3.Connection, place: int, paper: Paper, now: str) -> None:
    row = db.execute("SELECT day, authors, categories FROM papers WHERE id = ?", (place,)).fetchone()
    merged = replace(
        paper,
        day=min(paper.day, row["day"]),
        authors=paper.authors or tuple(json.loads(row["authors"])),
        categories=paper.categories or tuple(json.loads(row["categories"])),
    )
    db.execute(_UPDATE, (*_values(merged), now, place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which papers: of a kind, that save a resource, of a day (or the beginning of one), as relevant at least."""

    kind: str = ""
    saves: str = ""
    day: str = ""
    relevance: float = 0.0
    limit: int = 50
    offset: int = 0

    def conditions(self) -> tuple[list[str], list[Any]]:
        """What a row must hold, and the values of that, in terms of columns that the indexes cover."""
        told: list[tuple[str, list[Any]]] = []
        if self.kind:
            told.append(("p.kind = ?", [self.kind]))
        if self.saves:
            told.append(("instr(p.saves, ?) > 0", [json.dumps(self.saves, ensure_ascii=False)]))
        if self.day:
            told.append(("p.day >= ? AND p.day < ?", [self.day, f"{self.day}\U0010ffff"]))
        if self.relevance > 0:
            told.append(("p.relevance >= ?", [self.relevance]))
        return [text for text, _ in told], [value for _, values in told for value in values]


def list_papers(store: Store, wanted: Wanted) -> list[Paper]:
    """Papers, the newest first."""
    conditions, values = wanted.conditions()
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    index = "papers_by_kind" if wanted.kind else "papers_by_day"
    # the index alone says which rows are shown; only those are read
    rows = store.rows(
        f"SELECT {_COLUMNS} FROM papers p JOIN (SELECT p.id FROM papers p INDEXED BY {index} {where} "
        "ORDER BY p.day DESC, p.id DESC LIMIT ? OFFSET ?) shown ON shown.id = p.id ORDER BY p.day DESC, p.id DESC",
        [*values, wanted.limit, wanted.offset],
    )
    return [_paper(row) for row in rows]


def count_papers(store: Store) -> int:
    """How many papers there are."""
    row = store.row("SELECT count(*) FROM papers")
    assert row is not None
    return int(row[0])


def find_paper(store: Store, word: str) -> Paper:
    """The paper with an identity, an id of arXiv or an address. Raises InputError."""
    row = store.row(
        f"SELECT {_COLUMNS} FROM papers p WHERE p.identity IN (?, 'arxiv:' || ?, 'url:' || ?) OR p.link = ?",
        (word,) * 4,
    )
    if row is None:
        raise InputError("is no paper that is kept (rooflab feed search WORDS; rooflab feed fetch)", word or "''")
    return _paper(row)


_WORD: Final = re.compile(r"\w+")
_TITLE_WEIGHT: Final = 3.0
_DEEP: Final = 1_000
"""Matches that are ranked: of words that stand in more papers than these, those that came last are taken."""


def search_papers(store: Store, words: str, wanted: Wanted) -> list[tuple[float, Paper]]:
    """Papers about `words`, best first with their scores (BM25 of SQLite, a word of the title three times): those with
    all the words, then those with some of them."""
    terms = list(dict.fromkeys(_WORD.findall(words.lower())))
    if not terms:
        return []
    found = _matching(store, " ".join(f'"{t}"' for t in terms), wanted)
    if len(found) < wanted.limit + wanted.offset and len(terms) > 1:
        seen = {paper.identity for _, paper in found}
        some = _matching(store, " OR ".join(f'"{t}"' for t in terms), wanted)
        found += [one for one in some if one[1].identity not in seen]
    return found[wanted.offset : wanted.offset + wanted.limit]


def _matching(store: Store, query: str, wanted: Wanted) -> list[tuple[float, Paper]]:
    conditions, values = wanted.conditions()
    beside = more = ""
    if wanted.kind or wanted.day:
        # few papers pass: which is found first; the plus keeps SQLite from asking the index of words for each of them
        index = "papers_by_kind" if wanted.kind else "papers_by_day"
        more = f"AND +w.rowid IN (SELECT p.id FROM papers p INDEXED BY {index} WHERE {' AND '.join(conditions)})"
    elif conditions:
        # many pass: each match is looked at until there are enough
        beside, more = "CROSS JOIN papers p ON p.id = w.rowid", f"AND {' AND '.join(conditions)}"
    rows = store.rows(
        f"SELECT {_COLUMNS}, -hit.score AS score FROM (SELECT w.rowid, bm25(papers_words, {_TITLE_WEIGHT}, 1.0) AS "
        f"score FROM papers_words w {beside} WHERE papers_words MATCH ? {more} ORDER BY w.rowid DESC LIMIT ?) hit "
        "JOIN papers p ON p.id = hit.rowid ORDER BY hit.score, p.id DESC LIMIT ?",
        [query, *values, _DEEP, wanted.limit + wanted.offset],
    )
    return [(float(row["score"]), _paper(row)) for row in rows]


def _paper(row: sqlite3.Row) -> Paper:
    values: dict[str, Any] = {n: tuple(json.loads(row[n])) if n in _LISTS else row[n] for n in _FIELDS}
    return Paper(**values)


def classify_anew(store: Store, prepare: Callable[[list[Paper]], list[Paper]], digest: str, *, every: bool) -> int:
    """Classify papers that other rules than `digest` classified (or `every`), some at a time, each lot in a transaction
    of its own; how many."""
    done, last = 0, 0
    while True:
        rows = store.rows(
            f"SELECT p.id, {_COLUMNS} FROM papers p WHERE p.id > ? AND (? OR p.classified <> ?) ORDER BY p.id LIMIT ?",
            (last, every, digest, _LOT),
        )
        if not rows:
            return done
        found = prepare([_paper(row) for row in rows])
        with store.change() as db:
            for row, one in zip(rows, found, strict=True):
                # a version that came meanwhile has words of its own, and was classified with them
                db.execute(_RECLASSIFY, (*(_value(one, n) for n in _OF_RULES), row["id"], one.version, one.updated))
        done, last = done + len(rows), rows[-1]["id"]

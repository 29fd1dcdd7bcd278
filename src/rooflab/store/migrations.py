"""What the tables are: each migration is a function that takes a file of the format before to the next.

The format of a file is how many of them it has seen (``PRAGMA user_version``). A migration that has shipped is never
changed; a new one is added at the end. Texts are UTF-8, times ISO 8601 in UTC, lists and records JSON.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

__all__ = ["APPLICATION_ID", "MIGRATIONS"]

APPLICATION_ID: Final = 0x52664C62
"""What tells a store from other SQLite files (the letters RfLb)."""


def papers_with_index(db: sqlite3.Connection) -> None:
    """Papers by identity (an arXiv id, else an address), where they were seen, and the index of their words.

    `saves`, `figures`, `nearest`, `authors`, `categories` are JSON lists; `relevance` from 0 (about something else) to
    1 (about efficiency); `classified` names the rules that filled kind, saves, figures, nearest and relevance. The
    index of `papers_by_day` covers what listings filter by, so that a filter reads no paper that it does not show.
    """
    db.execute("""
        CREATE TABLE papers (
            id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
            title TEXT NOT NULL CHECK (title <> ''),
            abstract TEXT NOT NULL,
            authors TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(authors)),
            categories TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(categories)),
            link TEXT NOT NULL,
            day TEXT NOT NULL,
            updated TEXT NOT NULL,
            kind TEXT NOT NULL DEFAULT 'other',
            saves TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(saves)),
            figures TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(figures)),
            nearest TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(nearest)),
            relevance REAL NOT NULL DEFAULT 0 CHECK (relevance BETWEEN 0 AND 1),
            classified TEXT NOT NULL DEFAULT '',
            seen_at TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX papers_by_day ON papers (day DESC, id DESC, kind, saves, relevance)")
    db.execute("CREATE INDEX papers_by_kind ON papers (kind, day DESC, id DESC, saves, relevance)")
    db.execute("""
        CREATE TABLE paper_sources (
            paper_id INTEGER NOT NULL REFERENCES papers (id) ON DELETE CASCADE,
            source TEXT NOT NULL,
            PRIMARY KEY (paper_id, source)
        ) STRICT, WITHOUT ROWID""")
    db.execute("""
        CREATE VIRTUAL TABLE papers_words USING fts5 (
            title, abstract, content='papers', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
        )""")
    for name, when, body in (
        ("added", "AFTER INSERT ON papers", _INDEXED),
        ("removed", "AFTER DELETE ON papers", _UNINDEXED),
        ("changed", "AFTER UPDATE OF title, abstract ON papers", f"{_UNINDEXED} {_INDEXED}"),
    ):
        db.execute(f"CREATE TRIGGER papers_{name} {when} BEGIN {body} END")


_INDEXED: Final = "INSERT INTO papers_words (rowid, title, abstract) VALUES (new.id, new.title, new.abstract);"
_UNINDEXED: Final = (
    "INSERT INTO papers_words (papers_words, rowid, title, abstract) "
    "VALUES ('delete', old.id, old.title, old.abstract);"
)


def scenarios_and_runs(db: sqlite3.Connection) -> None:
    """Scenarios by the hash of what they ask, and runs by name; `key` is a hash of inputs, code and seed: two runs of
    one key have one answer."""
    db.execute("""
        CREATE TABLE scenarios (
            id INTEGER PRIMARY KEY,
            hash TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            asked TEXT NOT NULL CHECK (json_valid(asked)),
            kept_at TEXT NOT NULL
        ) STRICT""")
    db.execute("""
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE CHECK (name <> ''),
            kind TEXT NOT NULL CHECK (kind IN ('plan', 'estimate', 'simulation', 'saturation', 'paper', 'check')),
            key TEXT NOT NULL,
            scenario_id INTEGER REFERENCES scenarios (id),
            inputs TEXT NOT NULL CHECK (json_valid(inputs)),
            seed TEXT,
            version TEXT NOT NULL,
            code TEXT NOT NULL,
            status INTEGER NOT NULL,
            seconds REAL NOT NULL CHECK (seconds >= 0),
            result TEXT NOT NULL CHECK (json_valid(result)),
            kept_at TEXT NOT NULL
        ) STRICT""")
    db.execute("CREATE INDEX runs_by_key ON runs (key)")
    db.execute("CREATE INDEX runs_by_scenario ON runs (scenario_id)")


def sources_of_papers(db: sqlite3.Connection) -> None:
    """Addresses that papers are fetched from: validators of the last whole answer, and where a fetch that was cut short
    goes on (`cursor`, JSON; null when it was whole)."""
    db.execute("""
        CREATE TABLE sources (
            address TEXT PRIMARY KEY,
            etag TEXT,
            last_modified TEXT,
            cursor TEXT CHECK (cursor IS NULL OR json_valid(cursor)),
            asked_at TEXT NOT NULL,
            whole_at TEXT,
            outcome TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""")


def subscriptions_and_digests(db: sqlite3.Connection) -> None:
    """Who wants what, and what was sent.

    A digest is ``prepared`` before anything is sent, ``sending`` from the moment a server may have it, then ``sent``;
    ``waiting`` for its next try after a failure, ``given-up`` with its error after the last. There is one a day at
    most, and a paper is in one digest of a subscription only; both are constraints, so that a kill cannot undo them.
    """
    db.execute("""
        CREATE TABLE subscriptions (
            id INTEGER PRIMARY KEY,
            address TEXT NOT NULL CHECK (address LIKE '%_@_%'),
            scenario_id INTEGER NOT NULL REFERENCES scenarios (id),
            wishes TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(wishes)),
            state TEXT NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'confirmed', 'ended')),
            asked_at TEXT NOT NULL,
            confirmed_at TEXT,
            ended_at TEXT,
            CHECK (state <> 'confirmed' OR confirmed_at IS NOT NULL),
            CHECK (state <> 'ended' OR ended_at IS NOT NULL),
            UNIQUE (address, scenario_id)
        ) STRICT""")
    db.execute("""
        CREATE TABLE digests (
            id INTEGER PRIMARY KEY,
            subscription_id INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
            day TEXT NOT NULL,
            message_id TEXT NOT NULL UNIQUE,
            content TEXT NOT NULL CHECK (json_valid(content)),
            state TEXT NOT NULL DEFAULT 'prepared'
                CHECK (state IN ('prepared', 'sending', 'sent', 'waiting', 'given-up')),
            tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
            next_at TEXT,
            sent_at TEXT,
            error TEXT NOT NULL DEFAULT '',
            CHECK (state <> 'sent' OR sent_at IS NOT NULL),
            CHECK (state <> 'waiting' OR next_at IS NOT NULL),
            UNIQUE (subscription_id, day)
        ) STRICT""")
    db.execute("CREATE INDEX digests_by_state ON digests (state, next_at)")
    db.execute("""
        CREATE TABLE digest_papers (
            subscription_id INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
            paper_id INTEGER NOT NULL REFERENCES papers (id) ON DELETE CASCADE,
            digest_id INTEGER NOT NULL REFERENCES digests (id) ON DELETE CASCADE,
            PRIMARY KEY (subscription_id, paper_id)
        ) STRICT, WITHOUT ROWID""")
    db.execute("CREATE INDEX digest_papers_by_digest ON digest_papers (digest_id)")


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    papers_with_index,
    scenarios_and_runs,
    sources_of_papers,
    subscriptions_and_digests,
)
"""In the order in which files have seen them."""

"""Opening the store: what is at the path is checked, brought to the present format after a backup, and then trusted.

Writers take turns (``BEGIN IMMEDIATE``; who waits longer than `WAIT_S` is told), readers see whole commits (WAL), a
commit is on the disk when it returns (``synchronous=FULL``). Whatever SQLite complains of is one InputError that names
the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rooflab.errors import InputError
from rooflab.store.migrations import APPLICATION_ID, MIGRATIONS
from rooflab.store.place import store_path, vacant_or_file

__all__ = ["WAIT_S", "Store"]

WAIT_S: Final = 30.0
"""Seconds that a writer waits for another."""

_CACHE_KIB: Final = 64 * 1024
_MAPPED_BYTES: Final = 1 << 30
"""Of the file, what is held and what is mapped: an index of a hundred thousand papers is read at random."""

_TOLD: Final = {
    "SQLITE_NOTADB": "is no store: not a SQLite file",
    "SQLITE_FULL": "cannot be written: the disk is full; nothing of this was kept",
    "SQLITE_READONLY": "cannot be written (read-only)",
    "SQLITE_CANTOPEN": "cannot be opened (may its folder be written?)",
    "SQLITE_PERM": "cannot be opened (no permission)",
    "SQLITE_AUTH": "cannot be opened (no permission)",
    "SQLITE_BUSY": f"another process has been writing for more than {WAIT_S:g} s",
    "SQLITE_IOERR": "cannot be read or written (input/output error, or no room); nothing of this was kept",
}


class Store:
    """An open store; `path` None is ``store_path()``.

    Use it as a context: ``with Store.open(path) as store, store.change() as db: db.execute(...)``.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self.db = db

    @classmethod
    def open(cls, path: str | Path | None = None) -> Store:
        """The store at `path`, made where nothing is.

        Raises InputError for a folder, a pipe, another program's file, a damaged one, one of a newer Rooflab, and for
        a place that cannot be written.
        """
        place = store_path(None if path is None else str(path))
        if not vacant_or_file(place):
            # addresses of subscribers are nobody else's business
            with _told(place):
                os.close(os.open(place, os.O_CREAT | os.O_RDWR, 0o600))
        with _told(place):
            db = sqlite3.connect(place, timeout=WAIT_S, isolation_level=None)
            try:
                _prepare(db, place)
            except BaseException:
                db.close()
                raise
        return cls(place, db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done inside is kept when the block ends, none of it after an error."""
        with _told(self.path), _transaction(self.db):
            yield self.db

    def rows(self, query: str, values: Any = ()) -> list[sqlite3.Row]:
        """What a query finds."""
        with _told(self.path):
            return self.db.execute(query, values).fetchall()

    def row(self, query: str, values: Any = ()) -> sqlite3.Row | None:
        """The first row that a query finds."""
        with _told(self.path):
            found: sqlite3.Row | None = self.db.execute(query, values).fetchone()
        return found


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # a full disk has already rolled back
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Settings of a connection; then the file is checked and brought to the present format."""
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    db.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")
    _own(db, path)
    db.execute("PRAGMA journal_mode=WAL")
    (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise _damaged(path, said)
    if _format(db) < len(MIGRATIONS):
        _migrate(db, path)


def _format(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _own(db: sqlite3.Connection, path: Path) -> None:
    """Refuse other programs' files and newer formats before anything in the file is changed."""
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if owner != APPLICATION_ID and not (empty and owner == 0 and _format(db) == 0):
        raise InputError("is another program's SQLite file; --store FILE names a place of its own", str(path))
    if _format(db) > len(MIGRATIONS):
        raise InputError(
            f"was written by a newer Rooflab (format {_format(db)}; this one reads up to {len(MIGRATIONS)}): install "
            f"that one, or name another --store",
            str(path),
        )


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to the present format, all steps or none, after a copy of what it was; another process that
    comes meanwhile waits and finds it done."""
    with _transaction(db):
        seen = _format(db)
        if seen > 0:
            _back_up(path, seen)
        else:
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        for step in MIGRATIONS[seen:]:
            step(db)
        db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _back_up(path: Path, seen: int) -> None:
    """A copy beside the file, whole or not at all; a reader of its own sees what was committed."""
    copy = path.with_name(f"{path.name}.format-{seen}")
    temporary = path.with_name(f".{copy.name}.{os.getpid()}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600))
        source, target = sqlite3.connect(path), sqlite3.connect(temporary)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        os.replace(temporary, copy)
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(path: Path, said: str) -> InputError:
    kept = sorted(path.parent.glob(f"{path.name}.format-*"))
    copy = f"; {kept[-1]} is a copy of before the last migration" if kept else ""
    return InputError(f"is damaged ({' '.join(said.split())}); move it away to start anew{copy}", str(path))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system inside are one line about the file."""
    try:
        yield
    except sqlite3.IntegrityError:
        # a constraint of ours that does not hold is our own mistake
        raise
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_CORRUPT"):
            raise _damaged(path, str(error)) from None
        told = next((text for code, text in _TOLD.items() if name.startswith(code)), "")
        if not told:
            raise
        raise InputError(told, str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", str(path)) from None

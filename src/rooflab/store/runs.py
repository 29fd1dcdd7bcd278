"""Runs that were kept by name: what was asked, with which code, from which seed, and what came out.

The key of a run is a hash of inputs, code and seed: whatever has the same key has the same answer, so that saving it
again changes nothing but the time; another key under the same name is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.store.opening import Store

__all__ = ["KINDS", "Asked", "Run", "check_free", "check_name", "keep_run", "remove_runs", "run", "runs"]

KINDS: Final = ("plan", "estimate", "simulation", "saturation", "paper", "check")
"""What can be kept."""
_NAME: Final = re.compile(r"\w[\w.:/@+-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run is asked: `kind`; options and digests of files in `inputs`; a scenario as a file holds it, with its
    hash and name (None, "" where none is read); the seed; the version and a digest of the code that answers."""

    kind: str
    inputs: Mapping[str, Any]
    version: str
    code: str
    seed: int | None = None
    scenario: Mapping[str, Any] | None = None
    scenario_hash: str = ""
    scenario_name: str = ""

    @property
    def key(self) -> str:
        """SHA-256 of all that the answer depends on; how a scenario was spelled does not count."""
        parts = [self.kind, self.inputs, self.scenario_hash, self.seed, self.version, self.code]
        return hashlib.sha256(_json(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is kept. `result` is what ``--json`` prints; `status` the exit status; `seconds` it took; `kept_at` in
    UTC."""

    name: str
    asked: Asked
    result: Any
    status: int
    seconds: float
    kept_at: str

    def record(self) -> dict[str, Any]:
        """As plain JSON values, for one file."""
        a = self.asked
        return {
            "name": self.name, "kind": a.kind, "key": a.key, "kept_at": self.kept_at, "version": a.version,
            "code": a.code, "seed": a.seed, "scenario": a.scenario, "scenario_hash": a.scenario_hash,
            "inputs": dict(a.inputs), "status": self.status, "seconds": self.seconds, "result": self.result,
        }  # fmt: skip


def check_name(name: str) -> None:
    """Raises InputError for what is no name of a run."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name of a run: a letter or digit, then up to 99 letters, digits or any of . _ - : / @ +",
            "--save",
        )


def check_free(store: Store, name: str, key: str) -> None:
    """Raises InputError where `name` is a run of another key."""
    found = store.row("SELECT key, kind, kept_at FROM runs WHERE name = ?", (name,))
    if found is not None and found["key"] != key:
        raise InputError(
            f"{name!r} is kept already, of other inputs or code ({found['kind']} of {found['kept_at']}): take another "
            f"name, or rooflab runs rm {name}",
            "--save",
        )


def keep_run(store: Store, name: str, asked: Asked, result: Any, *, status: int, seconds: float) -> None:
    """Keep a run, whole or not at all. Raises InputError; see `check_free`."""
    check_name(name)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = _json(result)
    with store.change() as db:
        # under the lock: what was free before the run may have been taken meanwhile
        check_free(store, name, asked.key)
        place = None if asked.scenario is None else _scenario(db, asked, now)
        seed = None if asked.seed is None else str(asked.seed)
        db.execute(
            "INSERT INTO runs (name, kind, key, scenario_id, inputs, seed, version, code, status, seconds, result, "
            "kept_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
            "status = excluded.status, seconds = excluded.seconds, result = excluded.result, "
            "kept_at = excluded.kept_at",
            (
                name, asked.kind, asked.key, place, _json(asked.inputs), seed, asked.version, asked.code,
                status, seconds, content, now,
            ),
        )  # fmt: skip


def _scenario(db: sqlite3.Connection, asked: Asked, now: str) -> int:
    db.execute(
        "INSERT INTO scenarios (hash, name, asked, kept_at) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING",
        (asked.scenario_hash, asked.scenario_name, _json(asked.scenario, order=False), now),
    )
    return int(db.execute("SELECT id FROM scenarios WHERE hash = ?", (asked.scenario_hash,)).fetchone()[0])


_SELECT: Final = (
    "SELECT r.*, s.hash AS scenario_hash, s.name AS scenario_name, s.asked FROM runs r "
    "LEFT JOIN scenarios s ON s.id = r.scenario_id"
)


def runs(store: Store, *, kind: str = "") -> list[Run]:
    """Runs that are kept, the newest first, of a kind. Raises InputError for an unknown kind."""
    if kind and kind not in KINDS:
        raise unknown("kind of run", kind, KINDS, "--kind")
    where = " WHERE r.kind = :kind" if kind else ""
    return [_run(row) for row in store.rows(f"{_SELECT}{where} ORDER BY r.kept_at DESC, r.id DESC", {"kind": kind})]


def run(store: Store, name: str) -> Run:
    """The run called `name`. Raises InputError with the nearest names."""
    row = store.row(f"{_SELECT} WHERE r.name = ?", (name,))
    if row is None:
        raise unknown("run", name, [r["name"] for r in store.rows("SELECT name FROM runs ORDER BY name")])
    return _run(row)


def remove_runs(store: Store, names: list[str]) -> None:
    """Forget runs, all of them or none, and scenarios that nothing else holds. Raises InputError; see `run`."""
    with store.change() as db:
        for name in names:
            run(store, name)
            db.execute("DELETE FROM runs WHERE name = ?", (name,))
        db.execute(
            "DELETE FROM scenarios WHERE id NOT IN (SELECT scenario_id FROM runs WHERE scenario_id IS NOT NULL) "
            "AND id NOT IN (SELECT scenario_id FROM subscriptions)"
        )


def _run(row: sqlite3.Row) -> Run:
    asked = Asked(
        kind=row["kind"], inputs=json.loads(row["inputs"]), version=row["version"], code=row["code"],
        seed=None if row["seed"] is None else int(row["seed"]),
        scenario=None if row["asked"] is None else json.loads(row["asked"]), scenario_hash=row["scenario_hash"] or "",
        scenario_name=row["scenario_name"] or "",
    )  # fmt: skip
    return Run(
        name=row["name"], asked=asked, result=json.loads(row["result"]), status=row["status"], seconds=row["seconds"],
        kept_at=row["kept_at"],
    )  # fmt: skip


def _json(value: Any, *, order: bool = True) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=order, separators=(",", ":"))

"""Cards of the papers that have none in the feed (a third party's), from their KEY.yaml, without importing any.

What was read is kept in the user's cache folder by the file's content, so that a listing of two hundred papers reads
their bytes and parses none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError, RooflabError
from rooflab.files import keep, kept, user_cache
from rooflab.papers.cards import Card
from rooflab.papers.registry import module_of, paper, source_of

__all__ = ["shelved"]

_FACTS: Final = tuple(
    f.name for f in fields(Card) if f.name not in ("key", "terms", "claimed", "claimed_of", "runnable")
)


def shelved(keys: Iterable[str]) -> list[Card]:
    """The cards of runnable papers by key.

    One that has no KEY.yaml beside its module is imported: only its code says what it is called. One that cannot be
    read has a card that says why, and cannot be run: it is not the end of a listing.
    """
    index = user_cache("papers") / "cards.json"
    value = kept(index)
    known: dict[str, Any] = value if isinstance(value, dict) else {}
    found, now = [], {}
    for key in keys:
        facts = _facts(key)
        digest = "" if facts is None else hashlib.sha256(f"{key} ".encode() + facts.read_bytes()).hexdigest()
        try:
            card = paper(key).card() if facts is None else _again(key, known.get(digest)) or _read(key, facts)
        except Exception as error:
            found.append(_unreadable(key, error))
            continue
        if facts is not None:
            now[digest] = asdict(card)
        found.append(card)
    if not now.keys() <= known.keys():
        keep(index, now)
    return found


def _unreadable(key: str, error: Exception) -> Card:
    why = str(error) if isinstance(error, RooflabError) else f"{type(error).__name__}: {error}"
    return Card(
        key=key, seed=0, name=key, title=f"cannot be read: {why}", date="", url="", kind="other", saves=(),
        does=f"Cannot be read: {why}.",
    )  # fmt: skip


def _facts(key: str) -> Path | None:
    """The paper's KEY.yaml, where there is one beside its module."""
    source = source_of(module_of(key))
    facts = source.with_name(f"{key}.yaml") if source is not None else None
    return facts if facts is not None and facts.is_file() else None


def _again(key: str, record: Any) -> Card | None:
    """The card that was kept; None where it holds something else."""
    try:
        given = {name: record[name] for name in _FACTS}
        return Card(**given | {"key": key, "saves": tuple(given["saves"]), "runnable": True})
    except (TypeError, KeyError):
        return None


def _read(key: str, facts: Path) -> Card:
    from rooflab.papers.facts import read_texts  # what claims are made of, which a card that was kept does not need

    texts = read_texts(facts)
    if "title" not in texts:
        raise InputError("says no title, and the feed has no card of it", facts.name)
    given: dict[str, Any] = {"name": key, "saves": (), "seed": 0, "date": "", "url": "", "kind": "", "does": ""} | texts
    return Card(key=key, runnable=True, **{name: given[name] for name in _FACTS})

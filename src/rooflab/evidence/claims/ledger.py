"""The ledger of claims: the first value ever computed for each, and every later change with its reason. Only added to.

``claims-ledger.jsonl`` lies in the folder of a shelf of papers or above it, one JSON object a line:

    {"date": "2026-11-24", "version": "b1ac941", "paper": "nanoflow", "claim": "c1", "event": "first", "value": 1.36,
     "expected": 1.91, "tolerance": 0.15, "reason": "", "independent": "", "before": "3f2a…"}

`version` is the commit or release that computed the value. `event` is "first" or what changed: "value" (of itself, as
fits and engines moved), "expectation", "setup", "seed", "length" (of a run), "tolerance", "reading"; or "withdrawn",
where a source that was named before turned out to justify nothing. `independent` names a source that justifies the
change and has nothing to do with the claim. `before` is a digest of the line above, so that a line that was changed or
taken out is noticed. Nothing follows on the last line: ``claims-ledger.head`` beside it holds how many lines there are
and the digest of the last one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from rooflab.errors import InputError, unknown
from rooflab.files import write_text

__all__ = [
    "EVENTS", "HEAD", "MOVED", "NAME", "Entry", "Event", "History", "Ledger", "changed", "ledger_near", "moved",
]  # fmt: skip

Event = Literal["first", "value", "expectation", "setup", "seed", "length", "tolerance", "reading", "withdrawn"]
EVENTS: Final[tuple[str, ...]] = get_args(Event)
NAME: Final = "claims-ledger.jsonl"
HEAD: Final = "claims-ledger.head"
MOVED: Final = 0.02
"""Share by which a value has to change for the change to be written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the ledger; see the module."""

    date: str
    version: str
    paper: str
    claim: str
    event: Event
    value: Any
    expected: Any
    tolerance: float
    reason: str = ""
    independent: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The entries of one claim, oldest first."""

    entries: tuple[Entry, ...] = ()

    @property
    def first(self) -> Any:
        """The first value ever computed; None before that."""
        return self.entries[0].value if self.entries else None

    @property
    def last(self) -> Any:
        """The value last written down."""
        return self.entries[-1].value if self.entries else None

    @property
    def revisions(self) -> int:
        """Changes since the first value."""
        return max(sum(e.event != "withdrawn" for e in self.entries) - 1, 0)

    @property
    def justified(self) -> bool:
        """Whether a change names something independent that was not withdrawn."""
        return any(self._independent(i) for i in range(1, len(self.entries)))

    def selected(self, holds: Callable[[Any], bool]) -> bool:
        """Whether the first value did not hold, and a change after which the value came to hold names nothing
        independent."""
        held = [holds(e.value) for e in self.entries]
        if not held or held[0]:
            return False
        turns = [i for i in range(1, len(held)) if held[i] and not held[i - 1]]
        return not turns or any(not self._independent(i) for i in turns)

    def _independent(self, i: int) -> str:
        """What justifies a change, unless it was withdrawn later."""
        withdrawn = any(e.event == "withdrawn" for e in self.entries[i:])
        return "" if withdrawn else self.entries[i].independent


class Ledger:
    """The ledger in `path`. Raises InputError for a line that cannot be read or does not follow from the one above, and
    for a last line that is not the one that was written last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text("utf-8") if path.is_file() else ""
        self._lines = text.splitlines()
        self.entries = tuple(self._checked())
        self._check_head()

    def history(self, paper: str, claim: str) -> History:
        """What happened to a claim."""
        return History(tuple(e for e in self.entries if (e.paper, e.claim) == (paper, claim)))

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries, whole or not at all."""
        lines = list(self._lines)
        for entry in entries:
            if entry.event not in EVENTS:
                raise unknown("event", entry.event, EVENTS, str(self.path))
            lines.append(json.dumps(asdict(entry) | {"before": _digest(lines)}, ensure_ascii=False))
        write_text(self.path, "".join(f"{line}\n" for line in lines))
        write_text(self.path.with_name(HEAD), _head(lines))
        self._lines = lines
        self.entries = tuple(self._checked())

    def _check_head(self) -> None:
        head = self.path.with_name(HEAD)
        held = head.read_text("utf-8") if head.is_file() else ""
        if held.strip() != (_head(self._lines).strip() if self._lines else ""):
            last = f"{self.path.name}:{len(self._lines)}"
            raise InputError(
                f"is not the line that was written last ({HEAD} says {held.strip() or 'nothing'}): the ledger is only "
                f"added to, by papers check KEY --record", last,
            )  # fmt: skip

    def _checked(self) -> Iterable[Entry]:
        last: dict[tuple[str, str], Entry] = {}
        for i, line in enumerate(self._lines):
            where = f"{self.path.name}:{i + 1}"
            try:
                fields = json.loads(line)
                before = fields.pop("before")
                entry = Entry(**fields)
                _numbers(entry.value)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"is no entry of a ledger ({' '.join(str(error).split())})", where) from None
            if before != _digest(self._lines[:i]):
                raise InputError("does not follow from the line above: the ledger is only added to", where)
            problem = _odd(entry, last.get((entry.paper, entry.claim)))
            if problem:
                raise InputError(problem, where)
            last[entry.paper, entry.claim] = entry
            yield entry


def _head(lines: Sequence[str]) -> str:
    return f"{len(lines)} {_digest(lines)}\n"


def _odd(entry: Entry, before: Entry | None) -> str:
    """What is wrong with an entry after the one before it of the same claim; empty if nothing is."""
    claim = f"{entry.paper}.{entry.claim}"
    if entry.event not in EVENTS:
        return f"{entry.event!r} is no event; {', '.join(EVENTS)} are"
    if (entry.event == "first") != (before is None):
        return f"{claim} has no first value before this" if before is None else f"{claim} has one first value already"
    if before is not None and not entry.reason.strip():
        return f"{claim} changed without a reason"
    if before is not None and entry.date < before.date:
        return f"{claim} changed on {entry.date}, before its last entry of {before.date}"
    return ""


def ledger_near(folder: Path | None) -> Ledger | None:
    """The ledger of a paper that lies in `folder`: there, or in a folder above within its package."""
    while folder is not None:
        if (folder / NAME).is_file():
            return Ledger(folder / NAME)
        if not (folder / "__init__.py").is_file():
            return None
        folder = folder.parent
    return None


def moved(then: Any, now: Any) -> bool:
    """Whether a value has changed by more than `MOVED`: a number, or any number of several."""
    a, b = _numbers(then), _numbers(now)
    if len(a) != len(b):
        return True
    return any(abs(x - y) > MOVED * max(abs(x), abs(y)) for x, y in zip(a, b, strict=True))


def changed(last: Entry | None, value: Any, expected: Any, tolerance: float) -> Event | None:
    """What has changed since the entry `last`: "first" before there is one, None where nothing has."""
    if last is None:
        return "first"
    if last.expected != expected:
        return "expectation"
    if last.tolerance != tolerance:
        return "tolerance"
    return "value" if moved(last.value, value) else None


def _numbers(value: Any) -> Sequence[float]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return [x for v in value.values() for x in _numbers(v)]
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in _numbers(v)]
    return (float(value),)


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256(lines[-1].encode()).hexdigest()[:16] if lines else ""

"""What a run takes along: cells that are kept, a budget of time, who is told how far it is.

A method that takes long works through cells (`Lab.cells`): items that are computed one by one, each by itself. A
finished cell is kept on disk under everything that it depends on, so that a run which was interrupted goes on where it
stopped. Ctrl-C ends the cells, and the method makes its figures of those that are finished; a budget ends them when the
next one would not fit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from rooflab.files import keep, kept
from rooflab.inputs.content import digest
from rooflab.papers.budget import Budget
from rooflab.papers.coded import decode, encode
from rooflab.papers.heard import Heard

__all__ = ["Cells", "Step", "Told", "Work"]

K = TypeVar("K")
_DAMAGED: Final = (LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Cells:
    """How many cells of one name a run wanted, took from an earlier one (`kept`), and computed."""

    name: str
    wanted: int
    kept: int = 0
    computed: int = 0

    @property
    def done(self) -> int:
        """Cells that there are."""
        return self.kept + self.computed


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run is: its cells, seconds since it began, seconds that the cells still take (None: not known), and
    whether those that are finished are on disk."""

    cells: Cells
    elapsed_s: float
    left_s: float | None
    safe: bool


Told = Callable[[Step], None]


@dataclass(slots=True, kw_only=True)
class Work:
    """The cells of one run of a method.

    `place` is the folder that they are kept in (None: nowhere). With `partial` Ctrl-C ends the cells and leaves what is
    finished, else it is raised as ever. `told` hears of every cell. Afterwards `cells` says what was done, by name,
    `interrupted` whether Ctrl-C ended it, and `safe` whether all of it could be kept.
    """

    place: Path | None = None
    budget: Budget = field(default_factory=Budget)
    partial: bool = False
    told: Told | None = None
    cells: dict[str, Cells] = field(default_factory=dict)
    interrupted: bool = False
    safe: bool = True
    scope: str = ""
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def inside(self, method: object, given: object) -> Iterator[None]:
        """In this block cells belong to a method that the run's own method runs, on an input of its own."""
        outer = self.scope
        if self.place is not None:
            self.scope = f"{outer} {type(method).__qualname__} {method} {digest(given)}"
        try:
            yield
        finally:
            self.scope = outer

    def through(
        self, name: str, items: Iterable[K], compute: Callable[[K], tuple[Any, Heard]], least: int | None
    ) -> dict[K, tuple[Any, Heard]]:
        """Values of the cells `name` by item, in order, as far as Ctrl-C and the budget let it come.

        `least`: how many serve (None: only all). Raises KeyboardInterrupt when fewer are there.
        """
        wanted = list(dict.fromkeys(items))
        enough = len(wanted) if least is None else min(least, len(wanted))
        found, taken_s = self._kept(name, wanted)
        self._count(name, len(wanted), kept=len(found))
        for item in wanted:
            if item in found:
                continue
            if self.interrupted or (len(found) >= enough and not self.budget.affords(_mean(taken_s))):
                break
            self._tell(name, taken_s, len(wanted) - len(found))
            began = time.monotonic()
            try:
                value, heard = compute(item)
                seconds = time.monotonic() - began
                held = encode(value, f"cell {item} of {name}")
                self._keep(name, item, {"value": held, "heard": heard.record(), "seconds": seconds})
            except KeyboardInterrupt:
                if not self.partial:
                    raise
                self.interrupted = True
                break
            found[item] = decode(held), heard
            taken_s.append(seconds)
            self._count(name, 0, computed=1)
            self._tell(name, taken_s, len(wanted) - len(found))
        if self.interrupted and len(found) < enough:
            raise KeyboardInterrupt
        if not self.interrupted and len(found) < len(wanted):
            self.budget.shrunk(name, len(found), len(wanted))
        return {item: found[item] for item in wanted if item in found}

    def _kept(self, name: str, wanted: Iterable[K]) -> tuple[dict[K, tuple[Any, Heard]], list[float]]:
        """Finished cells by item, and the seconds that each took."""
        found: dict[K, tuple[Any, Heard]] = {}
        taken_s: list[float] = []
        for item in wanted if self.place is not None else ():
            record = kept(self._path(name, item))
            try:
                found[item] = decode(record["value"]), Heard.of(record["heard"])
                taken_s.append(float(record["seconds"]))
            except _DAMAGED:
                found.pop(item, None)
        return found, taken_s

    def _keep(self, name: str, item: Any, record: dict[str, Any]) -> None:
        self.safe &= self.place is not None and keep(self._path(name, item), record)

    def _path(self, name: str, item: Any) -> Path:
        assert self.place is not None
        return self.place / f"{hashlib.sha256(f'{self.scope} {name} {digest(item)}'.encode()).hexdigest()[:32]}.json"

    def _count(self, name: str, wanted: int, *, kept: int = 0, computed: int = 0) -> None:
        was = self.cells.get(name, Cells(name, 0))
        self.cells[name] = Cells(name, was.wanted + wanted, was.kept + kept, was.computed + computed)

    def _tell(self, name: str, taken_s: list[float], left: int) -> None:
        if self.told is not None:
            left_s = _mean(taken_s) * left if taken_s else None
            self.told(Step(self.cells[name], time.monotonic() - self.started, left_s, self.safe))


def _mean(taken_s: list[float]) -> float:
    return sum(taken_s) / len(taken_s) if taken_s else 0.0

"""A lab that gives its former answers again, in order and whatever it is asked: what changes then was done by the code
alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

from rooflab.errors import InputError
from rooflab.papers.condition import Condition
from rooflab.papers.heard import Answer, Heard
from rooflab.papers.lab import Engines, Lab
from rooflab.scenario.scenario import Scenario, Technique

__all__ = ["Learnt", "Replay"]

T = TypeVar("T")
K = TypeVar("K")

_COSTLY_S: Final = 0.05
"""Seconds of the processor from which on what a paper computed itself is given again, too, and not computed anew: of
one result; four times as long of all together. What was quick at first since something remembered it, and takes long
in code that is loaded anew, is computed there once."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """Scenarios with a technique in them, by both in words, and answers that take long to compute anew, by their number
    in memory."""

    applied: dict[tuple[str, str], Scenario] = field(default_factory=dict)
    costly: dict[int, Answer] = field(default_factory=dict)


class Replay(Lab):
    """A lab after the `answers` of another one. What it learns on the way is put into `learnt`, for the next one after
    the same answers; what a paper computed itself is given again, too, where it is costly or all of it is (`whole`).
    Raises InputError when it is asked for more than those answers."""

    def __init__(
        self, engines: Engines, answers: Sequence[Answer], condition: Condition | None = None,
        learnt: Learnt | None = None, *, whole: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(engines, condition)
        self._learnt = learnt or Learnt()
        self._next: Iterator[Answer] = iter(answers)
        self._costly = whole or sum(a.seconds for a in answers if not a.engine) > 4 * _COSTLY_S

    def with_technique(self, scenario: Scenario, technique: Technique | None) -> Scenario:
        """As ever, but each technique is put into a scenario once, even if that takes a search."""
        key, applied = (repr(scenario), repr(technique)), self._learnt.applied
        if key not in applied:
            applied[key] = super().with_technique(scenario, technique)
        return applied[key]

    def cells(
        self, name: str, items: Iterable[K], compute: Callable[[K], T], *, least: int | None = None
    ) -> dict[K, T]:
        """Values of the same cells as before, one by one."""
        return {item: self._answer((name, item), partial(compute, item), engine=False) for item in dict.fromkeys(items)}

    def _answer(self, key: Any, compute: Callable[[], T], *, engine: bool) -> T:
        answer = next(self._next, None)
        if answer is None or answer.engine != engine:
            raise InputError("is asked for otherwise than before", "a lab that answers again")
        if engine or self._costly or answer.seconds > _COSTLY_S or id(answer) in self._learnt.costly:
            return cast(T, answer.value)
        if key not in self._results:
            outer, self._next = self._next, iter(answer.inner)
            started = time.process_time()
            try:
                self._results[key] = compute(), Heard()
            finally:
                self._next = outer
                if time.process_time() - started > _COSTLY_S:
                    self._learnt.costly[id(answer)] = answer
        return cast(T, self._results[key][0])

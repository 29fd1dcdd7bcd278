"""A lab that gives its former answers again, in order and whatever it is asked: what changes then was done by the code
alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

from rooflab.errors import InputError
from rooflab.papers.condition import Condition
from rooflab.papers.heard import Answer, Heard
from rooflab.papers.lab import Engines, Lab
from rooflab.scenario.scenario import Scenario, Technique

__all__ = ["Replay"]

T = TypeVar("T")
K = TypeVar("K")

_COSTLY_S: Final = 0.05
"""Seconds of the processor from which on what a paper computed itself is given again, too, and not computed anew: of
one result; four times as long of all together."""


class Replay(Lab):
    """A lab after the `answers` of another one; scenarios with a technique in them are taken from `applied` and put
    there. Raises InputError when it is asked for more than those answers."""

    def __init__(
        self, engines: Engines, answers: Sequence[Answer], condition: Condition | None = None,
        applied: dict[tuple[str, str], Scenario] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(engines, condition)
        self._applied = {} if applied is None else applied
        self._next: Iterator[Answer] = iter(answers)
        self._costly = sum(a.seconds for a in answers if not a.engine) > 4 * _COSTLY_S

    def with_technique(self, scenario: Scenario, technique: Technique | None) -> Scenario:
        """As ever, but each technique is put into a scenario once, even if that takes a search."""
        key = repr(scenario), repr(technique)
        if key not in self._applied:
            self._applied[key] = super().with_technique(scenario, technique)
        return self._applied[key]

    def cells(
        self, name: str, items: Iterable[K], compute: Callable[[K], T], *, least: int | None = None
    ) -> dict[K, T]:
        """Values of the same cells as before, one by one."""
        return {item: self._answer((name, item), partial(compute, item), engine=False) for item in dict.fromkeys(items)}

    def _answer(self, key: Any, compute: Callable[[], T], *, engine: bool) -> T:
        answer = next(self._next, None)
        if answer is None or answer.engine != engine:
            raise InputError("is asked for otherwise than before", "a lab that answers again")
        if engine or self._costly or answer.seconds > _COSTLY_S:
            return cast(T, answer.value)
        if key not in self._results:
            outer, self._next = self._next, iter(answer.inner)
            try:
                self._results[key] = compute(), Heard()
            finally:
                self._next = outer
        return cast(T, self._results[key][0])

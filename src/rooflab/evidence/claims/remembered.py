"""Engines that remember: what was asked before, of the same scenario and with the same constants in force, is not
computed again.

Under most conditions of an audit most of what a claim asks its engines stays as it was: one end of an assumption
changes one side of a comparison, a technique that is taken out leaves the other. Scenarios are compared as a whole, by
value. Changed code is never answered from here: it may have put other policies in under the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from rooflab.costs.engine_constants import active
from rooflab.papers.lab import Engines
from rooflab.scenario.scenario import Scenario

__all__ = ["remembering"]

A = TypeVar("A")

_PLAIN: Final = (bool, int, float, str, type(None))


def remembering(engines: Engines) -> Engines:
    """`engines` that remember what they said."""
    return replace(
        engines, estimate=_once(engines.estimate), simulate=_once(engines.simulate), engine=_once(engines.engine),
        operators=_once(engines.operators),
    )  # fmt: skip


def _once(ask: Callable[..., A]) -> Callable[..., A]:
    said: dict[Any, A] = {}

    def asked(scenario: Scenario, *how: str, **options: Any) -> A:
        if not all(isinstance(x, _PLAIN) for x in options.values()):
            return ask(scenario, *how, **options)
        key = scenario, how, tuple(sorted(options.items())), id(active())
        if key not in said:
            said[key] = ask(scenario, *how, **options)
        return said[key]

    return asked

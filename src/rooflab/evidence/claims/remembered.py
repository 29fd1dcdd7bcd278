"""Engines that remember: what was asked before, of the same scenario and with the same constants in force (calibration,
kernels, curves of power), is not computed again.

Under most conditions of an audit most of what a claim asks its engines stays as it was: one end of an assumption
changes one side of a comparison, a technique that is taken out leaves the other. Scenarios are compared as a whole, by
value. Changed code is never answered from here: it may have put other policies in under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Final, TypeVar

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
    said: dict[Any, tuple[A, object]] = {}

    def asked(scenario: Scenario, *how: str, **options: Any) -> A:
        if not all(isinstance(x, _PLAIN) for x in options.values()):
            return ask(scenario, *how, **options)
        force = [value for var, value in copy_context().items() if var.name.startswith("rooflab")]
        key = scenario, how, tuple(sorted(options.items())), tuple(map(_known, force))
        if key not in said:
            said[key] = ask(scenario, *how, **options), force
        return said[key][0]

    return asked


def _known(value: object) -> Hashable:
    """What tells a value from others: itself, or its number in memory, where it has to stay."""
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value

"""Engines that remember: what was asked before, of the same scenario and with the same constants in force (calibration,
kernels, curves of power), is not computed again.

Under most conditions of an audit most of what a claim asks its engines stays as it was: one end of an assumption
changes one side of a comparison, a technique that is taken out leaves the other. Scenarios are compared as a whole, by
value, and so are engines that were made for one already. Changed code is never answered from here: it may have put
other policies in under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Final, TypeVar

from rooflab.costs.once import in_force
from rooflab.deploy.engine import Engine
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
        told = {name: _told(value) for name, value in options.items()}
        if None in told.values():
            return ask(scenario, *how, **options)
        held, force = in_force()
        key = scenario, how, tuple(sorted(told.items())), force
        if key not in said:
            said[key] = ask(scenario, *how, **options), held
        return said[key][0]

    return asked


def _told(value: Any) -> Hashable:
    """What tells an option from others: its type and itself, or what engines are made of; None where nothing does."""
    if isinstance(value, _PLAIN):
        return type(value).__name__, value
    if isinstance(value, tuple) and all(isinstance(x, Engine) for x in value):
        return "engines", tuple((e.model, e.hardware, e.deployment, e.rewrites, e.cross_tokens, e.pool) for e in value)
    return None

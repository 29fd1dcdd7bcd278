"""Step prices that are computed once inside a block: many questions are about the same engine.

Prices are the same where model, hardware, the parts of a deployment that a price depends on, what rewrites its
operators, and the constants in force are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final

from rooflab.costs.step import StepCosts
from rooflab.scenario.deployment import Priced, priced
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model

__all__ = ["in_force", "pricing_once", "remembered"]

_FORCED: Final = "rooflab_"
"""How the names of what holds constants in force begin."""
_PRICED: ContextVar[dict[Any, tuple[StepCosts, object]] | None] = ContextVar("priced_once", default=None)


@contextmanager
def pricing_once() -> Iterator[None]:
    """In this block steps of one engine are priced once."""
    token = _PRICED.set({})
    try:
        yield
    finally:
        _PRICED.reset(token)


def remembered(
    compute: Callable[[], StepCosts], model: Model, hardware: Hardware, deployments: Sequence[Priced], *how: Hashable
) -> StepCosts:
    """What `compute` gives, or gave before for the same; `how` is what else it depends on. Only prices of one
    deployment are kept, and none outside of `pricing_once`."""
    known = _PRICED.get()
    if known is None or len(deployments) != 1:
        return compute()
    held, force = in_force()
    key = model, hardware, priced(deployments[0]), how, force
    try:
        found = known.get(key)
    except TypeError:  # a rewrite that cannot be told from others
        return compute()
    if found is None:
        found = known[key] = compute(), held
    return found[0]


def in_force() -> tuple[list[object], tuple[Hashable, ...]]:
    """Constants that prices are computed with beside those that ship (calibration, kernels, curves of power), and what
    tells them from others as long as they are kept."""
    held = [value for var, value in copy_context().items() if var.name.startswith(_FORCED)]
    return held, tuple(map(_told, held))


def _told(value: object) -> Hashable:
    """What tells a value from others: itself, or its number in memory, where it has to stay."""
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value

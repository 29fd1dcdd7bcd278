"""What a capping policy of a row of servers is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["NO_CAPS", "Caps", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Servers of class `group` run at clock number `clock` from when power exceeds `above` of the budget until it is
    under `below`.

    `after`: number of the rule that must be in effect first (−1: none).
    """

    group: int
    above: float
    below: float
    clock: int
    after: int = -1


@dataclass(frozen=True, slots=True)
class Caps:
    """A capping policy: its rules, how long a command takes to act, and the brake above the budget (a clock; −1: there
    is none)."""

    rules: tuple[Rule, ...] = ()
    delay_s: float = 40.0
    brake: int = -1
    brake_s: float = 5.0


NO_CAPS: Final = Caps()

"""What a capping policy of a row of servers is made of, and which of its servers are of which class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["NO_CAPS", "Caps", "Rule", "two_classes"]


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


def two_classes(share_high: float, servers: int) -> npt.NDArray[np.int64]:
    """Class of each of `servers`: 1 for the share `share_high` (spread evenly, so that any first ones have it), else
    0."""
    i = np.arange(servers + 1)
    out: npt.NDArray[np.int64] = np.diff(np.floor(i * share_high + 0.5).astype(np.int64))
    return out

"""Capping policies of a row: two thresholds with the less urgent servers first, one threshold, none."""

from __future__ import annotations

from typing import Final, Literal

from rooflab.simulator.power_rules import Caps, Rule

__all__ = ["BRAKE", "CLOCKS_MHZ", "HIGH", "LOW", "POLICIES", "SHARES", "STAGES", "Policy", "policy"]

CLOCKS_MHZ: Final = (1410.0, 1305.0, 1275.0, 1110.0, 288.0)
"""Full clock, high priority capped, low priority capped, low priority capped further, brake (A100; elsewhere the same
shares)."""
SHARES: Final = tuple(round(c / CLOCKS_MHZ[0], 3) for c in CLOCKS_MHZ)
LOW, HIGH = 0, 1
"""Classes of servers."""
_HIGH_CAPPED, _LOW_CAPPED, _LOW_CAPPED_FURTHER, BRAKE = 1, 2, 3, 4
"""Places in `CLOCKS_MHZ`."""
STAGES: Final = ((0, 0), (_LOW_CAPPED, 0), (_LOW_CAPPED_FURTHER, 0), (_LOW_CAPPED_FURTHER, _HIGH_CAPPED))
"""Clocks of low and of high priority as the policy lowers them, one step after the other."""
_GAP: Final = 0.05
"""Share of the budget that power falls under a threshold before its cap goes."""

Policy = Literal["two thresholds", "one threshold", "one threshold, low priority", "no cap"]
POLICIES: Final[tuple[Policy, ...]] = ("two thresholds", "one threshold", "one threshold, low priority", "no cap")
"""The paper's, and its rivals (section 6): all servers at the second threshold, those of low priority there, the row's
own brake alone."""


def policy(name: Policy, *, low: float, high: float, delay_s: float) -> Caps:
    """The rules of a policy with thresholds at the shares `low` and `high` of the budget; commands take `delay_s`.

    One threshold is the second, and lowers clocks as far as the lowest cap of the two-threshold policy. Every policy
    has the brake behind it.
    """
    rules: tuple[Rule, ...] = ()
    if name == "two thresholds":
        rules = (
            Rule(LOW, low, low - _GAP, _LOW_CAPPED),
            Rule(LOW, high, high - _GAP, _LOW_CAPPED_FURTHER),
            Rule(HIGH, high, high - _GAP, _HIGH_CAPPED, after=1),
        )
    elif name != "no cap":
        classes = (LOW,) if name == "one threshold, low priority" else (LOW, HIGH)
        rules = tuple(Rule(c, high, high - _GAP, _LOW_CAPPED_FURTHER) for c in classes)
    return Caps(rules, delay_s, brake=BRAKE)

"""A number that knows where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rooflab.metrics.registry import metric
from rooflab.units import significant

__all__ = ["Kind", "Value"]

Kind = Literal["measured", "fitted", "datasheet", "roofline", "assumed"]
"""What a number rests on, the firmest first; of several the weakest speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A metric's number in its unit, the 90 % interval [low, high] around it (NaN where none is known), and what both
    rest on: `kind` in a word, `source` in a sentence."""

    metric: str
    number: float
    kind: Kind
    low: float = math.nan
    high: float = math.nan
    source: str = ""

    @property
    def unit(self) -> str:
        """The unit of the metric."""
        return metric(self.metric).unit

    def __float__(self) -> float:
        return self.number

    def __str__(self) -> str:
        around = f" ({significant(self.low)} – {significant(self.high)})" if math.isfinite(self.low) else ""
        return f"{significant(self.number)}{around} {self.unit}, {self.source or self.kind}".replace("  ", " ")

"""What was asked of a lab, or of a part of its work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rooflab.papers.condition import Assumption
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.costs.engine_constants import ServingCalibration

__all__ = ["Answer", "Heard"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A result that a lab gave: an engine's (`engine`), or what a paper computed itself, in `seconds` of the processor,
    by way of the results `inner`."""

    value: Any
    engine: bool
    seconds: float
    inner: tuple[Answer, ...] = ()


@dataclass(slots=True, kw_only=True)
class Heard:
    """Names of inputs that were handed over, assumptions and data by name, scenarios that engines were asked for with
    the constants in force, and whether a seed or random numbers were asked for; the results that were given, in order,
    and the seconds of the processor that they took."""

    asked: dict[str, None] = field(default_factory=dict)
    assumed: dict[str, Assumption] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    priced: dict[int, tuple[Scenario, ServingCalibration]] = field(default_factory=dict)
    drew: bool = False
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Heard) -> None:
        """What another record has, too; its results are steps on the way to one of this."""
        self.asked |= other.asked
        self.assumed |= other.assumed
        self.data |= other.data
        self.priced |= other.priced
        self.drew |= other.drew

    def record(self) -> list[Any]:
        """What has to be known of a cell that is not computed again, as plain values: what it assumed, whether it
        drew."""
        return [self.drew, *([a.name, a.value, a.low, a.high, a.source] for a in self.assumed.values())]

    @classmethod
    def of(cls, record: list[Any]) -> Heard:
        """What `record` was made of, as far as it goes. Raises TypeError or ValueError for anything else."""
        drew, *assumed = record
        return cls(assumed={a[0]: Assumption(*a) for a in assumed}, drew=drew)

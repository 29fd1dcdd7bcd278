"""What is changed on purpose while a claim runs again: the audit's side of a lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rooflab.inputs.perturb import Perturbation

__all__ = ["Assumption", "Condition"]


@dataclass(frozen=True, slots=True)
class Assumption:
    """A choice that nobody published: what is taken, and the ends between which it could as well lie."""

    name: str
    value: float
    low: float
    high: float
    source: str

    def at(self, end: Literal["", "low", "high"]) -> float:
        """The value taken, or an end."""
        return self.value if not end else self.low if end == "low" else self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """At most one thing is changed at a time, assumptions aside, which may go to their ends together.

    `perturbation` scales a physical input or a datum, `at_engines` only in what an engine is asked for, so that code
    which reads a datasheet and asks no engine sees nothing of it; `shifted` moves a datum of the paper (published
    numbers) while all else stays; `disturbance` changes samples of a kind ("vectors: shuffle labels"); `bare` leaves
    techniques out; `ablated` runs methods without their idea; `assumptions` are (name, end). `seed` draws what is
    random; with `reseeded` so do workloads, which have a seed of their own.
    """

    perturbation: Perturbation | None = None
    at_engines: bool = False
    shifted: str = ""
    disturbance: str = ""
    bare: bool = False
    ablated: bool = False
    assumptions: tuple[tuple[str, Literal["low", "high"]], ...] = ()
    seed: int = 0
    reseeded: bool = False

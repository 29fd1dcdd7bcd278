"""A published figure, the function that computes it, and what would move it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from rooflab.papers.expectation import Expectation, Got

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab

__all__ = [
    "KINDS", "ROLES", "Claim", "ClaimFunction", "ClaimKind", "Move", "NotModelled", "Null", "Reading", "Role",
]  # fmt: skip

ClaimKind = Literal["executed", "modelled", "analogue", "derived"]
"""The paper's algorithm on its own or published data; the engine's prices and simulations; its algorithm on other data
(shown beside the published figure, never reproduced); arithmetic on other figures of the same paper."""
Role = Literal["headline", "detail", "fact"]
"""Of the abstract; of a table or a figure; of the set-up."""
ClaimFunction = Callable[["Lab"], Got]
KINDS: Final[tuple[str, ...]] = get_args(ClaimKind)
ROLES: Final[tuple[str, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Move:
    """How a figure moves when an input doubles: `sign` up (1) or down (−1); `power`, where known, is about d ln figure
    / d ln input."""

    sign: int
    power: float | None = None


@dataclass(frozen=True, slots=True)
class Null:
    """What a figure becomes without the paper's idea.

    `by`: "technique" (taken out of every scenario that the lab is asked for), "ablation" (the method's own ablated
    form), or a disturbance of the method's input ("vectors: shuffle labels"). `value` is what the figure then is, None:
    anything at which the claim fails.
    """

    by: str
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a reader gets a claim's figure: `papers run` with `method` and `settings` on the paper's own `setup`, on a
    `sample` or on a `scenario` as its file says it (all empty: the first that there is), and of what comes out one of
    the `figures` (several: members of a range, or values by the names that the claim gives): its value, its baseline or
    its gain."""

    figures: Mapping[str, str] = field(hash=False)
    method: str = ""
    setup: str = ""
    sample: str = ""
    scenario: Mapping[str, Any] = field(default_factory=dict, hash=False)
    of: Literal["value", "baseline", "gain"] = "value"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A published figure and the function that computes it.

    `tolerance` is a share of the figure; `wider` gives the reason where it is above 15 %. `group` names the table or
    figure that it belongs to: one finding. `moves`: inputs and how the figure follows them. `null`: what remains
    without the idea. `inputs` names data of the claim that restate a published figure, with the reason why it has to be
    put in. `chooses` says why the figure is the best of several set-ups, where the paper itself takes that. `reading`
    is how a reader gets it. `note` says what explains a gap.
    """

    paper: str
    id: str
    text: str
    expect: Expectation
    unit: str
    tolerance: float
    source: str
    role: Role
    group: str
    kind: ClaimKind
    function: ClaimFunction
    moves: Mapping[str, Move] = field(default_factory=dict, hash=False)
    null: Null | None = None
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)
    reading: Reading | None = None
    wider: str = ""
    chooses: str = ""
    note: str = ""

    def error(self, got: Got) -> float:
        """Signed distance of `got` from what is stated, as a share of it; see `Expectation.error`."""
        return self.expect.error(got)

    def holds(self, got: Got) -> bool:
        """Whether `got` agrees with the published figure."""
        return self.expect.holds(got, self.tolerance)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModelled:
    """A published figure that is not computed, and why."""

    id: str
    text: str
    expect: Expectation | None
    reason: str
    unit: str = ""
    role: Role = "detail"
    group: str = ""

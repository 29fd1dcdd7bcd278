"""Cards: what a paper of the feed is, without importing any. Facts in ``data/cards.json``, sentences our own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from rooflab.errors import unknown

__all__ = ["KINDS", "RESOURCES", "Card", "card", "cards"]

KINDS: Final = (
    "agents", "code-efficiency", "data-systems", "energy-footprint", "evaluation", "hardware", "model-architecture",
    "quantization",
    "retrieval", "serving", "survey", "training", "vision-edge", "other",
)  # fmt: skip
RESOURCES: Final = (
    "compute",
    "memory",
    "bandwidth",
    "network",
    "storage",
    "latency",
    "energy",
    "power",
    "money",
    "tokens",
    "labour",
)
"""What a paper may save; "power" is what a site has to provide, "labour" people's time and the effort of tuning or
evaluating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A paper of the feed: `date` of the first version (``2024-08-22``, or the month where the day is not known).

    `claimed`: how many times better the abstract of the first version says it is, `claimed_of` what; a share that is
    saved is one over what is left. `terms` are words that people search it by and that stand nowhere else on the card.
    `runnable`: some package offers it as a paper that runs, which `rooflab.feed.listing` finds out.
    """

    key: str
    seed: int
    name: str
    title: str
    date: str
    url: str
    kind: str
    saves: tuple[str, ...]
    does: str
    terms: str = ""
    claimed: float | None = None
    claimed_of: str = ""
    runnable: bool = False

    @property
    def status(self) -> str:
        """Whether it can be run, in words."""
        return "runnable" if self.runnable else "not runnable yet"

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        facts = {name: value for name, value in asdict(self).items() if name not in ("terms", "runnable")}
        return facts | {"status": self.status}


@cache
def cards() -> tuple[Card, ...]:
    """The cards that ship, by number; `runnable` is left for the listing to say."""
    text = resources.files("rooflab.papers").joinpath("data/cards.json").read_text(encoding="utf-8")
    return tuple(Card(**(entry | {"saves": tuple(entry["saves"])})) for entry in json.loads(text))


def card(key: str) -> Card:
    """The card called `key`. Raises InputError with the nearest keys."""
    for c in cards():
        if c.key == key:
            return c
    raise unknown("paper", key, [c.key for c in cards()])

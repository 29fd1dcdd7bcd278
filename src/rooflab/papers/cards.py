"""The cards of the feed: what every listed paper is, without importing any. Facts in ``data/cards.json``, sentences our
own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

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
    "money",
    "tokens",
    "labour",
)
"""What a paper may save; "labour" is people's time and the effort of tuning or evaluating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A paper of the feed: `date` of the first version (``2024-08-22``, or the month where the day is not known).

    `terms` are words that people search it by and that stand nowhere else on the card.
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


@cache
def cards() -> tuple[Card, ...]:
    """All cards, by number."""
    text = resources.files("rooflab.papers").joinpath("data/cards.json").read_text(encoding="utf-8")
    return tuple(Card(**(entry | {"saves": tuple(entry["saves"])})) for entry in json.loads(text))


def card(key: str) -> Card:
    """The card called `key`. Raises InputError with the nearest keys."""
    for c in cards():
        if c.key == key:
            return c
    raise unknown("paper", key, [c.key for c in cards()])

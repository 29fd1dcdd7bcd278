"""How good the classification is, over a folder of labelled papers: each is classified as if its card did not exist.

A folder holds one YAML file a paper with ``n`` (the number of its card), ``title``, ``abstract``, and ``claims`` with
``value`` and ``source``. Kinds and resources are the cards'. A claim counts for recall when its source is the abstract
and its number stands there; a figure counts as right when its number is one of the paper's claims, their baselines or
conditions. Claims are a selection, so that this precision is a lower bound.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.feed.classify import RELEVANT, Classified, Classifier
from rooflab.papers.cards import RESOURCES, Card
from rooflab.source.yaml_file import yaml_value

__all__ = ["Labelled", "Scores", "evaluate", "read_labelled"]

_NUMBER: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A paper with its card, and the numbers that are known of it: `claimed` in its abstract, and `known` at all."""

    card: Card
    title: str
    abstract: str
    claimed: frozenset[float]
    known: frozenset[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Shares of right answers; `wrong` are keys with the kind that they have and the one that they were given.

    `resources` is the share of yes and no over all resources, `never` what it would be for "no" throughout.
    """

    papers: int
    relevant: float
    kind: float
    usual: float
    resources: float
    never: float
    resources_precision: float
    resources_recall: float
    resources_exact: float
    figures_claimed: int
    figures_recall: float
    figures_found: int
    figures_precision: float
    wrong: tuple[tuple[str, str, str], ...]

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "wrong"}
        return told | {"wrong": [dict(zip(("paper", "kind", "given"), w, strict=True)) for w in self.wrong]}


def read_labelled(folder: str | Path, cards: Sequence[Card]) -> list[Labelled]:
    """Papers of a folder that have a card. Raises InputError where there are none, or a file is none."""
    by: dict[object, Card] = {card.seed: card for card in cards}
    found = []
    paths = sorted(Path(folder).glob("*.yaml")) if Path(folder).is_dir() else []
    for path in paths:
        value = yaml_value(path)
        if not isinstance(value, Mapping) or not all(isinstance(value.get(k), str) for k in ("title", "abstract")):
            raise InputError("has no title and abstract", str(path))
        card = by.get(value.get("n"))
        if card is not None:
            found.append(_labelled(card, value))
    if not found:
        raise InputError("holds no labelled paper (NAME.yaml with n, title, abstract and claims)", str(folder))
    return found


def _labelled(card: Card, value: Mapping[str, Any]) -> Labelled:
    abstract = value["abstract"]
    there = _numbers(abstract)
    claims = [c for c in value.get("claims") or () if isinstance(c, Mapping)]
    claimed = frozenset(
        number
        for c in claims
        if "abs" in str(c.get("source", ""))
        for number in _numbers(c.get("value"))
        if number in there
    )
    parts = ("value", "baseline", "conditions", "statement")
    known = frozenset(number for c in claims for part in parts for number in _numbers(c.get(part)))
    return Labelled(card, value["title"], abstract, claimed, known)


def _numbers(value: Any) -> frozenset[float]:
    return frozenset(float(text.replace(",", "")) for text in _NUMBER.findall(str(value)))


def evaluate(labelled: Sequence[Labelled], classifier: Classifier) -> Scores:
    """Classify each paper without its card and compare."""
    answers = [(one, classifier.classify(one.title, one.abstract, without=one.card.key)) for one in labelled]
    n = len(answers)
    kinds = Counter(one.card.kind for one in labelled)
    right = sum(one.card.kind == got.kind for one, got in answers)
    cells = [(r in one.card.saves, r in got.saves) for one, got in answers for r in RESOURCES]
    hits = sum(is_ and told for is_, told in cells)
    found, claimed = _figures(answers)
    return Scores(
        papers=n, relevant=sum(got.relevance >= RELEVANT for _, got in answers) / n, kind=right / n,
        usual=kinds.most_common(1)[0][1] / n, resources=sum(a == b for a, b in cells) / len(cells),
        never=sum(not is_ for is_, _ in cells) / len(cells),
        resources_precision=hits / max(sum(told for _, told in cells), 1),
        resources_recall=hits / max(sum(is_ for is_, _ in cells), 1),
        resources_exact=sum(set(one.card.saves) == set(got.saves) for one, got in answers) / n,
        figures_claimed=claimed[1], figures_recall=claimed[0] / max(claimed[1], 1), figures_found=found[1],
        figures_precision=found[0] / max(found[1], 1),
        wrong=tuple((one.card.key, one.card.kind, got.kind) for one, got in answers if one.card.kind != got.kind),
    )  # fmt: skip


def _figures(answers: Iterable[tuple[Labelled, Classified]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of figures found the right ones and all, of claims the found ones and all."""
    found, claimed = [0, 0], [0, 0]
    for one, got in answers:
        ends = {end for f in got.figures for end in (f.low, f.high)}
        claimed[0] += len(one.claimed & ends)
        claimed[1] += len(one.claimed)
        found[0] += sum(f.low in one.known or f.high in one.known for f in got.figures)
        found[1] += len(got.figures)
    return (found[0], found[1]), (claimed[0], claimed[1])

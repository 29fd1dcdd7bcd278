"""What a paper is about, from its title and abstract: kind, resources saved, figures claimed, nearest papers that run,
and whether it is about efficiency at all.

Rules: words and word groups of ``data/terms.json`` point to kinds and resources,

    rule(c) = Σ_t w(t, c) · (ln(1 + n_t) + h · [t in the title])

and cards that are alike (BM25 of SQLite over names, titles and sentences of the cards) vote in proportion to their
score. Of resources the kind speaks, too: the log-odds of a resource among the cards of that kind. Relevance is a
logistic function of the rule score of words of efficiency; what is below one half has no kind but "other".

The words and the few constants here were chosen with the 94 cards in view; the votes and the odds are of the cards
themselves, so that a card that is left out (`without`) counts in neither.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rooflab.feed.figures import Claimed, figures
from rooflab.feed.search import words
from rooflab.papers.cards import KINDS, RESOURCES, Card
from rooflab.store.papers import Paper

__all__ = ["RELEVANT", "Classified", "Classifier", "rules_digest"]

RELEVANT: Final = 0.5
"""From where on a paper is taken to be about efficiency."""

_TITLE: Final = 2.5
_VOTE: Final = 4.0
_VOTE_SAVES: Final = 2.0
_PRIOR_SAVES: Final = 0.5
_LEAST_SAVES: Final = 1.5
_NEXT_SAVES: Final = 0.4
"""A second or third resource has this share of the first's score at least."""
_MOST_SAVES: Final = 3
_CLAIMED: Final = 1.0
"""What a figure that is claimed of a resource adds to it."""
_VOTERS: Final = 5
_NEAREST: Final = 3
_TERMS: Final = 40
"""Words of a paper, the most frequent, that cards are searched by."""
_MIDDLE: Final = 3.0
_WIDTH: Final = 1.0
"""Where relevance is one half, and over which distance of the score it changes by a factor of e."""
_CLAIMS: Final = 3
_COMPUTING: Final = 0.7
_ELSEWHERE: Final = 10.0
"""Figures that speak for relevance at most; the score of words of computing below which a text is about another field,
and what that takes from its relevance."""
_PARTS: Final = ("kinds", "saves", "efficiency", "computing")
_COMMON: Final = re.compile(
    r"(we|our|the|a|an|of|to|and|in|is|for|that|with|by|on|are|this|as|it|be|can|which|from|at|or|their|these|have|has|than|"
    r"using|use|such|into|not|also|more|its|paper|show|propose|results|based|while|both|between|they|how|each|when)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """What rules make of a paper; `nearest` are keys of papers that can be run, the most alike first."""

    kind: str
    saves: tuple[str, ...]
    figures: tuple[Claimed, ...]
    nearest: tuple[str, ...]
    relevance: float


class Classifier:
    """Rules over `cards`; `runnable` are keys of those that can be run."""

    def __init__(self, cards: Sequence[Card], runnable: Iterable[str]) -> None:
        self._cards = {card.key: card for card in cards}
        self._runnable = frozenset(runnable)
        self._known: dict[tuple[str, str], Mapping[str, float]] = {}
        self._db = sqlite3.connect(":memory:")
        self._db.execute("CREATE VIRTUAL TABLE c USING fts5 (key UNINDEXED, title, does, tokenize='porter unicode61')")
        self._db.executemany(
            "INSERT INTO c VALUES (?, ?, ?)",
            [(card.key, f"{card.title} {card.name} {card.terms}", card.does) for card in cards],
        )

    def close(self) -> None:
        """Let go of the index."""
        self._db.close()

    def classify(self, title: str, abstract: str, without: str = "") -> Classified:
        """What a paper is about, as if the card `without` did not exist."""
        head, body = _grams(words(title)), _grams(words(abstract))
        claimed = figures(abstract)
        relevance = _relevance(head, body, len(claimed))
        if relevance < RELEVANT:
            return Classified(kind="other", saves=(), figures=claimed, nearest=(), relevance=relevance)
        alike = self._alike(title, abstract, without)
        kind = self._kind(_scores("kinds", head, body), alike)
        told = _scores("saves", head, body)
        for resource in {one.saves for one in claimed if one.saves}:
            told[resource] += _CLAIMED
        saves = self._saves(told, alike, kind, without)
        nearest = tuple(card.key for card, _ in alike if card.key in self._runnable)[:_NEAREST]
        return Classified(kind=kind, saves=saves, figures=claimed, nearest=nearest, relevance=relevance)

    def prepared(self, papers: Iterable[Paper]) -> list[Paper]:
        """Papers with what the rules make of them."""
        name, out = rules_digest(), []
        for paper in papers:
            found = self.classify(paper.title, paper.abstract)
            out.append(
                replace(
                    paper, kind=found.kind, saves=found.saves, figures=tuple(f.record() for f in found.figures),
                    nearest=found.nearest, relevance=round(found.relevance, 4), classified=name,
                )
            )  # fmt: skip
        return out

    def _alike(self, title: str, abstract: str, without: str) -> list[tuple[Card, float]]:
        """Cards by BM25, the most alike first."""
        found = re.findall(r"\w\w+", f"{title} {abstract}".lower())
        every = Counter(word for word in found if not _COMMON.fullmatch(word))
        asked = " OR ".join(f'"{word}"' for word, _ in every.most_common(_TERMS))
        if not asked:
            return []
        rows = self._db.execute(
            "SELECT key, bm25(c, 0, 2, 1) AS s FROM c WHERE c MATCH ? ORDER BY s LIMIT 40", (asked,)
        )
        return [(self._cards[key], -score) for key, score in rows if key != without]

    @staticmethod
    def _kind(score: defaultdict[str, float], alike: Sequence[tuple[Card, float]]) -> str:
        voters = alike[:_VOTERS]
        total = sum(weight for _, weight in voters)
        for card, weight in voters:
            score[card.kind] += _VOTE * weight / total
        return max(KINDS, key=lambda kind: score[kind])

    def _saves(
        self, score: defaultdict[str, float], alike: Sequence[tuple[Card, float]], kind: str, without: str
    ) -> tuple[str, ...]:
        voters = alike[:_VOTERS]
        total = sum(weight for _, weight in voters)
        for card, weight in voters:
            for resource in card.saves:
                score[resource] += _VOTE_SAVES * weight / total
        for resource, odds in self._odds(kind, without).items():
            score[resource] += _PRIOR_SAVES * odds
        ordered = sorted(RESOURCES, key=lambda resource: -score[resource])
        least = max(_LEAST_SAVES, _NEXT_SAVES * score[ordered[0]])
        kept = [resource for resource in ordered[:_MOST_SAVES] if score[resource] >= least]
        return tuple(kept or ordered[:1])

    def _odds(self, kind: str, without: str) -> Mapping[str, float]:
        """Log-odds of each resource among the cards of a kind, drawn towards those among all."""
        if (kind, without) not in self._known:
            others = [card for card in self._cards.values() if card.key != without]
            same = [card for card in others if card.kind == kind]
            odds = {}
            for resource in RESOURCES:
                share = (sum(resource in c.saves for c in others) + 0.5) / (len(others) + 1)
                own = (sum(resource in c.saves for c in same) + 2 * share) / (len(same) + 2)
                odds[resource] = math.log(own / (1 - own))
            self._known[kind, without] = odds
        return self._known[kind, without]


def _relevance(head: Mapping[str, int], body: Mapping[str, int], claims: int) -> float:
    """How far it is about efficiency: its words, and figures that it claims; without a word of computing, hardly."""
    score = _scores("efficiency", head, body)["efficiency"] + min(claims, _CLAIMS)
    if _scores("computing", head, body)["computing"] < _COMPUTING:
        score -= _ELSEWHERE
    return 1 / (1 + math.exp((_MIDDLE - score) / _WIDTH))


def _grams(stems: Sequence[str]) -> Counter[str]:
    """Words and groups of two and three."""
    found = Counter(stems)
    found.update(map(" ".join, pairwise(stems)))
    found.update(map(" ".join, zip(stems, stems[1:], stems[2:], strict=False)))
    return found


def _scores(part: str, head: Mapping[str, int], body: Mapping[str, int]) -> defaultdict[str, float]:
    out: defaultdict[str, float] = defaultdict(float)
    table = _terms()[part]
    for term in table.keys() & (head.keys() | body.keys()):
        much = math.log1p(body.get(term, 0)) + _TITLE * (term in head)
        for name, weight in table[term]:
            out[name] += weight * much
    return out


@cache
def _terms() -> Mapping[str, Mapping[str, Sequence[tuple[str, float]]]]:
    """By part and stemmed term: what it points to, and how strongly."""
    given = json.loads(_data())
    out: dict[str, dict[str, list[tuple[str, float]]]] = {part: {} for part in _PARTS}
    for part in _PARTS:
        classes: Mapping[str, Any] = given[part] if part in ("kinds", "saves") else {part: given[part]}
        for name, terms in classes.items():
            for term, weight in terms.items():
                out[part].setdefault(" ".join(words(term)), []).append((name, float(weight)))
    return out


def _data() -> str:
    return resources.files("rooflab.feed").joinpath("data/terms.json").read_text(encoding="utf-8")


@cache
def rules_digest() -> str:
    """Twelve hexadecimal digits of the rules: what was classified by others can be classified anew."""
    found = hashlib.sha256(_data().encode())
    for name in ("classify.py", "figures.py", "search.py"):
        found.update((Path(__file__).parent / name).read_bytes())
    found.update(resources.files("rooflab.papers").joinpath("data/cards.json").read_bytes())
    return found.hexdigest()[:12]

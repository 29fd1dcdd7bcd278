"""Search over the cards of the feed: BM25 (Robertson and Zaragoza 2009) in plain Python.

    score(d, q) = Σ_t idf(t) · f(t, d)·(k1 + 1) / (f(t, d) + k1·(1 − b + b·|d| / mean |d|)),
    idf(t) = ln(1 + (N − n_t + 0.5) / (n_t + 0.5))

Words count by field (a name weighs more than a sentence), endings are stripped lightly so that "quantised" finds
"quantization".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rooflab.papers.cards import Card

__all__ = ["Index", "search", "words"]

_K1: Final = 1.2
_B: Final = 0.75
_WEIGHTS: Final = {"name": 4, "key": 4, "title": 3, "kind": 2, "saves": 2, "does": 1, "terms": 2}
"""How often a word of a field counts."""
_STOP: Final = frozenset(
    "a an and are as at be by for from in into is it its of on or so that the their them they this to what with".split()  # noqa: SIM905
)
_ENDINGS: Final = (
    "izations", "isations", "ization", "isation", "izing", "ising", "ized", "ised", "izes", "ises", "izer", "iser",
    "ize", "ise",
    "ations", "ation", "ing", "ed", "es", "s", "e",
)  # fmt: skip
_SYNONYMS: Final = {
    "kv": ("cache",),
    "llm": ("languag", "model"),
    "moe": ("expert", "mixtur"),
    "gpu": (),
    "quant": ("bit",),
}
"""What people type for what cards say; a synonym counts a third."""


def words(text: str) -> list[str]:
    """Lower-case stems of `text` without stop words."""
    found = re.findall(r"[a-z0-9]+", re.sub(r"[-_/]", " ", text.lower()))
    return [_stem(w) for w in found if w not in _STOP]


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@dataclass(frozen=True, slots=True)
class Index:
    """Term counts of every entry, lengths, and inverse document frequencies."""

    entries: tuple[Card, ...]
    counts: tuple[Mapping[str, int], ...]
    lengths: tuple[int, ...]
    idf: Mapping[str, float]

    @staticmethod
    def of(entries: Sequence[Card]) -> Index:
        """The index of `entries`."""
        counts = []
        for e in entries:
            terms: Counter[str] = Counter()
            for field, weight in _WEIGHTS.items():
                value = getattr(e, field)
                for word in words(value if isinstance(value, str) else " ".join(value)):
                    terms[word] += weight
            counts.append(terms)
        seen = Counter(term for c in counts for term in c)
        n = len(entries)
        idf = {term: math.log1p((n - k + 0.5) / (k + 0.5)) for term, k in seen.items()}
        return Index(tuple(entries), tuple(counts), tuple(sum(c.values()) for c in counts), idf)

    def scores(self, query: str) -> list[float]:
        """BM25 of every entry."""
        asked: dict[str, float] = {}
        for word in words(query):
            asked[word] = asked.get(word, 0.0) + 1.0
            for other in _SYNONYMS.get(word, ()):
                asked.setdefault(other, 1 / 3)
        mean = sum(self.lengths) / max(len(self.lengths), 1)
        out = []
        for counts, length in zip(self.counts, self.lengths, strict=True):
            norm = _K1 * (1 - _B + _B * length / mean)
            out.append(
                sum(
                    w * self.idf.get(t, 0.0) * f * (_K1 + 1) / (f + norm)
                    for t, w in asked.items()
                    if (f := counts.get(t, 0))
                )
            )
        return out


def search(query: str, entries: Sequence[Card], limit: int = 10) -> list[tuple[float, Card]]:
    """Up to `limit` of `entries` that match `query`, best first, with their scores; those without a common word are
    left out."""
    scored = zip(Index.of(entries).scores(query), entries, strict=True)
    found = sorted(((s, e) for s, e in scored if s > 0), key=lambda pair: (-pair[0], pair[1].key))
    return found[:limit]

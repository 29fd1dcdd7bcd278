"""Names as people write them: one spelling for many, and an index that finds the key or says what is near.

``LLaMA v2 70B``, ``llama2-70b`` and ``Llama-2-70B`` are the same tokens once case, punctuation, the v of a version and
the seam between letters and digits are taken out: ``llama-2-70-b``.  Numbers stay whole, so ``llama-27b`` is not
``llama-2-7b``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from rooflab.errors import InputError, unknown

__all__ = ["NameIndex", "normalise", "spellings", "without_owner"]

_VERSION: Final = re.compile(r"v\.?\s?(?=\d)")
_DECIMAL: Final = re.compile(r"(?<=\d)_(?=\d(?!\d))")
_TOKEN: Final = re.compile(r"\d+(?:\.\d+)*|[a-z]+")


def normalise(label: str, *, decimal_underscore: bool = False) -> str:
    """`label` as lower-case tokens joined by "-": words and whole numbers, without punctuation and the v of versions.

    `decimal_underscore`: read ``1_8`` as 1.8.
    """
    text = label.lower().replace("+", " plus ")
    if decimal_underscore:
        text = _DECIMAL.sub(".", text)
    return "-".join(_TOKEN.findall(_VERSION.sub("", text)))


def without_owner(label: str) -> str:
    """`label` without the organisation before the last slash."""
    return label.rsplit("/", 1)[-1]


def spellings(label: str) -> list[str]:
    """Normalised forms of `label`, best first: with owner, without, and each with ``1_8`` read as 1.8."""
    found = []
    for text in (label, without_owner(label)) if "/" in label else (label,):
        found.append(normalise(text))
        if "_" in text:
            found.append(normalise(text, decimal_underscore=True))
    return found


class NameIndex:
    """Names -> keys, letter for letter first and then by spelling; the first name to claim a spelling keeps it."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.literal: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.shown: dict[str, None] = {}
        self.offered: dict[str, str] = {}

    def add(self, name: str, key: str) -> None:
        """Let `name`, with and without its owner, stand for `key`; it is offered when a label is not found."""
        self.shown.setdefault(without_owner(name))
        self.offered.setdefault(key, without_owner(name))
        self.literal.setdefault(name, key)
        for spelling in spellings(name):
            self.keys.setdefault(spelling, key)

    def find(self, labels: Iterable[str]) -> str | None:
        """The key of the first of `labels` whose spelling is known."""
        for label in labels:
            if label in self.literal:
                return self.literal[label]
            for spelling in spellings(label):
                if spelling in self.keys:
                    return self.keys[spelling]
        return None

    def starting(self, label: str) -> set[str]:
        """Keys whose spelling begins with all the tokens of `label`."""
        start = normalise(without_owner(label)) + "-"
        return {key for spelling, key in self.keys.items() if spelling.startswith(start)} if start != "-" else set()

    def resolve(self, label: str, where: str = "") -> str:
        """The key of `label`; InputError with the nearest names when there is none."""
        key = self.find([label])
        if key is None:
            raise self.unknown(label, where)
        return key

    def unknown(self, label: str, where: str = "") -> InputError:
        """The error for a label that is not found."""
        near = get_close_matches(normalise(without_owner(label)), self.keys, n=4, cutoff=0.6)
        names = dict.fromkeys(self.offered[self.keys[spelling]] for spelling in near)
        return unknown(self.what, label, names or self.shown, where)

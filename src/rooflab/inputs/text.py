"""Text: documents, with names and labels where they have them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.checks import put, texts
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaling, shuffled, shuffling
from rooflab.inputs.kind import FOLDER, Disturbance, Format, Kind
from rooflab.inputs.row_files import jsonl_bytes, read_jsonl
from rooflab.inputs.summary import Summary, summary
from rooflab.source.text import files_in
from rooflab.source.text import text as text_of

__all__ = ["KIND", "Text"]

_SUFFIXES: Final = (".txt", ".md")
_BLANK: Final = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Documents; `ids` and `labels` may be absent (None).

    texts: N texts, none of them empty.
    ids: N texts, names of the documents.
    labels: N texts, the class of each; empty where unknown.
    """

    texts: tuple[str, ...]
    ids: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        held = texts(self.texts, "texts")
        empty = next((i for i, t in enumerate(held) if not t.strip()), None)
        if not held or empty is not None:
            raise InputError("holds no document" if empty is None else f"[{empty}] is empty", "texts")
        put(self, texts=held)
        for name in ("ids", "labels"):
            if getattr(self, name) is not None:
                put(self, **{name: texts(getattr(self, name), name, len(held))})

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def words(self) -> int:
        """Words of all documents, by the spaces between them."""
        return sum(len(t.split()) for t in self.texts)

    def take(self, rows: npt.NDArray[np.int64]) -> Text:
        """These documents, in this order."""
        return Text(texts=taken(self.texts, rows), ids=taken(self.ids, rows), labels=taken(self.labels, rows))


def _from_txt(path: Path) -> Text:
    parts = [part.strip() for part in _BLANK.split(text_of(path).replace("\r\n", "\n"))]
    return Text(texts=tuple(part for part in parts if part))


def _to_txt(t: Text) -> bytes:
    return "\n\n".join(t.texts).encode() + b"\n"


def _from_jsonl(path: Path) -> Text:
    rows = read_jsonl(path)
    held = rows.texts(rows.need("text", "text", "document", "content", "prompt"))
    empty = next((i for i, t in enumerate(held) if not t.strip()), None)
    if empty is not None:
        raise InputError("text is empty", f"{path}:{rows.lines[empty]}")
    ids, labels = rows.find("id", "name", "title"), rows.find("label", "class", "subject")
    return Text(
        texts=held, ids=None if ids is None else rows.texts(ids), labels=None if labels is None else rows.texts(labels)
    )


def _to_jsonl(t: Text) -> bytes:
    columns = {"id": t.ids, "label": t.labels, "text": t.texts}
    there = {name: values for name, values in columns.items() if values is not None}
    return jsonl_bytes([dict(zip(there, row, strict=True)) for row in zip(*there.values(), strict=True)])


def _from_folder(folder: Path) -> Text:
    files = [(path, text_of(path)) for path in files_in(folder, _SUFFIXES)]
    kept = [(path.relative_to(folder).as_posix(), held) for path, held in files if held.strip()]
    labels = tuple(name.partition("/")[0] if "/" in name else "" for name, _ in kept)
    return Text(
        texts=tuple(held for _, held in kept), ids=tuple(name for name, _ in kept),
        labels=labels if any(labels) else None,
    )  # fmt: skip


def _to_folder(t: Text) -> dict[str, bytes]:
    return {f"{i:06d}.txt": held.encode() for i, held in enumerate(t.texts)}


def _describe(t: Text) -> Summary:
    lengths = np.array([len(x) for x in t.texts])
    again = len(t) - len(set(t.texts))
    odd = [f"{again:,} documents stand more than once"] if again else []
    arrays: dict[str, Any] = {"texts": t.texts, "ids": t.ids, "labels": t.labels, "characters": lengths}
    return summary({"documents": len(t), "words": t.words, "characters": int(lengths.sum())}, arrays, odd)


def _disturbances(t: Text) -> tuple[Disturbance[Text], ...]:
    found = [
        scaling("lengths", "each document cut, or repeated, to a multiple of its characters", _scale),
        halving(len, Text.take, "half of the documents"),
        shuffling("words", "the words of each document in another order", _shuffle_words),
        exchanging("halves", "the first half of the documents and the second, names and labels as they are", _exchange),
    ]
    if t.labels is not None:
        found.append(shuffling("labels", "labels given to other documents", _shuffle_labels))
    pair = tuple(label for label, _ in Counter(t.labels or ()).most_common(2))
    if len(pair) == 2:
        found.append(exchanging("labels", "the two most frequent labels", partial(_exchange_labels, pair=pair)))
    return tuple(found)


def _scale(t: Text, factor: float) -> Text:
    def scaled(held: str) -> str:
        size = max(round(len(held) * factor), 1)
        return (held * ceil(size / len(held)))[:size]

    return replace(t, texts=tuple(scaled(x) if scaled(x).strip() else x for x in t.texts))


def _shuffle_words(t: Text, rng: np.random.Generator) -> Text:
    def shuffle(held: str) -> str:
        parts = re.split(r"(\s+)", held)
        parts[::2] = shuffled(tuple(parts[::2]), rng)
        return "".join(parts)

    return replace(t, texts=tuple(shuffle(x) for x in t.texts))


def _shuffle_labels(t: Text, rng: np.random.Generator) -> Text:
    return replace(t, labels=None if t.labels is None else shuffled(t.labels, rng))


def _exchange(t: Text) -> Text:
    half = len(t) // 2
    middle = t.texts[half : len(t) - half]
    return replace(t, texts=(*t.texts[len(t) - half :], *middle, *t.texts[:half]))


def _exchange_labels(t: Text, pair: tuple[str, ...]) -> Text:
    other = {pair[0]: pair[1], pair[1]: pair[0]}
    return replace(t, labels=tuple(other.get(label, label) for label in t.labels or ()))


KIND: Final[Kind[Text]] = Kind(
    name="text",
    does="Documents, with names and labels where they have them.",
    data=Text,
    formats=(
        Format(
            suffix=".jsonl", what="one object a document: text, id, label", text=True,
            load=_from_jsonl, dump=_to_jsonl,
        ),
        Format(suffix=".txt", what="documents with blank lines between them", text=True, load=_from_txt, dump=_to_txt),
        Format(
            suffix=FOLDER, what="a .txt or .md file a document; folders in it are labels",
            load=_from_folder, dump=_to_folder,
        ),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(2)),
    signs=(frozenset({"text"}), frozenset({".txt"}), frozenset({".md"})),
)  # fmt: skip

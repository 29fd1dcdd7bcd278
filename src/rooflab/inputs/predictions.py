"""Predictions: what several models said about the same items, what is true, and what asking cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import names, numbers, put, texts, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaled, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv
from rooflab.inputs.rows import Rows
from rooflab.inputs.summary import Summary, summary

__all__ = ["KIND", "Predictions"]

_COST: Final = "cost"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """Scores of M models for N items and K classes; `labels`, `costs` and `ids` may be absent (None).

    models: M texts, names of the models.
    classes: K texts, names of the classes.
    scores: M × N × K float32, what each model gives each class: probabilities, or scores that grow with them.
    labels: N int64, the true class of each item; −1 where unknown.
    costs: M × N float64, what asking a model about an item costs, in any one unit.
    ids: N texts, names of the items.
    """

    models: tuple[str, ...]
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None = None
    costs: npt.NDArray[np.float64] | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        models, classes = names(self.models, "models"), names(self.classes, "classes")
        scores = numbers(self.scores, "scores", f"{len(models)} N {len(classes)}", np.float32)
        count = scores.shape[1]
        put(self, models=models, classes=classes, scores=scores)
        if self.labels is not None:
            put(self, labels=whole(self.labels, "labels", f"{count}", low=-1))
            if self.labels.max() >= len(classes):
                raise InputError(f"holds {self.labels.max()}; there are {len(classes)} classes", "labels")
        if self.costs is not None:
            put(self, costs=numbers(self.costs, "costs", f"{len(models)} {count}", low=0.0))
        if self.ids is not None:
            put(self, ids=texts(self.ids, "ids", count))

    def __len__(self) -> int:
        return int(self.scores.shape[1])

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """M × N: whether the class of the highest score is the true one. Raises InputError without labels."""
        if self.labels is None:
            raise InputError("says no true classes, so nothing is right or wrong", "labels")
        return np.asarray(self.scores.argmax(axis=2) == self.labels)

    def model(self, name: str) -> int:
        """The row of a model. Raises InputError with the nearest names."""
        if name not in self.models:
            raise unknown("model", name, self.models)
        return self.models.index(name)

    def take(self, rows: npt.NDArray[np.int64]) -> Predictions:
        """These items, in this order."""
        return replace(
            self, scores=self.scores[:, rows], labels=taken(self.labels, rows),
            costs=None if self.costs is None else self.costs[:, rows], ids=taken(self.ids, rows),
        )  # fmt: skip


_ARRAYS: Final = ("models", "classes", "scores", "labels", "costs", "ids")


def _from_npz(path: Path) -> Predictions:
    arrays = read_npz(path)
    arrays.check(_ARRAYS, ("models", "classes", "scores"))
    words = {name: arrays.texts(name) for name in ("models", "classes", "ids")}
    held: dict[str, Any] = {**arrays, **words}
    return Predictions(**held)


def _from_csv(path: Path) -> Predictions:
    rows = read_csv(path)
    by_model: dict[str, dict[str, str]] = {}
    for column in rows.columns:
        model, colon, name = column.rpartition(":")
        if colon:
            by_model.setdefault(model, {})[name] = column
    if not by_model:
        raise InputError("has no column MODEL:CLASS (such as small:cat, small:dog, large:cat, large:dog)", f"{path}:1")
    first = next(iter(by_model))
    classes = [name for name in by_model[first] if name != _COST]
    for model, columns in by_model.items():
        other = (set(columns) - {_COST}) ^ set(classes)
        if other:
            raise InputError(f"{model} and {first} do not score the same classes ({sorted(other)[0]!a})", f"{path}:1")
    labels, ids = rows.find("label"), rows.find("id")
    priced = [_COST in columns for columns in by_model.values()]
    if any(priced) and not all(priced):
        raise InputError(f"{list(by_model)[priced.index(False)]} has no column :{_COST}", f"{path}:1")
    return Predictions(
        models=tuple(by_model), classes=tuple(classes),
        scores=np.array([[rows.numbers(columns[c]) for c in classes] for columns in by_model.values()]).transpose(
            0, 2, 1
        ),
        labels=None if labels is None else _labels(rows, labels, classes),
        costs=np.array([rows.numbers(c[_COST], low=0.0) for c in by_model.values()]) if all(priced) else None,
        ids=None if ids is None else rows.texts(ids),
    )  # fmt: skip


def _labels(rows: Rows, column: str, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    place = {name: i for i, name in enumerate(classes)} | {"": -1}
    found = []
    for row, name in enumerate(rows.texts(column)):
        if name not in place:
            raise rows.fail(column, row, f"one of the classes {', '.join(classes[:8])}")
        found.append(place[name])
    return np.array(found, dtype=np.int64)


def _to_csv(p: Predictions) -> bytes:
    columns: dict[str, Any] = {} if p.ids is None else {"id": p.ids}
    if p.labels is not None:
        columns["label"] = tuple(p.classes[i] if i >= 0 else "" for i in p.labels)
    for m, model in enumerate(p.models):
        columns |= {f"{model}:{name}": [str(x) for x in p.scores[m, :, k]] for k, name in enumerate(p.classes)}
        if p.costs is not None:
            columns[f"{model}:{_COST}"] = p.costs[m]
    return csv_bytes(columns)


def _describe(p: Predictions) -> Summary:
    counts = {"items": len(p), "models": len(p.models), "classes": len(p.classes)}
    odd = []
    totals = p.scores.sum(axis=2)
    if (np.abs(totals - 1) > 0.02).any() or (p.scores < 0).any():
        odd.append("scores of an item do not add up to 1: they are not probabilities")
    arrays: dict[str, Any] = {f"scores of {name}": p.scores[m] for m, name in enumerate(p.models)}
    if p.labels is not None:
        for name, right in zip(p.models, p.correct, strict=True):
            counts[f"right by {name}"] = int(right.sum())
            odd += [f"{name} is never right"] if not right.any() else []
    return summary(counts, {**arrays, "labels": p.labels, "costs": p.costs, "classes": p.classes, "ids": p.ids}, odd)


def _disturbances(p: Predictions) -> tuple[Disturbance[Predictions], ...]:
    found = [
        scaling("scores", "all scores times a factor", lambda p, f: replace(p, scores=scaled(p.scores, f))),
        halving(len, Predictions.take, "half of the items"),
        shuffling("scores", "answers of every model given to other items", _shuffle_scores),
        *(exchanging(f"{p.models[a]} and {p.models[b]}", "answers and costs of two models", _exchange(a, b))
          for a, b in pairwise(range(len(p.models)))),
    ]  # fmt: skip
    if p.labels is not None:
        found.append(shuffling("labels", "true classes given to other items", _shuffle_labels))
    if p.costs is not None:
        found.append(scaling("costs", "costs times a factor", _scale_costs))
    return tuple(found)


def _scale_costs(p: Predictions, factor: float) -> Predictions:
    return replace(p, costs=None if p.costs is None else scaled(p.costs, factor))


def _shuffle_scores(p: Predictions, rng: np.random.Generator) -> Predictions:
    return replace(p, scores=np.stack([shuffled(scores, rng) for scores in p.scores]))


def _shuffle_labels(p: Predictions, rng: np.random.Generator) -> Predictions:
    return replace(p, labels=None if p.labels is None else shuffled(p.labels, rng))


def _exchange(a: int, b: int) -> Any:
    def change(p: Predictions) -> Predictions:
        order = np.arange(len(p.models))
        order[[a, b]] = b, a
        return replace(p, scores=p.scores[order], costs=None if p.costs is None else p.costs[order])

    return change


KIND: Final[Kind[Predictions]] = Kind(
    name="predictions",
    does="What several models said about the same items, what is true, and what asking cost.",
    data=Predictions,
    formats=(
        Format(suffix=".npz", what="arrays models, classes, scores, labels, costs, ids", load=_from_npz,
               dump=lambda p: npz_bytes({name: getattr(p, name) for name in _ARRAYS})),
        Format(suffix=".csv", what="one item a row: id, label, a column MODEL:CLASS each, MODEL:cost", text=True,
               load=_from_csv, dump=_to_csv),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(3)),
    signs=(frozenset({"models", "scores"}), frozenset({":"})),
)  # fmt: skip

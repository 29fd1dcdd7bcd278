"""A reader's own landscape: measured throughput by batch and GPUs, of one or several kinds of GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Final

import numpy as np

from rooflab.errors import Infeasible, InputError
from rooflab.inputs.row_files import csv_bytes
from rooflab.inputs.rows import squash
from rooflab.inputs.table import Table
from rooflab.library.serving.inference_hyperparameters.landscape import (
    Key,
    Landscape,
    kept_setting,
    retuning_gain,
    trials_to_come_near,
)
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Fraction

__all__ = ["MeasuredLandscape"]

_BATCH: Final = ("batch", "batch_size", "max_num_seqs", "concurrency")
_GPUS: Final = ("gpus", "num_gpus", "n_gpus", "tp", "tensor_parallel_size", "devices")
_THROUGHPUT: Final = ("throughput", "tokens_per_s", "output_tokens_per_s", "tokens_per_second", "tok_s")
_HARDWARE: Final = ("gpu", "gpu_model", "hardware", "device", "accelerator")
_GROUPS: Final = ("model", "engine", "framework", "library", "workload", "dataset")
_SINGLE: Final = "the GPUs measured"
_NEAR: Final = 0.05
"""How near the best a random search has to come."""
_FEW: Final = 3
"""Landscapes whose figures are shown one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """Measurements of one group and one kind of GPU: throughputs by setting."""

    group: str
    hardware: str
    runs: Mapping[Key, Sequence[float]]

    def landscape(self) -> Landscape:
        """Means, and twice the standard error of each from the pooled relative spread of repeated settings."""
        means = {key: float(np.mean(values)) for key, values in self.runs.items()}
        again = [np.array(v) / np.mean(v) - 1 for v in self.runs.values() if len(v) > 1]
        freedom = sum(len(v) - 1 for v in again)
        if not freedom:
            return Landscape(means)
        relative = float(np.sqrt(sum(float(v @ v) for v in again) / freedom))
        return Landscape(means, {key: 2 * relative * means[key] / len(v) ** 0.5 for key, v in self.runs.items()})


class MeasuredLandscape(Method[Table]):
    """The best setting, peaks and cliffs of measured landscapes, and whether searching again pays between two kinds of
    GPU.

    Rows hold batch, gpus and throughput (generated tokens/s of all GPUs), with a column gpu that names the kind, or one
    column of throughputs a kind; models or engines are groups, over which gains are averaged. Rows without throughput
    do not fit. `cliff`: the share that one step has to lose. `retune`: whether the new GPU's landscape is searched, or
    the old setting kept.
    """

    cliff: Fraction = 0.2
    retune: bool = True

    def ablated(self, seed: int) -> MeasuredLandscape:
        """The old setting is kept."""
        return replace(self, retune=False)

    def run(self, lab: Lab, given: Table) -> Outcome:
        """Execute on measurements of a reader."""
        series = _series(given)
        found = {(s.group, s.hardware): s.landscape() for s in series}
        each = [self._summary(s, found[s.group, s.hardware]) for s in series]
        figures = _told(each)
        pairs = list(permutations(dict.fromkeys(gpu for _, gpu in found), 2))
        moved: list[dict[str, Any]] = []
        for old, new in pairs:
            rows = [row for group in dict.fromkeys(g for g, _ in found) if (row := self._moved(group, old, new, found))]
            moved += rows
            if rows:
                gains = [row["gain_percent"] for row in rows]
                figures.append(
                    Figure(name=f"searching again after {old} became {new}", value=float(np.mean(gains)),
                           unit="percent", how="executed", runs=len(gains), over="groups",
                           spread=(min(gains), max(gains)) if len(gains) > 1 else None)
                )  # fmt: skip
        notes = () if any(land.noise for land in found.values()) else (
            "one measurement a setting: a part of what searching seems to give is noise that was picked; repeat some",
        )  # fmt: skip
        files = {"landscape.csv": self._rows(series, found), "landscapes.csv": _csv(each)}
        if moved:
            files["moves.csv"] = _csv(moved)
        return Outcome(tuple(figures), self._because(found, moved), files=files, notes=notes)

    def _summary(self, s: _Series, land: Landscape) -> dict[str, Any]:
        """What there is to say of one landscape: numbers by name, with the group and the kind of GPU."""
        cliffs, measured = land.cliffs(self.cliff), list(land.throughput.values())
        return {
            "group": s.group, "hardware": s.hardware, "settings": len(measured), "best throughput": land.highest,
            "GPUs of the best": land.best[0], "batch of the best": land.best[1],
            "best over the mean setting": land.highest / float(np.mean(measured)), "local maxima": len(land.peaks()),
            "local maxima beyond the noise": len(land.peaks(beyond_noise=True)) if land.noise else float("nan"),
            "cliffs": len(cliffs), "deepest cliff": 100 * cliffs[0].share if cliffs else 0.0,
            f"random trials to come within {_NEAR:.0%}": trials_to_come_near(land, _NEAR),
        }  # fmt: skip

    def _moved(self, group: str, old: str, new: str, found: Mapping[tuple[str, str], Landscape]) -> dict[str, Any]:
        """What the old kind's best setting gives on the new one; nothing where it cannot be said."""
        if (group, old) not in found or (group, new) not in found:
            return {}
        was, now = found[group, old], found[group, new]
        try:
            kept = kept_setting(was, now)
        except Infeasible:
            return {}
        return {
            "group": group, "old": old, "new": new, "kept_gpus": kept[0], "kept_batch": kept[1],
            "kept_tokens_per_s": now.throughput[kept], "best_gpus": now.best[0], "best_batch": now.best[1],
            "best_tokens_per_s": now.highest, "gain_percent": retuning_gain(was, now) if self.retune else 0.0,
            "beyond_noise": now.highest - now.throughput[kept]
            > now.noise.get(kept, 0.0) + now.noise.get(now.best, 0.0),
        }  # fmt: skip

    def _rows(self, series: Sequence[_Series], found: Mapping[tuple[str, str], Landscape]) -> bytes:
        rows: dict[str, list[Any]] = {
            name: []
            for name in ("group", "hardware", "gpus", "batch", "tokens_per_s", "runs", "best", "peak", "cliff_behind")
        }
        for s in series:
            land = found[s.group, s.hardware]
            peaks, edges = set(land.peaks()), {cliff.before for cliff in land.cliffs(self.cliff)}
            for key, value in sorted(land.throughput.items()):
                cells = (
                    s.group, s.hardware, *key, value, len(s.runs[key]), key == land.best, key in peaks, key in edges
                )  # fmt: skip
                for name, cell in zip(rows, cells, strict=True):
                    rows[name].append(cell)
        return csv_bytes(rows)

    def _because(self, found: Mapping[tuple[str, str], Landscape], moved: Sequence[Mapping[str, Any]]) -> str:
        first = next(iter(found.values()))
        text = f"{len(found)} landscapes of up to {max(len(x.throughput) for x in found.values())} settings"
        if len(found) == 1:
            text = (
                f"the best of {len(first.throughput)} settings is {first.best[0]} GPUs with a batch of {first.best[1]}"
            )
        if not moved:
            return f"{text}; there is no second kind of GPU to move between."
        paid = [row for row in moved if row["gain_percent"] >= 1 and row["beyond_noise"]]
        text += f"; searching again gains a per cent or more in {len(paid)} of {len(moved)} moves to another GPU"
        most = max(paid, key=_gain, default=None)
        return f"{text}." if most is None else f"{text}, most from {most['old']} to {most['new']}."


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return csv_bytes({name: [row[name] for row in rows] for name in rows[0]})


_UNITS: Final = {
    "best throughput": "tokens/s", "GPUs of the best": "GPUs", "batch of the best": "sequences",
    "best over the mean setting": "x", "local maxima": "peaks", "local maxima beyond the noise": "peaks",
    "cliffs": "steps", "deepest cliff": "percent",
}  # fmt: skip


def _told(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Figures of each landscape where there are a few; else of all together, as their mean and from the lowest to the
    highest."""
    names = [name for name in rows[0] if name not in ("group", "hardware", "settings")]
    if len(rows) <= _FEW:
        return [
            Figure(name=f"{_said(row, rows)}{name}", value=float(row[name]), unit=_UNITS.get(name, "settings"),
                   how="executed")
            for row in rows for name in names if np.isfinite(row[name])
        ]  # fmt: skip
    figures = [Figure(name="landscapes", value=float(len(rows)), unit="landscapes", how="executed")]
    for name in names:
        values = [float(row[name]) for row in rows if np.isfinite(row[name])]
        if values:
            figures.append(
                Figure(name=name, value=float(np.mean(values)), unit=_UNITS.get(name, "settings"), how="executed",
                       spread=(min(values), max(values)), runs=len(values), over="landscapes")
            )  # fmt: skip
    return figures


def _gain(row: Mapping[str, Any]) -> float:
    return float(row["gain_percent"])


def _said(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """What a landscape is called where there are several."""
    parts = [part for part in (row["group"], row["hardware"] if row["hardware"] != _SINGLE else "") if part]
    return f"{', '.join(parts)}: " if len(rows) > 1 and parts else ""


def _find(t: Table, names: Sequence[str]) -> str | None:
    known = {squash(name): name for name in reversed(list(t.columns))}
    return next((known[squash(name)] for name in names if squash(name) in known), None)


def _series(t: Table) -> list[_Series]:
    """Measurements by group and kind of GPU. Raises InputError for columns that are not there, and counts below 1."""
    batch, gpus = _find(t, _BATCH), _find(t, _GPUS)
    if batch is None:
        raise InputError(f"no column of batch sizes (such as batch) among {', '.join(t.columns)}", "table")
    groups = [name for name in (_find(t, [g]) for g in _GROUPS) if name is not None]
    kind, throughput = _find(t, _HARDWARE), _find(t, _THROUGHPUT)
    sizes = _counts(t, batch)
    counts = np.ones(len(t), dtype=np.int64) if gpus is None else _counts(t, gpus)
    labels = (
        [", ".join(parts) for parts in zip(*(t.texts(g) for g in groups), strict=True)] if groups else [""] * len(t)
    )
    if throughput is None:
        columns = [name for name in t.quantities if name not in (batch, gpus, *groups)]
        if not columns or kind is not None:
            raise InputError(f"no column of throughput (such as tokens_per_s) among {', '.join(t.columns)}", "table")
        found = [(labels, [name] * len(t), t.numbers(name)) for name in columns]
    else:
        found = [(labels, list(t.texts(kind)) if kind else [_SINGLE] * len(t), t.numbers(throughput))]
    runs: dict[tuple[str, str], dict[Key, list[float]]] = {}
    for group, hardware, values in found:
        for i, value in enumerate(values):
            if np.isfinite(value) and value > 0:
                own = runs.setdefault((group[i], hardware[i]), {})
                own.setdefault((int(counts[i]), int(sizes[i])), []).append(float(value))
    if not runs:
        raise InputError("no row has a throughput above 0", "table")
    return [_Series(group=g, hardware=h, runs=r) for (g, h), r in runs.items()]


def _counts(t: Table, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    values = t.numbers(name)
    for row, value in enumerate(values.tolist(), start=1):
        if not (value >= 1 and value == round(value)):
            raise InputError(f"row {row} holds {value:g}, not a whole number of at least 1", f"table: {name}")
    return np.asarray(values.astype(np.int64))

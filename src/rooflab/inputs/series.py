"""Series: channels over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.arrays import npz_bytes, read_npz
from rooflab.inputs.checks import names, numbers, put, whole
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, scaling, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.row_files import csv_bytes, read_csv
from rooflab.inputs.summary import Summary, summary

__all__ = ["KIND", "Series"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Channels measured at the same instants; `labels` may be absent (None).

    time_s: N float64, seconds, rising.
    channels: C texts, names of the channels; one that ends in a unit (`power_w`) is in that unit.
    values: N × C float64; NaN where nothing was measured.
    labels: N int64, the state or class at each instant; −1 where unknown.
    """

    time_s: F64
    channels: tuple[str, ...]
    values: F64
    labels: I64 | None = None

    def __post_init__(self) -> None:
        channels = names(self.channels, "channels")
        time_s = numbers(self.time_s, "time_s", "N")
        values = numbers(self.values, "values", f"{len(time_s)} {len(channels)}", missing=True)
        if not channels:
            raise InputError("holds no channel", "channels")
        back = np.flatnonzero(np.diff(time_s) <= 0)
        if len(back):
            raise InputError(f"[{back[0] + 1}] is {time_s[back[0] + 1]:g}, not after {time_s[back[0]]:g}", "time_s")
        put(self, time_s=time_s, channels=channels, values=values)
        if self.labels is not None:
            put(self, labels=whole(self.labels, "labels", f"{len(time_s)}", low=-1))

    def __len__(self) -> int:
        return len(self.time_s)

    def channel(self, name: str) -> F64:
        """The values of a channel. Raises InputError with the nearest names."""
        if name not in self.channels:
            raise unknown("channel", name, self.channels)
        return self.values[:, self.channels.index(name)]

    @property
    def step_s(self) -> float:
        """The usual time between two instants (their median); 0 for one instant."""
        return float(np.median(np.diff(self.time_s))) if len(self) > 1 else 0.0

    def take(self, rows: I64) -> Series:
        """These instants, in this order."""
        return replace(self, time_s=self.time_s[rows], values=self.values[rows], labels=taken(self.labels, rows))


def _from_npz(path: Path) -> Series:
    arrays = read_npz(path)
    arrays.check(("time_s", "channels", "values", "labels"), ("time_s", "channels", "values"))
    held: dict[str, Any] = {**arrays, "channels": arrays.texts("channels")}
    return Series(**held)


def _from_csv(path: Path) -> Series:
    rows = read_csv(path)
    time = rows.need("seconds", "time_s", "time", "t", "timestamp", "seconds")
    label = rows.find("label", "state", "class")
    channels = [name for name in rows.columns if name not in (time, label)]
    if not channels:
        raise InputError("has no channel beside the time", f"{path}:1")
    time_s = rows.numbers(time)
    back = np.flatnonzero(np.diff(time_s) <= 0)
    if len(back):
        raise rows.fail(time, int(back[0]) + 1, f"after the time before it ({time_s[back[0]]:g})")
    return Series(
        time_s=time_s, channels=tuple(channels),
        values=np.column_stack([rows.numbers(name, missing=True) for name in channels]),
        labels=None if label is None else rows.whole(label, low=-1, missing=-1),
    )  # fmt: skip


def _to_csv(s: Series) -> bytes:
    columns: dict[str, Any] = {"time_s": s.time_s}
    columns |= {name: s.values[:, i] for i, name in enumerate(s.channels)}
    return csv_bytes(columns if s.labels is None else {**columns, "label": s.labels})


def _describe(s: Series) -> Summary:
    odd = []
    gaps = int((np.diff(s.time_s) > 1.5 * s.step_s).sum()) if len(s) > 2 else 0
    if gaps:
        odd.append(f"{gaps:,} gaps are longer than one and a half usual steps of {s.step_s:g} s")
    arrays: dict[str, Any] = {"time_s": s.time_s} | {name: s.values[:, i] for i, name in enumerate(s.channels)}
    return summary({"instants": len(s), "channels": len(s.channels)}, {**arrays, "labels": s.labels}, odd)


def _disturbances(s: Series) -> tuple[Disturbance[Series], ...]:
    found = [
        *(scaling(name, f"channel {name} times a factor", partial(_scale, name=name)) for name in s.channels),
        scaling("time", "times times a factor", lambda s, f: replace(s, time_s=s.time_s * f)),
        halving(len, lambda s, rows: s.take(np.arange(len(rows))), "the first half of the instants"),
        shuffling("order", "all channels at other instants", _shuffle_order),
        *(shuffling(name, f"channel {name} at other instants", partial(_shuffle, name=name)) for name in s.channels),
        *(exchanging(f"{a} and {b}", "two channels", partial(_exchange, a=a, b=b)) for a, b in pairwise(s.channels)),
    ]
    if s.labels is not None:
        found.append(shuffling("labels", "labels given to other instants", _shuffle_labels))
    return tuple(found)


def _with(s: Series, name: str, values: F64) -> Series:
    changed = s.values.copy()
    changed[:, s.channels.index(name)] = values
    return replace(s, values=changed)


def _scale(s: Series, factor: float, name: str) -> Series:
    return _with(s, name, s.channel(name) * factor)


def _shuffle(s: Series, rng: np.random.Generator, name: str) -> Series:
    return _with(s, name, rng.permutation(s.channel(name)))


def _shuffle_order(s: Series, rng: np.random.Generator) -> Series:
    order = rng.permutation(len(s))
    return replace(s, values=s.values[order], labels=taken(s.labels, order))


def _shuffle_labels(s: Series, rng: np.random.Generator) -> Series:
    return replace(s, labels=None if s.labels is None else rng.permutation(s.labels))


def _exchange(s: Series, a: str, b: str) -> Series:
    return _with(_with(s, a, s.channel(b)), b, s.channel(a))


KIND: Final[Kind[Series]] = Kind(
    name="series",
    does="Channels over time.",
    data=Series,
    formats=(
        Format(suffix=".csv", what="one instant a row: time_s, a column a channel, label", text=True,
               load=_from_csv, dump=_to_csv),
        Format(suffix=".npz", what="arrays time_s, channels, values, labels", load=_from_npz,
               dump=lambda s: npz_bytes({n: getattr(s, n) for n in ("time_s", "channels", "values", "labels")})),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(12, 16)),
    signs=(frozenset({"times"}), frozenset({"times", "channels"})),
)  # fmt: skip

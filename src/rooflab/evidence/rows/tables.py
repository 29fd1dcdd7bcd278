"""Tables of published measurements: one metric value a row, of one of four kinds that their columns tell apart."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rooflab.errors import InputError

__all__ = ["COLUMNS", "KINDS", "Kind", "Row", "Table", "read_table", "table_of"]

Row = Mapping[str, str]
Kind = Literal["serving", "training", "energy", "vision"]
KINDS: Final[tuple[Kind, ...]] = ("serving", "energy", "training", "vision")

COLUMNS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "serving": (
        "id", "source", "source_url_or_path", "date", "engine", "engine_version", "model", "precision_weights",
        "precision_activations",
        "precision_kv", "gpu", "num_gpus", "tp", "pp", "ep", "batch_or_concurrency", "isl", "osl", "scenario", "metric",
        "value", "per_gpu",
        "notes", "ship",
    ),
    "training": (
        "id", "source", "source_url_or_path", "date", "framework", "model", "params_b", "precision", "gpu", "num_gpus",
        "tp", "pp", "cp",
        "ep", "dp", "vp", "zero_stage_or_sharding", "act_recompute", "seq_len", "micro_batch", "global_batch", "metric",
        "value", "notes",
        "ship",
    ),
    "energy": (
        "id", "source", "source_url_or_path", "date", "phase", "task", "model", "params_b", "active_params_b",
        "precision", "gpu",
        "num_gpus", "tp", "pp", "dp", "ep", "batch_size", "max_num_seqs", "power_limit_w", "freq_mhz",
        "seq_or_output_len", "config_id",
        "metric", "value", "unit", "notes",
    ),
    "vision": (
        "model", "device", "precision", "layout", "torch", "cuda", "dynamo", "img_size", "batch_size",
        "samples_per_sec", "step_time_ms",
        "params_m", "gmacs", "macts_m", "file",
    ),
}  # fmt: skip
"""Columns of each kind, in their order; a table may leave out any that the next constant does not name."""

_TELLING: Final[Mapping[Kind, tuple[str, ...]]] = {
    "vision": ("model", "device", "samples_per_sec", "gmacs"),
    "energy": ("model", "gpu", "metric", "value", "phase"),
    "training": ("model", "gpu", "metric", "value", "framework"),
    "serving": ("model", "gpu", "metric", "value"),
}
"""Columns that a kind cannot do without; the first kind whose columns are all there is the table's."""

_EXTRA: Final[Mapping[Kind, tuple[str, ...]]] = {
    "vision": ("id", "source", "notes", "metric", "value"),
    "energy": ("ship",),
}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind, every column of the kind present ("" where the file has none); `name` is the file's, for
    messages."""

    kind: Kind
    rows: tuple[Row, ...]
    name: str


def read_table(path: str | Path) -> Table:
    """The table in a CSV file. Raises InputError for a file that is none, or whose columns belong to no kind."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return table_of(reader, reader.fieldnames or (), str(path))
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV file ({error})", str(path)) from None


def table_of(rows: Iterable[Mapping[str, str | None]], columns: Iterable[str], name: str) -> Table:
    """Rows as a table: their kind found, missing columns filled, a row without id named after its place."""
    there = set(columns)
    kind: Kind | None = next((k for k, needed in _TELLING.items() if there.issuperset(needed)), None)
    if kind is None:
        lacking = ", ".join(c for c in _TELLING["serving"] if c not in there)
        raise InputError(
            f"no column {lacking}; a table of measurements has at least model, gpu, metric and value", name
        )
    wanted = dict.fromkeys((*COLUMNS[kind], *_EXTRA.get(kind, ())), "")
    out: list[Row] = []
    seen: set[str] = set()
    for i, row in enumerate(rows, start=1):
        full = wanted | {k: (v or "").strip() for k, v in row.items() if k in wanted}
        if kind == "vision":
            full |= {"source": full["source"] or "timm", "metric": "samples_per_s", "value": full["samples_per_sec"]}
        full["id"] = full["id"] or f"row-{i}"
        if full["id"] in seen:
            full["id"] = f"{full['id']} (row {i})"
        seen.add(full["id"])
        out.append(full)
    return Table(kind, tuple(out), name)

"""Per-request records as files: one row a request, in the columns that load generators write.

The first columns (timestamp, input_tokens, output_tokens) are those of a trace, so a file of records can be replayed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab import extras
from rooflab.errors import InputError
from rooflab.files import replaced
from rooflab.simulator.results.serving import LATENCIES, ServingResult
from rooflab.simulator.work.requests import Status

__all__ = ["record_columns", "write_records"]

_ROWS_AT_ONCE: Final = 65536


def record_columns(result: ServingResult) -> dict[str, npt.NDArray[Any]]:
    """The columns of the records, (N,) each: times in seconds from the start of the run, counts in tokens."""
    requests, records = result.requests, result.run.records
    names = np.array([s.name.lower() for s in sorted(Status)])
    classes = np.array([c.name for c in result.classes] or ["default"])
    columns: dict[str, npt.NDArray[Any]] = {
        "timestamp": records.arrival_s,
        "input_tokens": requests.input_tokens,
        "output_tokens": requests.output_tokens,
        "request_id": np.arange(len(requests)),
        "status": names[records.status],
        "class": classes[np.minimum(requests.klass, len(classes) - 1)],
        "client": requests.client,
        "session_id": requests.session,
        "adapter": requests.adapter,
        "replica": records.replica,
        "decode_replica": records.decode_replica,
        "generated_tokens": records.tokens_out,
        "cached_tokens": records.cached_tokens,
        "preemptions": records.preemptions,
        "requeues": records.requeues,
        "scheduled_s": records.first_scheduled_s,
        "first_token_s": records.first_token_s,
        "last_token_s": records.last_token_s,
    }
    return columns | {name: result.latencies[name] for name in LATENCIES}


def write_records(result: ServingResult, path: str | Path) -> None:
    """Write the records to `path`, whole or not at all: ``.csv``, ``.jsonl`` or ``.parquet`` (needs the extra
    ``data``).

    Times are rounded to microseconds in text; what did not happen is empty (CSV) or null.
    """
    columns = record_columns(result)
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        _write_parquet(columns, path)
    elif suffix in (".csv", ".jsonl"):
        with replaced(path) as file:
            if suffix == ".csv":
                file.write(",".join(columns) + "\n")
            for chunk in _lines(columns, json_lines=suffix == ".jsonl"):
                file.write(chunk)
    else:
        raise InputError(
            f"records are written as .csv, .jsonl or .parquet, not {suffix or 'without an ending'!r}", str(path)
        )


def _lines(columns: dict[str, npt.NDArray[Any]], *, json_lines: bool) -> Iterator[str]:
    """The rows as text, many at once: one format string a row, and a second look only at rows where something did not
    happen."""
    kinds = [c.dtype.kind for c in columns.values()]
    quote = json.dumps if json_lines else _csv_text
    cells = ["%.6f" if kind == "f" else "%s" if kind == "U" else "%d" for kind in kinds]
    if json_lines:
        form = "{" + ", ".join(f"{json.dumps(name)}: {cell}" for name, cell in zip(columns, cells, strict=True)) + "}\n"
    else:
        form = ",".join(cells) + "\n"
    loose = form.replace("%.6f", "%s")
    nothing = "null" if json_lines else ""
    floats = [name for name, kind in zip(columns, kinds, strict=True) if kind == "f"]
    quoted = {name: _quoted(columns[name], quote) for name, kind in zip(columns, kinds, strict=True) if kind == "U"}
    for begin in range(0, len(columns["timestamp"]), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        gaps = np.logical_or.reduce([~np.isfinite(columns[name][part]) for name in floats]).tolist()
        rows = zip(*(quoted.get(name, c)[part].tolist() for name, c in columns.items()), strict=True)
        yield "".join(
            [
                loose % tuple(_cell(x, nothing) for x in row) if gap else form % row
                for row, gap in zip(rows, gaps, strict=True)
            ]
        )


def _quoted(names: npt.NDArray[Any], quote: Callable[[str], str]) -> npt.NDArray[Any]:
    levels, index = np.unique(names, return_inverse=True)
    return np.array([quote(str(x)) for x in levels])[index]


def _csv_text(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def _cell(value: Any, nothing: str) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.6f}" if math.isfinite(value) else nothing


def _write_parquet(columns: dict[str, npt.NDArray[Any]], path: str | Path) -> None:
    with extras.needed("pyarrow", "Parquet (unlike .csv and .jsonl)", str(path)):
        import pyarrow as pa
        import pyarrow.parquet as pq
    table = pa.table({name: pa.array(c, from_pandas=True) for name, c in columns.items()})
    with replaced(path, "wb") as file:
        pq.write_table(table, file)

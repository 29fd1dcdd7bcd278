"""Reports of load generators as rows of measurements: guidellm, aiperf, inference-perf and `vllm bench serve`.

A report says what load ran and what came out; which accelerator, how many and how they were split it does not know, so
those come from the caller.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.evidence.calibrate.report_formats import READERS, Run, aiperf_csv
from rooflab.evidence.rows.tables import COLUMNS, Row

__all__ = ["Given", "Run", "is_report", "read_report", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a report does not know, in the columns of the rows; "" where the report's own value stands."""

    model: str = ""
    gpu: str = ""
    num_gpus: str = "1"
    tp: str = ""
    pp: str = "1"
    ep: str = ""
    engine: str = "vLLM"
    engine_version: str = ""
    weights: str = ""
    kv: str = ""
    load: str = ""
    source: str = "your cluster"


_LOAD: Final = re.compile(r"^([1-9]\d*|qps=\d*\.?\d+|inf)$")


def is_report(path: Path) -> bool:
    """Whether a file is a report rather than a table of rows."""
    if path.suffix.lower() in (".json", ".jsonl"):
        return True
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().startswith("Metric,")
    except (OSError, UnicodeDecodeError):
        return False


def read_report(path: Path) -> list[Run]:
    """The runs in a report. Raises InputError for a file of another kind, naming what is understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    runs: list[Run] = []
    for content in _documents(text, path):
        reader = next((read for known, read in READERS if known(content)), None)
        if reader is None:
            raise InputError(
                "not a report of guidellm, aiperf, inference-perf (stage_N_lifecycle_metrics.json) or vllm bench serve",
                str(path),
            )
        try:
            runs += reader(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"a report with an unexpected field ({type(error).__name__}: {error})", str(path)
            ) from None
    if not runs:
        raise InputError("no completed run in it", str(path))
    return runs


def _documents(text: str, path: Path) -> list[Any]:
    """The JSON documents of a file: one, or one a line (results appended run after run); of a CSV, the one it stands
    for."""
    if path.suffix.lower() not in (".json", ".jsonl"):
        try:
            return [aiperf_csv(text)]
        except ValueError as error:
            raise InputError(f"a report with an unexpected field ({error})", str(path)) from None
    try:
        return [json.loads(text)]
    except ValueError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise InputError(f"not valid JSON ({whole})", str(path)) from None
    found = []
    for i, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"line {i} is not valid JSON ({error})", str(path)) from None
    return found


def rows_of(runs: list[Run], given: Given, name: str) -> list[Row]:
    """Runs as rows of a serving table. Raises InputError for what neither the report nor the caller says."""
    rows: list[Row] = []
    for i, run in enumerate(runs, start=1):
        model = given.model or run.model
        if not model:
            raise InputError("the report does not name the model: give --model", name)
        if not given.gpu:
            raise InputError("the report does not name the accelerator: give --gpu", name)
        if not (run.isl and run.osl):
            raise InputError(f"run {i} does not say how long prompts and outputs are", name)
        load = given.load or run.load
        if not load:
            stage = "give its stage_N_lifecycle_metrics.json, or " if run.tool == "inference-perf" else "give "
            raise InputError(
                f"run {i} does not say at what load it ran: {stage}--load 64 (requests in flight) or --load qps=4", name
            )
        if not _LOAD.match(load):
            raise InputError(
                f"cannot be {load!r}: 64 (requests in flight), qps=4 (requests a second) or inf (all at once)", "--load"
            )
        scenario = "max-throughput" if load == "inf" else "server" if load.startswith("qps=") else "fixed-concurrency"
        shared = dict.fromkeys(COLUMNS["serving"], "") | {
            "source": given.source, "source_url_or_path": name, "date": "" if given.engine_version else run.date,
            "engine": given.engine,
            "engine_version": given.engine_version, "model": model, "precision_weights": given.weights,
            "precision_kv": given.kv,
            "gpu": given.gpu, "num_gpus": given.num_gpus, "tp": given.tp or given.num_gpus, "pp": given.pp,
            "ep": given.ep,
            "batch_or_concurrency": load, "isl": f"{run.isl:g}", "osl": f"{run.osl:g}", "scenario": scenario,
            "per_gpu": "0",
            "notes": f"read from {run.tool}",
        }  # fmt: skip
        rows += [
            {**shared, "id": f"{Path(name).name}#{i}:{m}", "metric": m, "value": f"{v:.6g}"}
            for m, v in run.figures.items()
        ]
    return rows

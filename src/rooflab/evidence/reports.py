"""Reports of load generators as rows of measurements: guidellm, aiperf, inference-perf and `vllm bench serve`.

A report says what load ran and what came out; which accelerator, how many and how they were split it does not know, so those
come from the caller.  Units are brought to those of the rows: milliseconds and tokens/s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.evidence.tables import COLUMNS, Row

__all__ = ["Given", "Run", "is_report", "read_report", "rows_of"]

_NUMBER: Final = (int, float)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a load generator.

    `load` is a concurrency ("64"), a rate ("qps=4") or "inf"; lengths are mean tokens; `figures` by truth metric
    (``itl_ms``, ``ttft_ms``, ``output_tok_s``, ...).
    """

    tool: str
    model: str
    date: str
    load: str
    isl: float
    osl: float
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
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
    source: str = "your cluster"


def is_report(path: Path) -> bool:
    """Whether a file is a report rather than a table of rows."""
    return path.suffix.lower() in (".json", ".jsonl")


def read_report(path: Path) -> list[Run]:
    """The runs in a report. Raises InputError for a file of another kind, naming what is understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    runs: list[Run] = []
    for content in _documents(text, path):
        reader = next((read for known, read in _READERS if known(content)), None)
        if reader is None:
            raise InputError(
                "not a report of guidellm, aiperf, inference-perf (stage_N_lifecycle_metrics.json) or vllm bench serve", str(path)
            )
        try:
            runs += reader(content)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a report with an unexpected field ({type(error).__name__}: {error})", str(path)) from None
    if not runs:
        raise InputError("no completed run in it", str(path))
    return runs


def _documents(text: str, path: Path) -> list[Any]:
    """The JSON documents of a file: one, or one a line (results appended run after run)."""
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


def _number(content: Any, *places: str) -> float | None:
    """The number at a dotted place, the first of `places` that holds one."""
    for place in places:
        value = content
        for key in place.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, _NUMBER) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
            return float(value)
    return None


def _text(content: Any, *places: str) -> str:
    for place in places:
        value = content
        for key in place.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value
    return ""


def _figures(**found: float | None) -> dict[str, float]:
    return {name: value for name, value in found.items() if value is not None}


def _run(tool: str, model: str, date: str, load: str, isl: float | None, osl: float | None, figures: Mapping[str, float]) -> Run:
    return Run(tool, model, date[:7], load, isl or 0.0, osl or 0.0, figures)


def _vllm(content: Mapping[str, Any]) -> list[Run]:
    """`vllm bench serve --save-result` (and benchmark_serving.py before it): one flat record, times in milliseconds."""
    done = _number(content, "completed")
    if not done:
        return []
    rate = content.get("request_rate")
    finite = _number({"rate": float(rate)} if isinstance(rate, str) and rate.replace(".", "", 1).isdigit() else {"rate": rate}, "rate")
    concurrency = _number(content, "max_concurrency")
    load = f"{concurrency:.0f}" if concurrency else f"qps={finite:g}" if finite else "inf"
    stamp = str(content.get("date", ""))
    date = f"{stamp[:4]}-{stamp[4:6]}" if stamp[:6].isdigit() else ""
    isl = (_number(content, "total_input_tokens") or 0.0) / done
    osl = (_number(content, "total_output_tokens") or 0.0) / done
    figures = _figures(
        ttft_ms=_number(content, "mean_ttft_ms"),
        ttft_p99_ms=_number(content, "p99_ttft_ms"),
        itl_ms=_number(content, "mean_tpot_ms"),
        e2e_latency_ms=_number(content, "mean_e2el_ms"),
        output_tok_s=_number(content, "output_throughput"),
        req_s=_number(content, "request_throughput"),
    )
    return [_run("vllm bench serve", _text(content, "model_id"), date, load, isl, osl, figures)]


def _aiperf(content: Mapping[str, Any]) -> list[Run]:
    """`profile_export_aiperf.json`: a block of statistics a metric, each with its unit."""

    def milliseconds(metric: str, statistic: str = "avg") -> float | None:
        value = _number(content, f"{metric}.{statistic}")
        unit = _text(content, f"{metric}.unit").lower()
        return None if value is None else value * {"s": 1e3, "sec": 1e3, "us": 1e-3, "ns": 1e-6}.get(unit, 1.0)

    config = content.get("input_config") or {}
    phases = [p for p in config.get("phases", []) if isinstance(p, Mapping) and p.get("name", "profiling") == "profiling"]
    phase = phases[0] if phases else {}
    concurrency = _number(config, "loadgen.concurrency") or _number(phase, "concurrency")
    rate = _number(config, "loadgen.request_rate") or _number(phase, "request_rate", "rate")
    load = f"qps={rate:g}" if rate else f"{concurrency:.0f}" if concurrency else "inf"
    figures = _figures(
        ttft_ms=milliseconds("time_to_first_token"),
        ttft_p99_ms=milliseconds("time_to_first_token", "p99"),
        itl_ms=milliseconds("inter_token_latency"),
        e2e_latency_ms=milliseconds("request_latency"),
        output_tok_s=_number(content, "output_token_throughput.avg"),
        req_s=_number(content, "request_throughput.avg"),
    )
    model = _text(config, "endpoint.model_names", "models", "endpoint.model")
    isl, osl = _number(content, "input_sequence_length.avg"), _number(content, "output_sequence_length.avg", "output_token_count.avg")
    return [_run("aiperf", model, _text(content, "start_time"), load, isl, osl, figures)]


def _inference_perf(content: Mapping[str, Any]) -> list[Run]:
    """A stage of inference-perf: seconds, means beside percentiles."""
    good = content["successes"]
    if not _number(good, "count"):
        return []

    def milliseconds(place: str) -> float | None:
        value = _number(good, f"latency.{place}")
        return None if value is None else value * 1e3

    concurrency = _number(content, "load_summary.concurrency", "load_summary.concurrency_level")
    rate = _number(content, "load_summary.requested_rate", "load_summary.achieved_rate")
    load = f"{concurrency:.0f}" if concurrency else f"qps={rate:g}" if rate else "inf"
    figures = _figures(
        ttft_ms=milliseconds("time_to_first_token.mean"),
        ttft_p99_ms=milliseconds("time_to_first_token.p99"),
        itl_ms=milliseconds("time_per_output_token.mean"),
        e2e_latency_ms=milliseconds("request_latency.mean"),
        output_tok_s=_number(good, "throughput.output_tokens_per_sec"),
        req_s=_number(good, "throughput.requests_per_sec"),
    )
    isl, osl = _number(good, "prompt_len.mean", "prompt_tokens.mean"), _number(good, "output_len.mean", "output_tokens.mean")
    return [_run("inference-perf", "", "", load, isl, osl, figures)]


def _guidellm(content: Mapping[str, Any]) -> list[Run]:
    """`benchmarks.json` of guidellm: a benchmark a load of the sweep, figures of the successful requests."""
    runs = []
    for one in content["benchmarks"]:
        metrics = one["metrics"]

        def figure(name: str, place: str = "mean", metrics: Any = metrics) -> float | None:
            return _number(metrics, f"{name}.successful.{place}")

        strategy = next((s for s in ((one.get(k) or {}).get("strategy") for k in ("config", "args")) if isinstance(s, Mapping)), {})
        kind = str(strategy.get("type_", strategy.get("kind", "")))
        streams, rate = _number(strategy, "streams", "max_concurrency"), _number(strategy, "rate")
        if kind == "synchronous":
            load = "1"
        elif kind == "concurrent" and streams:
            load = f"{streams:.0f}"
        else:
            load = f"qps={rate:g}" if rate else "inf"
        seconds = figure("request_latency")
        figures = _figures(
            ttft_ms=figure("time_to_first_token_ms"),
            ttft_p99_ms=figure("time_to_first_token_ms", "percentiles.p99"),
            itl_ms=figure("inter_token_latency_ms"),
            e2e_latency_ms=None if seconds is None else seconds * 1e3,
            output_tok_s=figure("output_tokens_per_second"),
            req_s=figure("requests_per_second"),
        )
        model = _text(one, "config.backend.model", "worker.backend_model", "args.model") or _text(
            content, "args.model", "args.backend.model"
        )
        if figures:
            runs.append(_run("guidellm", model, "", load, figure("prompt_token_count"), figure("output_token_count"), figures))
    return runs


_READERS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Run]]], ...]] = (
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("benchmarks"), list), _guidellm),
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("successes"), Mapping), _inference_perf),
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("time_to_first_token"), Mapping), _aiperf),
    (lambda c: isinstance(c, Mapping) and "output_throughput" in c and "completed" in c, _vllm),
)


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
        scenario = "max-throughput" if run.load == "inf" else "server" if run.load.startswith("qps=") else "fixed-concurrency"
        shared = dict.fromkeys(COLUMNS["serving"], "") | {
            "source": given.source, "source_url_or_path": name, "date": "" if given.engine_version else run.date, "engine": given.engine,
            "engine_version": given.engine_version, "model": model, "precision_weights": given.weights, "precision_kv": given.kv,
            "gpu": given.gpu, "num_gpus": given.num_gpus, "tp": given.tp or given.num_gpus, "pp": given.pp, "ep": given.ep,
            "batch_or_concurrency": run.load, "isl": f"{run.isl:g}", "osl": f"{run.osl:g}", "scenario": scenario, "per_gpu": "0",
            "notes": f"read from {run.tool}",
        }  # fmt: skip
        rows += [{**shared, "id": f"{Path(name).name}#{i}:{m}", "metric": m, "value": f"{v:.6g}"} for m, v in run.figures.items()]
    return rows

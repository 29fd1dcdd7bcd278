"""What load generators write: guidellm, aiperf, inference-perf and `vllm bench serve`, each report as runs.

Written against guidellm 0.3 to 0.8, aiperf 0.2 to 0.13, inference-perf 0.2 to 0.7 and vLLM 0.6 to 0.32.  Units are
brought to those of the rows: milliseconds and tokens/s.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["READERS", "Run", "aiperf_csv"]

_NUMBER: Final = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a load generator.

    `load` is a concurrency ("64"), a rate ("qps=4"), "inf" or "" where the report does not say; lengths are mean
    tokens; `figures` by truth metric (``itl_ms``, ``ttft_ms``, ``output_tok_s``, ``power_w`` of all devices, ...).
    """

    tool: str
    model: str
    date: str
    load: str
    isl: float
    osl: float
    figures: Mapping[str, float]


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
            value = value[0].get("name") if isinstance(value[0], Mapping) else value[0]
        if isinstance(value, str) and value:
            return value
    return ""


def _figures(**found: float | None) -> dict[str, float]:
    return {name: value for name, value in found.items() if value is not None}


def _run(
    tool: str, figures: Mapping[str, float], *, model: str = "", date: str = "", load: str, isl: float | None,
    osl: float | None,
) -> Run:  # fmt: skip
    return Run(tool=tool, model=model, date=date[:7], load=load, isl=isl or 0.0, osl=osl or 0.0, figures=figures)


def _vllm(content: Mapping[str, Any]) -> list[Run]:
    """`vllm bench serve --save-result` (and benchmark_serving.py before it): one flat record, times in milliseconds."""
    done = _number(content, "completed")
    if not done:
        return []
    rate = content.get("request_rate")
    finite = _number(
        {"rate": float(rate)} if isinstance(rate, str) and rate.replace(".", "", 1).isdigit() else {"rate": rate},
        "rate",
    )
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
    model = _text(content, "model_id")
    return [_run("vllm bench serve", figures, model=model, date=date, load=load, isl=isl, osl=osl)]


def _aiperf(content: Mapping[str, Any]) -> list[Run]:
    """`profile_export_aiperf.json`: a block of statistics a metric, each with its unit."""

    def milliseconds(metric: str, statistic: str = "avg") -> float | None:
        value = _number(content, f"{metric}.{statistic}")
        unit = _text(content, f"{metric}.unit").lower()
        return None if value is None else value * {"s": 1e3, "sec": 1e3, "us": 1e-3, "ns": 1e-6}.get(unit, 1.0)

    config = content.get("input_config") or {}
    phases = [
        p for p in config.get("phases", []) if isinstance(p, Mapping) and p.get("name", "profiling") == "profiling"
    ]
    phase = phases[-1] if phases else {}
    concurrency = _number(config, "loadgen.concurrency") or _number(phase, "concurrency")
    rate = _number(config, "loadgen.request_rate") or _number(phase, "request_rate", "rate")
    load = f"qps={rate:g}" if rate else f"{concurrency:.0f}" if concurrency else ""
    figures = _figures(
        ttft_ms=milliseconds("time_to_first_token"),
        ttft_p99_ms=milliseconds("time_to_first_token", "p99"),
        itl_ms=milliseconds("inter_token_latency"),
        e2e_latency_ms=milliseconds("request_latency"),
        output_tok_s=_number(content, "output_token_throughput.avg"),
        req_s=_number(content, "request_throughput.avg"),
        power_w=_watts(content),
    )
    model = _text(config, "endpoint.model_names", "models.items", "models", "endpoint.model")
    isl, osl = (
        _number(content, "input_sequence_length.avg"),
        _number(content, "output_sequence_length.avg", "output_token_count.avg"),
    )
    date = _text(content, "start_time")
    return [_run("aiperf", figures, model=model, date=date, load=load, isl=isl, osl=osl)]


def _watts(content: Mapping[str, Any]) -> float | None:
    """Mean watts of all devices: the sum that aiperf gives, or that of its telemetry of each device."""
    total = _number(content, "nvidia_total_gpu_power.avg", "amd_total_gpu_power.avg")
    if total:
        return total
    endpoints = (content.get("telemetry_data") or {}).get("endpoints") or {}
    devices = {name: gpu for endpoint in endpoints.values() for name, gpu in (endpoint.get("gpus") or {}).items()}
    each = [
        _number(gpu, "metrics.nvidia_power_usage.avg", "metrics.amd_power.avg", "metrics.gpu_power_usage.avg")
        for gpu in devices.values()
    ]
    known = [w for w in each if w is not None]
    return sum(known) if known and len(known) == len(each) else None


_CSV_NAMES: Final = {
    "Time to First Token": "time_to_first_token", "Inter Token Latency": "inter_token_latency",
    "Request Latency": "request_latency",
    "Output Token Throughput": "output_token_throughput", "Request Throughput": "request_throughput",
    "Input Sequence Length": "input_sequence_length", "Output Sequence Length": "output_sequence_length",
    "Total GPU Power": "nvidia_total_gpu_power",
}  # fmt: skip
_CSV_METRIC: Final = re.compile(r"^(.*?)(?: \(([^()]*)\))?$")


def aiperf_csv(text: str) -> dict[str, Any]:
    """`profile_export_aiperf.csv` as the JSON export of the same run: sections of metrics, each with a header; no
    configuration."""
    out: dict[str, Any] = {}
    header: list[str] = []
    for cells in csv.reader(io.StringIO(text)):
        if not cells:
            header = []
        elif not header:
            header = cells
        elif header[0] == "Metric":
            found = _CSV_METRIC.match(cells[0])
            name = _CSV_NAMES.get(found[1]) if found else None
            if found and name:
                figures = {
                    ("avg" if k == "Value" else k): float(v) for k, v in zip(header[1:], cells[1:], strict=False) if v
                }
                out[name] = {"unit": found[2] or "", **figures}
    return out


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
    load = f"{concurrency:.0f}" if concurrency else f"qps={rate:g}" if rate else ""
    figures = _figures(
        ttft_ms=milliseconds("time_to_first_token.mean"),
        ttft_p99_ms=milliseconds("time_to_first_token.p99"),
        itl_ms=milliseconds("time_per_output_token.mean"),
        e2e_latency_ms=milliseconds("request_latency.mean"),
        output_tok_s=_number(good, "throughput.output_tokens_per_sec"),
        req_s=_number(good, "throughput.requests_per_sec"),
    )
    isl, osl = (
        _number(good, "prompt_len.mean", "prompt_tokens.mean"),
        _number(good, "output_len.mean", "output_tokens.mean"),
    )
    return [_run("inference-perf", figures, load=load, isl=isl, osl=osl)]


def _guidellm(content: Mapping[str, Any]) -> list[Run]:
    """`benchmarks.json` of guidellm: a benchmark a load of the sweep, figures of the successful requests."""
    runs = []
    for one in content["benchmarks"]:
        metrics = one["metrics"]

        def figure(name: str, place: str = "mean", metrics: Any = metrics) -> float | None:
            return _number(metrics, f"{name}.successful.{place}")

        strategy = next(
            (s for s in ((one.get(k) or {}).get("strategy") for k in ("config", "args")) if isinstance(s, Mapping)), {}
        )
        kind = str(strategy.get("type_", strategy.get("kind", "")))
        streams, rate = _number(strategy, "streams", "max_concurrency"), _number(strategy, "rate")
        if kind == "synchronous":
            load = "1"
        elif kind in ("concurrent", "throughput") and streams:
            load = f"{streams:.0f}"
        else:
            load = f"qps={rate:g}" if rate else "inf" if kind == "throughput" else ""
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
            content, "config.spec.backend.model", "config.backend.model", "args.model", "args.backend.model"
        )
        started = _number(one, "start_time", "scheduler_metrics.measure_start_time", "run_stats.start_time")
        date = datetime.fromtimestamp(started, UTC).strftime("%Y-%m") if started else ""
        if figures:
            runs.append(
                _run(
                    "guidellm",
                    figures,
                    model=model,
                    date=date,
                    load=load,
                    isl=figure("prompt_token_count"),
                    osl=figure("output_token_count"),
                )
            )
    return runs


READERS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Run]]], ...]] = (
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("benchmarks"), list), _guidellm),
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("successes"), Mapping), _inference_perf),
    (lambda c: isinstance(c, Mapping) and isinstance(c.get("time_to_first_token"), Mapping), _aiperf),
    (lambda c: isinstance(c, Mapping) and "output_throughput" in c and "completed" in c, _vllm),
)

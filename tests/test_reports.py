"""Reports of load generators in their present formats: the same run, whichever tool tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rooflab.cli.main import run
from rooflab.errors import InputError
from rooflab.evidence.calibrate.reports import Given, Run, is_report, read_report, rows_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
GIVEN = Given(gpu="h100-sxm", num_gpus="2", engine_version="0.11")
FIGURES = {
    "ttft_ms": 95.0,
    "ttft_p99_ms": 180.0,
    "itl_ms": 12.0,
    "e2e_latency_ms": 5483.0,
    "output_tok_s": 1312.5,
    "req_s": 2.917,
}


def spread(mean: float, p99: float) -> dict[str, Any]:
    return {"mean": mean, "min": mean / 2, "max": 3 * mean, "median": mean, "p90": mean, "p99": p99}


def vllm() -> dict[str, Any]:
    """`vllm bench serve --save-result --percentile-metrics ttft,tpot,itl,e2el` (0.32)."""
    return {
        "date": "20261014-091500", "endpoint_type": "openai", "backend": "openai", "label": None, "model_id": MODEL,
        "tokenizer_id": MODEL,
        "num_prompts": 160, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 16, "duration": 54.9,
        "completed": 160,
        "failed": 0,
        "total_input_tokens": 144000, "total_output_tokens": 72000, "request_throughput": 2.917,
        "request_goodput": None,
        "output_throughput": 1312.5, "total_token_throughput": 3937.5, "max_output_tokens_per_s": 1400.0,
        "max_concurrent_requests": 18,
        "rtfx": 0.0, "mean_ttft_ms": 95.0, "median_ttft_ms": 90.0, "std_ttft_ms": 20.0, "p99_ttft_ms": 180.0,
        "mean_tpot_ms": 12.0,
        "median_tpot_ms": 12.0, "p99_tpot_ms": 13.0, "mean_itl_ms": 12.1, "p99_itl_ms": 40.0, "mean_e2el_ms": 5483.0,
        "p99_e2el_ms": 5700.0,
    }  # fmt: skip


def guidellm(strategy: dict[str, Any]) -> dict[str, Any]:
    """`benchmarks.json` of guidellm 0.8: report version 2, the backend under the report's config, the strategy under
    each benchmark's."""

    def figure(mean: float, p99: float) -> dict[str, Any]:
        done = {
            "mean": mean,
            "median": mean,
            "count": 160,
            "percentiles": {"p50": mean, "p90": mean, "p99": p99, "p999": p99},
        }
        return {"total": {**done, "mean": 0.9 * mean}, "successful": done, "incomplete": {}, "errored": {}}

    metrics = {
        "request_totals": {"successful": 160, "incomplete": 0, "errored": 0, "total": 160},
        "requests_per_second": figure(2.917, 3),
        "request_latency": figure(5.483, 5.7), "request_concurrency": figure(16, 16),
        "prompt_token_count": figure(900, 900),
        "output_token_count": figure(450, 450), "time_to_first_token_ms": figure(95, 180),
        "time_per_output_token_ms": figure(12.2, 13),
        "inter_token_latency_ms": figure(12, 13), "output_tokens_per_second": figure(1312.5, 1400),
        "slo_attainment": None,
    }  # fmt: skip
    one = {
        "type_": "generative_benchmark",
        "config": {"id_": "a", "run_index": 0, "strategy": strategy, "constraints": {}},
        "scheduler_metrics": {"measure_start_time": 1792000000.0}, "metrics": metrics, "start_time": 1792000000.0,
        "warnings": [],
    }  # fmt: skip
    spec = {"backend": {"kind": "openai_http", "target": "http://localhost:8000/v1", "model": MODEL}}
    return {
        "metadata": {"version": 2, "guidellm_version": "0.8.1"},
        "config": {"spec": spec},
        "benchmarks": [one],
        "conclusions": [],
    }


def aiperf(phase: dict[str, Any]) -> dict[str, Any]:
    """`profile_export_aiperf.json` of aiperf 0.13 (schema 1.4), with the power of two GPUs."""

    def metric(unit: str, avg: float, p99: float | None = None) -> dict[str, Any]:
        return {"unit": unit, "avg": avg} | ({"p50": avg, "p99": p99} if p99 else {})

    config = {
        "models": {"strategy": "round_robin", "items": [{"name": MODEL}]},
        "endpoint": {"urls": ["http://localhost:8000"]},
    }
    gpus = {
        f"gpu{i}": {
            "gpu_index": i,
            "gpu_name": "NVIDIA H100 80GB HBM3",
            "metrics": {"nvidia_power_usage": metric("W", 455.0)},
        }
        for i in (0, 1)
    }
    return {
        "schema_version": "1.4", "aiperf_version": "0.13.0", "request_throughput": metric("requests/sec", 2.917),
        "request_latency": metric("ms", 5483.0, 5700.0), "time_to_first_token": metric("ms", 95.0, 180.0),
        "inter_token_latency": metric("ms", 12.0, 13.0), "output_token_throughput": metric("tokens/sec", 1312.5),
        "output_sequence_length": metric("tokens", 450.0, 450.0),
        "input_sequence_length": metric("tokens", 900.0, 900.0),
        "telemetry_data": {"endpoints": {"localhost:9400": {"gpus": gpus}}},
        "input_config": {**config,
        "phases": [{"name": "warmup", "type": "concurrency", "concurrency": 2}, {"name": "profiling", **phase}]},
        "was_cancelled": False, "start_time": "2026-10-14T09:15:00", "end_time": "2026-10-14T09:16:00",
    }  # fmt: skip


AIPERF_CSV = """Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std
Input Sequence Length (tokens),900.00,900.00,900.00,,,,,,900.00,,,,900.00,0.00
Inter Token Latency (ms),12.00,11.00,14.00,,,,,,12.00,,,,13.00,0.10
Output Sequence Length (tokens),450.00,450.00,450.00,,,,,,450.00,,,,450.00,0.00
Request Latency (ms),5483.00,5300.00,5800.00,,,,,,5480.00,,,,5700.00,50.00
Time to First Token (ms),95.00,60.00,190.00,,,,,,90.00,,,,180.00,20.00

Metric,Value
Output Token Throughput (tokens/sec),1312.50
Request Count,160
Request Throughput (requests/sec),2.917
Total GPU Power (W),910.00
"""


def inference_perf(**load: float) -> dict[str, Any]:
    """`stage_0_lifecycle_metrics.json` of inference-perf 0.7: token counts as prompt_tokens and output_tokens."""
    return {
        "benchmark_time_seconds": 54.9, "retries": None,
        "load_summary": {"count": 160, "schedule_delay": spread(0.001, 0.002), "send_duration": 54.0, **load},
        "successes": {
            "count": 160,
            "latency": {
                "request_latency": spread(5.483, 5.7), "normalized_time_per_output_token": spread(0.0122, 0.013),
                "time_per_output_token": spread(0.012, 0.013), "time_to_first_token": spread(0.095, 0.18),
                "inter_token_latency": spread(0.0121, 0.04),
            },
            "throughput": {
                "input_tokens_per_sec": 2625.0, "output_tokens_per_sec": 1312.5, "total_tokens_per_sec": 3937.5,
                "requests_per_sec": 2.917,
            },
            "prompt_tokens": {"total": 144000, "cached": 0, "uncached": 144000, **spread(900.0, 900.0)},
            "output_len": spread(450.0, 450.0), "output_tokens": {"total": 72000, **spread(450.0, 450.0)},
        },
        "failures": {"count": 0, "request_latency": None, "by_label": {}},
    }  # fmt: skip


def read(content: Any, tmp_path: Path, name: str = "report.json") -> Run:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert is_report(path)
    (found,) = read_report(path)
    return found


@pytest.mark.parametrize(
    ("content", "load", "date", "watts"),
    [
        (vllm(), "16", "2026-10", None),
        (vllm() | {"max_concurrency": None, "request_rate": 3.0}, "qps=3", "2026-10", None),
        (guidellm({"type_": "concurrent", "streams": 16}), "16", "2026-10", None),
        (guidellm({"type_": "poisson", "rate": 3.0, "max_concurrency": None}), "qps=3", "2026-10", None),
        (guidellm({"type_": "throughput", "max_concurrency": None}), "inf", "2026-10", None),
        (guidellm({"type_": "throughput", "max_concurrency": 16}), "16", "2026-10", None),
        (guidellm({"type_": "synchronous"}), "1", "2026-10", None),
        (aiperf({"type": "concurrency", "concurrency": 16}), "16", "2026-10", 910.0),
        (aiperf({"type": "poisson", "rate": 3.0, "concurrency": 64}), "qps=3", "2026-10", 910.0),
        (aiperf({"type": "concurrency", "concurrency": 16}) | {"amd_total_gpu_power": {"unit": "W", "avg": 900}}, "16",
        "2026-10", 900.0),
        (inference_perf(requested_rate=3.0, achieved_rate=2.9), "qps=3", "", None),
        (inference_perf(requested_rate=3.0, achieved_rate=2.9, concurrency=16), "16", "", None),
    ],
)  # fmt: skip
def test_present_formats(content: Any, load: str, date: str, watts: float | None, tmp_path: Path) -> None:
    found = read(content, tmp_path)
    assert (found.load, found.date, found.isl, found.osl) == (load, date, 900, 450)
    assert {k: found.figures[k] for k in FIGURES} == pytest.approx(FIGURES)
    assert found.figures.get("power_w") == watts
    assert found.model == ("" if found.tool == "inference-perf" else MODEL)


def test_the_csv_of_aiperf_says_the_same_but_for_its_load(tmp_path: Path) -> None:
    found = read(AIPERF_CSV, tmp_path, "profile_export_aiperf.csv")
    assert {k: found.figures[k] for k in FIGURES} == pytest.approx(FIGURES)
    assert found.figures["power_w"] == 910.0
    given = Given(model=MODEL, gpu="h100-sxm", num_gpus="2", load="16")
    rows = rows_of([found], given, "profile_export_aiperf.csv")
    assert {r["batch_or_concurrency"] for r in rows} == {"16"}
    assert {r["metric"] for r in rows} == {*FIGURES, "power_w"}
    with pytest.raises(InputError, match="--load 64"):
        rows_of([found], Given(model=MODEL, gpu="h100-sxm"), "profile_export_aiperf.csv")
    with pytest.raises(InputError, match="'many'"):
        rows_of([found], Given(model=MODEL, gpu="h100-sxm", load="many"), "profile_export_aiperf.csv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (inference_perf(), "give its stage_N_lifecycle_metrics.json"),  # the summary of all stages says no load
        (guidellm({"type_": "trace", "time_scale": 1.0}), "at what load"),
        (aiperf({"type": "fixed_schedule"}), "at what load"),
    ],
)
def test_a_report_without_its_load_is_refused(content: Any, says: str, tmp_path: Path) -> None:
    found = read(content, tmp_path)
    with pytest.raises(InputError, match=says):
        rows_of([found], Given(model=MODEL, gpu="h100-sxm"), "report.json")


def test_watts_in_a_report_calibrate_power(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for concurrency, itl in ((1, 9.0), (4, 9.4), (16, 10.5), (64, 14.0)):
        report = aiperf({"type": "concurrency", "concurrency": concurrency})
        report["inter_token_latency"]["avg"], report["output_token_throughput"]["avg"] = itl, concurrency / itl * 950
        report["nvidia_total_gpu_power"] = {"unit": "W", "avg": 550.0 + 2 * concurrency}
        path = tmp_path / f"c{concurrency}.json"
        path.write_text(json.dumps(report))
        files.append(str(path))
    out = tmp_path / "cal.json"
    assert run(["calibrate", *files, "--gpu", "h100-sxm", "--num-gpus", "2", "--out", str(out)]) == 0
    assert "h100-sxm power" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["power"]["h100-sxm"]["provenance"] == "fitted"
    assert [d["holds"] for d in content["data"]] == ["report"] * 4

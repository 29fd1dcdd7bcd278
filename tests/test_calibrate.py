"""Calibration: reports are read, constants that rows tell are found again, those they cannot tell are refused, and
plans change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.cli.main import run
from rooflab.costs.engine_constants import active, read_calibration, using
from rooflab.errors import InputError
from rooflab.evidence.calibrate.calibrate import calibrate, fit_rows
from rooflab.evidence.calibrate.reports import Given, read_report, rows_of
from rooflab.evidence.fit.posterior import NOISE, Line, solve
from rooflab.evidence.fit.priors import Prior
from rooflab.evidence.fit.serving import FitRow, with_engine
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
ROWS = str(ROOT / "examples" / "cluster-rows.csv")
GIVEN = Given(gpu="h100-sxm", num_gpus="8", weights="fp8")
SAID = ("--gpu", "h100-sxm", "--num-gpus", "8", "--weights", "fp8", "--engine-version", "0.10")


def vllm_bench(concurrency: int, tpot_ms: float = 12.0) -> dict[str, Any]:
    return {
        "date": "20251029-101500", "backend": "vllm", "model_id": "meta-llama/Llama-3.1-70B-Instruct",
        "num_prompts": 160,
        "request_rate": "inf", "max_concurrency": concurrency, "completed": 160, "failed": 0,
        "total_input_tokens": 160 * 900,
        "total_output_tokens": 160 * 450, "request_throughput": 2.5, "output_throughput": 1100.0,
        "total_token_throughput": 3300.0,
        "mean_ttft_ms": 95.0, "p99_ttft_ms": 180.0, "mean_tpot_ms": tpot_ms, "mean_itl_ms": tpot_ms,
    }  # fmt: skip


def guidellm(where: str) -> dict[str, Any]:
    def figure(mean: float) -> dict[str, Any]:
        return {"successful": {"mean": mean, "median": mean, "percentiles": {"p50": mean, "p99": 2 * mean}}}

    metrics = {
        "requests_per_second": figure(2.5), "prompt_token_count": figure(900), "output_token_count": figure(450),
        "time_to_first_token_ms": figure(95), "inter_token_latency_ms": figure(12),
        "output_tokens_per_second": figure(1100),
        "request_latency": figure(5.5),
    }  # fmt: skip
    strategies = [
        {"type_": "synchronous"},
        {"type_": "concurrent", "streams": 16},
        {"type_": "constant", "rate": 2.5},
        {"type_": "throughput"},
    ]
    runs = [
        {where: {"strategy": s}, "metrics": metrics, "worker": {"backend_model": "Llama-3.1-70B"}} for s in strategies
    ]
    return {"metadata": {"version": 1}, "benchmarks": runs}


def aiperf(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_config": {"endpoint": {"model_names": ["Llama-3.1-70B"]}, **config},
        "time_to_first_token": {"unit": "ms", "avg": 95.0, "p99": 180.0},
        "inter_token_latency": {"unit": "ms", "avg": 12.0},
        "request_latency": {"unit": "s", "avg": 5.5}, "output_token_throughput": {"unit": "tokens/sec", "avg": 1100.0},
        "request_throughput": {"unit": "requests/sec", "avg": 2.5},
        "input_sequence_length": {"unit": "tokens", "avg": 900.0},
        "output_sequence_length": {"unit": "tokens", "avg": 450.0},
    }  # fmt: skip


INFERENCE_PERF = {
    "load_summary": {"count": 480, "requested_rate": 2.5, "achieved_rate": 2.4},
    "successes": {
        "count": 480,
        "latency": {
            "request_latency": {"mean": 5.5}, "time_to_first_token": {"mean": 0.095, "p99": 0.18},
            "time_per_output_token": {"mean": 0.012},
        },
        "throughput": {"output_tokens_per_sec": 1100.0, "requests_per_sec": 2.5},
        "prompt_len": {"mean": 900.0},
        "output_len": {"mean": 450.0},
    },
    "failures": {"count": 0},
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "loads"),
    [
        (vllm_bench(16), ["16"]),
        (vllm_bench(16) | {"max_concurrency": None, "request_rate": 2.5}, ["qps=2.5"]),
        (vllm_bench(16) | {"max_concurrency": None}, ["inf"]),
        (guidellm("config"), ["1", "16", "qps=2.5", "inf"]),
        (guidellm("args"), ["1", "16", "qps=2.5", "inf"]),
        (aiperf({"loadgen": {"concurrency": 16}}), ["16"]),
        (aiperf({"loadgen": {"request_rate": 2.5}}), ["qps=2.5"]),
        (aiperf({"phases": [{"name": "warmup", "concurrency": 2}, {"name": "profiling", "concurrency": 16}]}), ["16"]),
        (INFERENCE_PERF, ["qps=2.5"]),
    ],
)
def test_every_tool_reports_the_same_run(content: dict[str, Any], loads: list[str], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    runs = read_report(path)
    assert [r.load for r in runs] == loads
    for r in runs:
        assert (r.isl, r.osl) == (900, 450)
        expected = {"ttft_ms": 95, "itl_ms": 12, "output_tok_s": 1100, "req_s": 2.5}
        assert {k: r.figures[k] for k in expected} == pytest.approx(expected)
        assert r.figures["ttft_p99_ms"] == pytest.approx(190 if "benchmarks" in content else 180)
        if r.tool != "vllm bench serve":
            assert r.figures["e2e_latency_ms"] == pytest.approx(5500)
    rows = rows_of(runs, Given(model="Llama-3.1-70B", gpu="h100-sxm", num_gpus="8", weights="fp8"), "report.json")
    asked, reasons = fit_rows(rows)
    assert len(asked) + len(reasons) == len(rows)
    assert not any("cannot" in r for r in reasons.values())
    assert {a.question.scenarios[0].deployment.split.tp for a in asked} == {8}


def test_results_appended_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(json.dumps(vllm_bench(c)) for c in (1, 4, 16)))
    assert [r.load for r in read_report(path)] == ["1", "4", "16"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"), ('{"a": 1}', "not a report"), ("[]", "not a report"), ('{"a": 1}\n{', "line 2"),
        (json.dumps({**vllm_bench(4), "completed": 0}), "no completed run"),
        ('{"benchmarks": [1]}', "unexpected field"),
        ('{"successes": {"count": 3}}', "how long"),
    ],
)  # fmt: skip
def test_other_files_are_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        rows_of(read_report(path), Given(model="m", gpu="g"), "report.json")


def test_what_a_report_lacks_must_be_said(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(vllm_bench(4)))
    with pytest.raises(InputError, match="--gpu"):
        rows_of(read_report(path), Given(), "report.json")
    path.write_text(json.dumps(INFERENCE_PERF))
    with pytest.raises(InputError, match="--model"):
        rows_of(read_report(path), GIVEN, "report.json")


def test_a_line_is_solved_by_hand() -> None:
    # y = 1 + 2θ, measured 3, weak prior: θ = 1; its deviation is σ·y/slope, as the prior hardly counts
    line = Line(np.array([1.0] * 4), np.array([[2.0]] * 4), np.array([0.0]))
    got = solve(line, np.array([3.0] * 4), [Prior(0.0, 10.0, -50, 50, 0.1)])
    assert got.theta[0] == pytest.approx(1.0, abs=1e-3)
    assert got.deviation[0] == pytest.approx(NOISE * 3.0 / 2.0 / np.sqrt(4), rel=0.01)
    # no slope: the prior stands
    flat = solve(Line(np.ones(4), np.zeros((4, 1)), np.array([5.0])), np.ones(4), [Prior(5.0, 2.0, 0, 9, 0.1)])
    assert (flat.theta[0], flat.deviation[0]) == (pytest.approx(5.0), pytest.approx(2.0))


def synthetic(**constants: float) -> list[FitRow]:
    """The example's rows, measured by an engine with other constants."""
    rows, _ = fit_rows(read_table(ROWS).rows)
    with using(with_engine("vllm@2025/dense", constants)):
        values = predict([r.question for r in rows])
    questions = [replace(r.question, measured=float(v)) for r, v in zip(rows, values, strict=True)]
    return [FitRow(q, r.source, r.model, r.gpu) for q, r in zip(questions, rows, strict=True)]


def test_a_slower_engine_is_found_again() -> None:
    shipped = active().engine("vllm", "2025", "dense", "hopper")
    found = calibrate(synthetic(fixed_s=shipped.fixed_s + 4e-3), "2026-01-01")
    steps = found.stages[0]
    assert steps.kept
    assert steps.before[0] > 0.2
    assert steps.after[0] < 0.03
    assert steps.left_out[0] < 0.05
    assert {c.name for c in steps.constants if c.fitted} & {"fixed_s", "layer_s"}


def test_rows_that_the_shipped_constants_explain_change_nothing() -> None:
    found = calibrate(synthetic(), "2026-01-01")
    assert not found.changed
    assert all(c.refused for s in found.stages for c in s.constants)
    assert found.table == active()


def test_refusals_say_why() -> None:
    found = calibrate(fit_rows(read_table(ROWS).rows)[0], "2026-01-01")
    refused = {c.name: c.refused for s in found.stages for c in s.constants if c.refused}
    assert "compute" in refused, "decode steps of small batches tell nothing of arithmetic"
    assert all(r.startswith(("the rows", "no row", "left-out")) for r in refused.values())
    for stage in found.stages:
        for c in stage.constants:
            assert c.fitted or c.value == c.shipped


def test_from_ten_rows_to_a_calibrated_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "mine.json")
    assert run(["calibrate", ROWS, "--out", out, "--json", "--date", "2026-11-24"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(Path(out).read_text())
    assert len(content["rows"]) == 10
    assert {"id", "source", "measured", "before", "after", "unused"} <= set(content["rows"][0])
    assert all(fit["left_out_median"] < fit["before_median"] for fit in content["fits"] if fit["kept"])
    assert "2026-11-24" in next(iter(content["engines"].values()))["source"]
    errors = []
    for more in ((), ("--calibration", out)):
        run(["validate", ROWS, "--json", *more])
        errors.append(json.loads(capsys.readouterr().out)["overall"]["median_ape"])
    assert errors[1] < errors[0] / 2
    chat = str(ROOT / "examples" / "chat-70b.yaml")
    plans = []
    for more in ((), ("--calibration", out)):
        run(["plan", chat, "--engine", "vllm", "--no-prove", "--json", *more])
        plans.append(json.loads(capsys.readouterr().out)["choices"][0]["metrics"])
    assert plans[0]["ttft_s_mean"] != plans[1]["ttft_s_mean"]
    with using(read_calibration(out)):
        same = rl.estimate(chat)
    run(["estimate", chat, "--json", "--calibration", out])
    assert json.loads(capsys.readouterr().out)["metrics"]["tpot_s_mean"] == pytest.approx(same.tpot_s_mean)


def test_reports_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for concurrency, tpot in ((1, 12.0), (4, 12.6), (16, 15.0), (64, 21.0)):
        path = tmp_path / f"c{concurrency}.json"
        path.write_text(
            json.dumps({**vllm_bench(concurrency, tpot), "output_throughput": None, "request_throughput": None})
        )
        files.append(str(path))
    out, table = tmp_path / "cal.json", tmp_path / "rows.csv"
    assert run(["calibrate", *files, *SAID, "--out", str(out), "--rows-out", str(table)]) == 0
    said = capsys.readouterr().out
    assert "vllm@2025/dense" in said
    assert "not fitted:" in said
    assert len(read_table(table).rows) == 12
    assert read_calibration(out).engine("vllm", "2025", "dense").provenance == "fitted"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.csv"], "no such file"),
        (["none.json", *SAID], "no such file"),
        ([ROWS, "--calibration", "none.json"], "no such file"),
        ([ROWS, "--out", "no/such/folder/x.json"], "cannot be written"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["calibrate", *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1

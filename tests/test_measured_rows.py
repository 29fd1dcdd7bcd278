"""How published rows are read: rates of batches, MLPerf's rules, rows that cannot be true."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.serving import Question, Unsupported, question
from rooflab.evidence.rows.tables import COLUMNS, Row, Table, read_table
from rooflab.evidence.rows.untrue import beside_others, beyond_context
from rooflab.evidence.score.score import Scores, score
from rooflab.evidence.score.validate import judge

BLANK = dict.fromkeys(COLUMNS["serving"], "")
BATCHED = BLANK | {
    "source": "llama.cpp tools/batched-bench", "engine": "llama.cpp", "date": "2024-05", "gpu": "a100-sxm-80gb",
    "num_gpus": "1", "tp": "1", "model": "meta-llama/Llama-2-7b-hf", "precision_weights": "F16", "isl": "128",
    "osl": "128", "scenario": "fixed-batch", "per_gpu": "0",
}  # fmt: skip
SAMPLE = {1: (1186.64, 41.57), 2: (1295.19, 50.90), 4: (1373.96, 74.44), 8: (1363.27, 139.43)}
"""Prompt and generation rates by batch of the sample table in llama.cpp's tools/batched-bench/README.md (another
device's: only how they change with the batch is asked)."""
MLPERF = BLANK | {
    "id": "m", "source": "MLPerf Inference v5.1", "date": "2025-09", "engine": "TensorRT", "gpu": "B200-SXM",
    "num_gpus": "8", "model": "llama3.1-405b", "scenario": "server", "metric": "output_tok_s", "value": "1000",
    "per_gpu": "0", "osl": "684",
}  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> tuple[Row, ...]:
    """The rows of the truth table, where there is one."""
    path = Path(__file__).resolve().parents[1].parent / "shared" / "truth" / "serving" / "measurements.csv"
    if not path.is_file():
        pytest.skip("no shared data beside this checkout")
    return read_table(path).rows


def scored(rows: list[Row]) -> Scores:
    """The rows scored."""
    return score(Table("serving", tuple(rows), "rows"))


def median_error(rows: list[Row]) -> float:
    """The median error of rows."""
    return float(np.median([r.error for r in scored(rows).scored]))


def rates(metric: str) -> dict[int, float]:
    """What is predicted of the sample table's rows, by batch."""
    place = 0 if metric == "prefill_tok_s" else 1
    rows = [
        BATCHED | {"id": f"b{b}", "batch_or_concurrency": str(b), "metric": metric, "value": str(found[place])}
        for b, found in SAMPLE.items()
    ]
    return dict(zip(SAMPLE, predict([question(row) for row in rows]).tolist(), strict=True))


def test_rates_of_a_batch_are_those_of_all_its_sequences() -> None:
    generated, prompts = rates("decode_tok_s"), rates("prefill_tok_s")
    # the table's rises 3.35 times from one to eight, and no part of it falls as 1/B
    assert 2.0 < generated[8] / generated[1] <= 8.0
    assert 0.9 < prompts[8] / prompts[1] < 4.0
    assert list(generated.values()) == sorted(generated.values())


def mlperf(**changes: Any) -> Row:
    return MLPERF | {k: str(v) for k, v in changes.items()}


@pytest.mark.parametrize(
    ("device", "model", "weights"),
    [
        ("B200-SXM", "llama3.1-405b", "nvfp4"),
        ("GB200-NVL72-192GB", "llama2-70b-99.9", "nvfp4"),
        ("RTX PRO 6000 Blackwell SE-96GB", "llama3.1-8b", "nvfp4"),
        ("RTX PRO 6000 Blackwell SE-96GB", "mixtral-8x7b", "fp8"),
        ("MI355X-288GB", "llama2-70b-99.9", "mxfp4"),
        ("MI300X-192GB", "llama2-70b-99.9", "fp8"),
        ("H200-SXM-141GB", "llama3.1-8b", "fp8"),
        ("CPU INTEL(R) XEON(R) 6787P", "llama3.1-8b", "int8"),
    ],
)
def test_a_submission_without_a_precision_has_its_vendors(device: str, model: str, weights: str) -> None:
    s = question(mlperf(gpu=device, model=model, osl="100")).scenarios[0]
    assert s.deployment.formats.weights == weights


def test_amds_pytorch_is_its_tuned_stack() -> None:
    def engine(device: str) -> str:
        row = mlperf(engine="PyTorch", gpu=device, model="llama2-70b-99.9", osl="294")
        return question(row).scenarios[0].deployment.runtime.engine

    assert engine("MI300X-192GB") == "vllm"
    assert engine("H100-SXM-80GB") == "pytorch"


def test_a_valid_tail_is_never_above_its_limit() -> None:
    rows = [
        mlperf(id=f"{m}{n}", metric=m, value=v, model="llama2-70b-99.9", gpu="H100-SXM-80GB", num_gpus=n, osl=294)
        for m, v in (("ttft_p99_ms", 1900), ("itl_p99_ms", 190))
        for n in (2, 8)
    ]
    limit = {"ttft_p99_ms": 2000.0, "itl_p99_ms": 200.0}
    judged = judge(scored(rows))
    assert len(judged) == 4
    assert all(max(j.row.predicted, j.high) <= limit[j.row.metric] * (1 + 1e-9) for j in judged)


def test_facts_of_newer_benchmarks() -> None:
    fast = question(mlperf(model="deepseek-r1", scenario="interactive", osl=3880)).scenarios[0].slo
    assert dict(fast.limits) == {"ttft_p99": 1.5, "tpot_p99": 0.015}
    open_model = question(mlperf(model="gpt-oss-120b", isl=1000, osl="")).scenarios[0]
    assert open_model.workload.mean_output_tokens == pytest.approx(1278.2)
    assert dict(open_model.slo.limits) == {"ttft_p99": 3.0, "tpot_p99": 0.08}


def test_a_summary_without_output_tokens_can_be_read() -> None:
    rows = [mlperf(id="a", osl="0", source_url_or_path="x"), mlperf(id="b", osl="0", metric="ttft_p99_ms", value=900)]
    found = scored(rows)
    assert len(found.scored) + len(found.unsupported) == 2


def test_precisions_of_v51_are_found_where_the_column_is_deleted(truth: tuple[Row, ...]) -> None:
    stated = [r for r in truth if r["source"] == "MLPerf Inference v5.1"]
    assert abs(median_error(stated) - median_error([{**r, "precision_weights": ""} for r in stated])) < 0.02


STATIC = BLANK | {
    "source": "mine", "engine": "vLLM", "engine_version": "0.10", "model": "meta-llama/Llama-2-7b-hf",
    "gpu": "a100-sxm-80gb", "num_gpus": "1", "tp": "1", "batch_or_concurrency": "16", "scenario": "fixed-batch",
    "metric": "output_tok_s", "per_gpu": "0",
}  # fmt: skip


def static(name: str, length: float, value: float, **changes: Any) -> Row:
    return STATIC | {"id": name, "isl": f"{length:g}", "osl": f"{length:g}", "value": str(value)} | changes


def test_a_run_beyond_the_context_is_listed() -> None:
    fits, beyond = static("a", 2048, 700), static("b", 4096, 9000)
    found = scored(
        [fits, beyond, static("c", 4096, 400, engine="TensorRT-LLM"), static("d", 4096, 30, metric="itl_ms")]
    )
    assert {r.id for r in found.scored} == {"a", "c", "d"}
    assert "do not fit the model's context of 4,096" in found.unsupported["b"]


def test_a_row_twice_as_fast_as_physics_is_listed() -> None:
    # 13.5 GB of weights and the caches of sixteen sequences are read in 10 ms at the least: 1,600 tokens/s
    rows = [static("fast", 512, 20000), static("true", 512, 900), static("gap", 512, 0.9, metric="itl_ms"),
            static("first", 512, 1.0, metric="ttft_ms")]  # fmt: skip
    found = scored(rows)
    assert {r.id for r in found.scored} == {"true"}
    assert all("as fast as the limit" in reason for reason in found.unsupported.values())


def test_a_series_with_start_up_inside_is_listed() -> None:
    def series(source: str, start_up_s: float) -> list[Row]:
        return [
            static(f"{source}{n}", n, 16 * n / (start_up_s + n * 0.012), source=source) for n in (128, 256, 1024, 2048)
        ]

    found = scored([*series("plain", 0.0), *series("loading", 60.0)])
    assert {r.source for r in found.scored} == {"plain"}
    assert all("start-up is inside" in reason for reason in found.unsupported.values())


def test_the_slower_of_two_rows_of_one_configuration_is_listed() -> None:
    rows = [static("a", 512, 900), static("b", 512, 250), static("c", 512, 850), static("d", 256, 240),
            static("e", 512, 900, metric="ttft_ms"), static("f", 512, 4000, metric="ttft_ms")]  # fmt: skip
    assert list(scored(rows).unsupported) == ["b"]


def test_no_row_that_truth_does_not_doubt_is_called_untrue(truth: tuple[Row, ...]) -> None:
    rows = [r for r in truth if not r["notes"].startswith("SUSPECT")]
    assert beside_others(rows) == {}
    asked = []
    for row in rows:
        with suppress(Unsupported):
            asked.append(question(row))
    assert [q.id for q in asked if beyond_context(q)] == []


def test_the_limit_of_a_mixture_counts_one_tokens_experts(truth: tuple[Row, ...]) -> None:
    # published runs of one repeated prompt read fewer experts than uniform routing says
    rows = [
        r
        for r in truth
        if r["source"].startswith("Argonne") and "Mixtral" in r["model"] and r["gpu"].startswith("A100")
    ]
    questions = [q for r in rows if (q := question(r)).scenarios[0].workload.mode == "static" and "per_s" in q.metric]
    assert len(questions) > 20
    answers = estimate_many([q.scenarios[0] for q in questions])
    for q, predicted, found in zip(questions, predict(questions), answers, strict=True):
        if isinstance(found, Estimate):
            assert q.measured <= predicted / found.metrics["limit_ratio"]


def test_settings_in_notes_are_read() -> None:
    notes = "per-request log; max_num_seqs=256, max_num_batched_tokens=2048; 300 requests; CUDA graphs off"
    row = STATIC | {"id": "n", "isl": "512", "osl": "512", "value": "9", "metric": "itl_ms", "notes": notes,
                    "scenario": "fixed-concurrency", "batch_or_concurrency": "30"}  # fmt: skip
    s = question(row).scenarios[0]
    limits, runtime = s.deployment.limits, s.deployment.runtime
    assert (limits.max_num_seqs, limits.max_num_batched_tokens, runtime.cuda_graphs) == (256, 2048, False)
    assert s.workload.rounds == 10
    assert question({**row, "notes": "600 prompts"}).scenarios[0].workload.rounds == 20


def test_recipes_are_read_per_device() -> None:
    def deployment(device: str) -> Any:
        row = STATIC | {"id": "x", "source": "InferenceX", "date": "2026-03", "model": "MiniMaxAI/MiniMax-M2.5",
                        "gpu": device, "num_gpus": "4", "tp": "4", "precision_weights": "fp8", "isl": "1024",
                        "osl": "1024", "value": "9", "metric": "itl_ms", "scenario": "fixed-concurrency",
                        "batch_or_concurrency": "64"}  # fmt: skip
        return question(row).scenarios[0].deployment

    h100, h200 = deployment("H100-SXM-80GB"), deployment("H200-SXM-141GB")
    assert (h100.formats.kv, h200.formats.kv) == (None, "fp8")
    assert (h100.limits.gpu_memory_utilization, h200.limits.gpu_memory_utilization) == (0.9, 0.95)
    assert h200.limits.max_num_batched_tokens == 32768


def test_arc_cards_say_nothing_of_xe_hpc() -> None:
    from rooflab.catalogue.hardware import hardware
    from rooflab.costs.calibration import calibration_for

    assert calibration_for(hardware("max-1550").device, "vllm").provenance == "assumed"
    assert calibration_for(hardware("arc-pro-b60").device, "vllm").in_table


def test_an_estimate_is_what_validate_predicts(truth: tuple[Row, ...]) -> None:
    # what a row's recipe or notes set is taken off; all else is the engine's own default
    own = ("Argonne LLM-Inference-Bench", "GPU-Benchmarks-on-LLM-Inference", "TRT-LLM perf-overview (online)",
           "TRT-LLM perf-overview (static)", "Qwen2.5 speed benchmark", "geerlingguy/ai-benchmarks",
           )  # fmt: skip
    chosen: list[Question] = []
    for row in [r for r in truth if r["source"] in own][::25]:
        with suppress(Unsupported):
            chosen.append(question(row))
    single = [q for q in chosen if len(q.scenarios) == 1]
    limits = dict.fromkeys(("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization"))
    plain = [replace(q, scenarios=(q.scenarios[0].with_deployment(**limits),)) for q in single]
    assert len(single) > 80
    np.testing.assert_allclose(predict(plain), predict(single), rtol=0.02)


def test_cards_that_wait_for_a_single_board_computer_move_no_constant(truth: tuple[Row, ...]) -> None:
    from rooflab.evidence.refit.serving.rows import weight

    rows = [r for r in truth if r["source"].startswith("geerling") and "R9700" in r["gpu"] and "3b" in r["model"]]
    weights = {r["gpu"].startswith("Pi"): weight(r, question(r)) for r in rows}
    assert weights == {True: 0.0, False: 1.0}

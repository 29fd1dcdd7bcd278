"""Bursts: N requests that are all sent at once, priced as a run by both engines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import with_device

import rooflab as rl
from rooflab.errors import InputError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.burst_steps import Queue, unfold
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows.serving import question
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.write import written
from rooflab.simulator.serving.scenario import simulate

PAIRS = (
    ("Llama-3.1-8B", "h100-sxm", 1), ("Qwen3-30B-A3B", "h200-sxm", 1), ("DeepSeek-V3", "h200-sxm", 8),
    ("Llama-3.1-8B", "l40s", 1), ("gpt-oss-20b", "h100-sxm", 1), ("Mistral-7B", "rtx-4090", 1),
)  # fmt: skip
ENGINES = ("vllm", "sglang", "trtllm", "llamacpp", "lmdeploy", "tgi")
LENGTHS: tuple[dict[str, Any], ...] = (
    {"isl": 1000, "osl": 200}, {"isl": "100..2000", "osl": "20..500"}, {"like": "sharegpt"}, {"like": "azure-code"},
    {"isl": {"lognormal": {"mean": 600, "cv": 1.0}}, "osl": {"lognormal": {"mean": 150, "cv": 1.0, "high": 2000}}},
)  # fmt: skip
COUNTS = (1, 7, 40, 200, 700, 2000)


def asked(count: int, pair: int = 0, engine: str = "vllm", **changes: Any) -> Scenario:
    """A burst on one of PAIRS; lengths, `concurrency` and `replicas` as given."""
    model, device, tp = PAIRS[pair]
    replicas = changes.pop("replicas", 1)
    workload = {"isl": 1000, "osl": 200, "burst": count, **changes}
    if "like" in workload:
        del workload["isl"], workload["osl"]
    deployment = {"engine": engine, "tp": tp, "replicas": replicas, "prefix_caching": False, "max_num_seqs": 128}
    return rl.load({
        "model": model, "hardware": f"{tp * replicas} x {device}", "workload": workload, "deployment": deployment
    })  # fmt: skip


def test_the_closed_form_meets_the_simulator() -> None:
    """Over models, engines, lengths and counts: runs in the median within 3 %, first tokens within 5 and 10 %."""
    errors: dict[str, list[float]] = {}
    for i in range(30):
        scenario = asked(COUNTS[i % 6], (i // 2) % 6, ENGINES[(i // 3) % 6], **LENGTHS[i % 5])
        runs = [simulate(scenario, seed=k) for k in range(12 if (scenario.workload.burst or 0) < 100 else 4)]
        closed_form = rl.estimate(scenario)
        for metric in ("output_tokens_per_s", "duration_s", "ttft_s_p50", "ttft_s_p99", "tpot_s_mean"):
            run = float(np.mean([r.metrics[metric] for r in runs]))
            errors.setdefault(metric, []).append(abs(closed_form.metrics[metric] / run - 1))
    medians = {metric: float(np.median(values)) for metric, values in errors.items()}
    assert medians["output_tokens_per_s"] < 0.03
    assert medians["duration_s"] < 0.03
    assert medians["ttft_s_p50"] < 0.05
    assert medians["ttft_s_p99"] < 0.10
    assert medians["tpot_s_mean"] < 0.03
    assert np.quantile(errors["output_tokens_per_s"], 0.9) < 0.15


@pytest.mark.parametrize("engine", [*ENGINES, "fastertransformer"])
def test_one_request_is_one_alone(engine: str) -> None:
    one, alone = rl.estimate(asked(1, engine=engine)), rl.estimate(asked(1, engine=engine, burst=None, batch=1))
    assert one.tpot_s_mean == pytest.approx(alone.tpot_s_mean, rel=1e-3)
    run = simulate(asked(1, engine=engine))
    assert one.duration_s == pytest.approx(run.duration_s, rel=0.01)
    assert one.ttft_s_p50 == pytest.approx(run.ttft_s_p50, rel=1e-3)


@pytest.mark.parametrize(("engine", "lengths"), [*zip(ENGINES, LENGTHS, strict=False), ("sglang", LENGTHS[0])])
def test_a_long_line_goes_at_the_pace_of_a_full_engine(engine: str, lengths: dict[str, Any]) -> None:
    """Ramp and tail are lost in a line that does not end; N and N + ΔN differ by a full engine's pace."""
    short, long = (rl.estimate(asked(n, engine=engine, **lengths)) for n in (30_000, 60_000))
    pace = 30_000 / (long.duration_s - short.duration_s)
    assert long.requests_per_s == pytest.approx(pace, rel=0.04)
    full = rl.estimate(asked(1, engine=engine, burst=None, scenario="max-throughput", **lengths))
    assert pace == pytest.approx(full.requests_per_s, rel=0.25)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 5), st.sampled_from(ENGINES), st.sampled_from(LENGTHS), st.floats(0, 3.3))
def test_more_requests_take_longer_and_wait_longer(
    pair: int, engine: str, lengths: dict[str, Any], decades: float
) -> None:
    count = max(int(10**decades), 1)
    few, many = (rl.estimate(asked(n, pair, engine, **lengths)) for n in (count, math.ceil(1.3 * count)))
    assert many.duration_s >= few.duration_s * 0.995
    for name in ("ttft_s_mean", "ttft_s_p50", "ttft_s_p99", "e2e_s_mean"):
        assert many.metrics[name] >= few.metrics[name] * 0.98, name


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 5), st.sampled_from(ENGINES), st.sampled_from(LENGTHS), st.floats(0, 3.3))
def test_bounds_order_and_more_memory(pair: int, engine: str, lengths: dict[str, Any], decades: float) -> None:
    scenario = asked(max(int(10**decades), 1), pair, engine, **lengths)
    result = rl.estimate(scenario)
    assert result.output_tokens_per_s_per_gpu <= result.limit_output_tokens_per_s_per_gpu
    for name in ("ttft_s", "tpot_s", "e2e_s", "itl_s"):
        p50, p90, p99 = (result.metrics[f"{name}_{q}"] for q in ("p50", "p90", "p99"))
        assert p50 <= p90 * (1 + 1e-9) <= p99 * (1 + 2e-9), name
    larger = with_device(scenario, memory_bytes=scenario.hardware.device.memory_bytes * 1.3)
    assert rl.estimate(larger).duration_s <= result.duration_s * 1.02


@pytest.mark.parametrize("engine", ENGINES)
def test_more_bandwidth_is_never_slower(engine: str) -> None:
    scenario = asked(300, engine=engine)
    faster = with_device(scenario, memory_bytes_per_s=scenario.hardware.device.memory_bytes_per_s * 1.5)
    assert rl.estimate(faster).duration_s <= rl.estimate(scenario).duration_s * 1.001


@pytest.mark.parametrize("engine", ENGINES)
def test_replicas_share_a_burst(engine: str) -> None:
    one = rl.estimate(asked(300, engine=engine))
    two = rl.estimate(asked(600, engine=engine, replicas=2))
    assert two.output_tokens_per_s == pytest.approx(2 * one.output_tokens_per_s, rel=0.01)
    assert two.ttft_s_p50 == pytest.approx(one.ttft_s_p50, rel=0.01)
    lone = rl.estimate(asked(1, engine=engine, replicas=2))
    assert lone.duration_s == pytest.approx(rl.estimate(asked(1, engine=engine)).duration_s, rel=1e-6)


def test_answers_do_not_depend_on_company() -> None:
    scenarios = [asked(n, engine=e, **w) for n, e, w in zip((5, 900, 60), ENGINES, LENGTHS, strict=False)]
    scenarios.append(asked(50, engine="fastertransformer"))
    for alone, beside in zip([rl.estimate(s) for s in scenarios], estimate_many(scenarios), strict=True):
        assert isinstance(beside, Estimate)
        assert beside.metrics == pytest.approx(alone.metrics, nan_ok=True, rel=1e-9)


def test_a_client_that_holds_back() -> None:
    """So many in flight, the next when one is answered: a run of exactly N requests in the simulator."""
    scenario = asked(300, concurrency=16, osl="100..300")
    run = simulate(scenario)
    records = run.run.records
    assert len(records) == 300
    assert run.finished == 300
    moments = np.sort(np.concatenate((records.arrival_s, records.last_token_s)))[:-1] + 1e-9
    flight = (records.arrival_s[:, None] <= moments).sum(0) - (records.last_token_s[:, None] <= moments).sum(0)
    assert flight.max() == 16
    closed_form = rl.estimate(scenario)
    assert closed_form.duration_s == pytest.approx(run.duration_s, rel=0.05)
    assert closed_form.ttft_s_p50 == pytest.approx(run.ttft_s_p50, rel=0.25)
    at_once = simulate(asked(300, osl="100..300"))
    assert (at_once.run.records.arrival_s == at_once.run.records.arrival_s[0]).all()
    assert at_once.ttft_s_p50 > 5 * run.ttft_s_p50
    assert at_once.duration_s < run.duration_s


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"rate": 1}, "exclude each other"), ({"batch": 4}, "exclude each other"),
        ({"requests": 10}, "burst says how many"), ({"sessions": {"turns": 3}}, "no sessions"),
        ({"burst": 0}, "too small"),
    ],
)  # fmt: skip
def test_what_a_burst_excludes(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        asked(10, **given_)


def test_a_burst_is_written_as_it_is_read() -> None:
    scenario = asked(40, concurrency=3)
    assert rl.load(written(scenario)).workload == scenario.workload


def test_pools_have_no_closed_form() -> None:
    pools = [{"role": "prefill", "replicas": 1}, {"role": "decode", "replicas": 1}]
    fields = {"model": "Llama-3.1-8B", "hardware": "2 x h100-sxm", "workload": {"burst": 20}}
    scenario = rl.load({**fields, "deployment": {"engine": "vllm", "tp": 1, "pools": pools}})
    with pytest.raises(InputError, match="simulate answers for it"):
        rl.estimate(scenario)


def test_a_plan_for_a_burst_is_proven_on_the_run() -> None:
    fields = {"model": "Llama-3.1-8B", "hardware": "2 x h100-sxm", "workload": {"isl": 800, "osl": 100, "burst": 500}}
    plan = rl.plan(rl.load({**fields, "slo": {"ttft_p99": "20 s"}}), top=2)
    best = plan.choices[0]
    assert best.estimate.duration_s == pytest.approx(simulate(best.scenario).duration_s, rel=0.1)


@pytest.mark.parametrize("lengths", [{"isl": 1024, "osl": 256}, {"isl": "500..1500", "osl": 256}])
def test_a_line_of_many_rounds_goes_on_as_it_began(lengths: dict[str, Any]) -> None:
    """Rounds that stand for others are alike wherever they begin: 20,000 requests are answered as fast as 2,000, as in
    the simulator; whole requests take longer than their first tokens at every percentile."""
    base = {"model": "Llama-3.1-8B", "hardware": "h100-sxm"}
    short, long = (rl.estimate({**base, "workload": {**lengths, "burst": n}}) for n in (2000, 20000))
    assert long.requests_per_s == pytest.approx(short.requests_per_s, rel=0.05)
    seen = rl.simulate({**base, "workload": {**lengths, "burst": 20000}})
    assert long.requests_per_s == pytest.approx(seen.requests_per_s, rel=0.05)
    after_s = {name: long.metrics[f"e2e_s_{name}"] - long.metrics[f"ttft_s_{name}"] for name in ("mean", "p50", "p99")}
    assert after_s["mean"] == pytest.approx(255 * long.metrics["tpot_s_mean"], rel=0.3)
    assert min(after_s.values()) > 0


ROW = {
    "id": "online", "source": "TRT-LLM perf-overview (online)", "source_url_or_path": "perf-overview.md",
    "date": "2024-11", "engine": "TensorRT-LLM+Triton", "engine_version": "0.14.0", "model": "LLaMA 3.1 70B",
    "precision_weights": "bf16", "precision_activations": "bf16", "precision_kv": "bf16", "gpu": "H100-SXM-80GB",
    "num_gpus": "4", "tp": "4", "pp": "1", "ep": "", "batch_or_concurrency": "qps=INF", "isl": "467", "osl": "256",
    "scenario": "max-throughput", "metric": "ttft_ms", "value": "9123", "per_gpu": "0", "ship": "1",
    "notes": "500 requests, Poisson-like QPS load; ttft/itl are means",
}  # fmt: skip
"""Of NVIDIA's table of 500 requests at an infinite rate: mean first token after 9.1 s, 16 requests/s, 85 ms a token."""


@pytest.mark.parametrize(
    ("metric", "value", "within"), [("ttft_ms", 9123, 0.1), ("itl_ms", 85, 0.2), ("req_s", 16, 0.1)]
)
def test_a_measured_run_of_all_requests_at_once(metric: str, value: float, within: float) -> None:
    """First tokens of such a run had no prediction, and its gaps were those of a full engine (180 ms)."""
    asked_ = question(ROW | {"metric": metric, "value": str(value)})
    assert asked_.scenarios[0].workload.burst == 500
    got = rl.estimate(asked_.scenarios[0]).metrics[asked_.metric] * asked_.factor
    assert got == pytest.approx(value, rel=within)


def test_a_measured_run_whose_client_holds_back() -> None:
    notes = "ShareGPT 3000 prompts (means derived); request-throughput benchmark"
    load = question(ROW | {"metric": "req_s", "batch_or_concurrency": "256", "notes": notes}).scenarios[0].workload
    assert (load.burst, load.concurrency, load.batch) == (3000, 256, None)


def test_a_burst_without_a_number_is_said_to_be_amiss() -> None:
    """Answers whose steps are no number are told, not counted as through."""
    one, no = np.ones(1), np.zeros(1, dtype=bool)
    queue = Queue(
        count=4 * one, engines=one, places=2 * one, room=np.inf * one, prompt=one, kept=one, met=one,
        steps=np.full((1, 1), np.nan), weights=one, gain=one, budget=np.inf * one, feeds=one, mixed=no, whole=no,
        alike=no, lag=0 * one, estimate=(0 * one, one, 0 * one), spare=0 * one,
    )  # fmt: skip
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="no numbers"):
        unfold(queue, 10 * one)

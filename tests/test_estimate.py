"""Closed-form estimates: every kind of model and device answers, load models meet their limits, choices are
explained."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.breakdown import breakdown
from rooflab.estimator.serving.front import estimate, estimate_many
from rooflab.evidence.rows.serving import Unsupported, question
from rooflab.scenario.deployment import read_deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import read_workload


def scenario(
    name: str, machine: str, workload: dict[str, object] | None = None, deployment: dict[str, object] | None = None
) -> Scenario:
    return Scenario(
        model=model(name),
        hardware=hardware(machine),
        workload=read_workload(workload or {}),
        deployment=read_deployment(deployment or {}),
    )


CASES = [
    ("DeepSeek-V3", "16 x h200", {"concurrency": 256}, {"tp": 8, "dp": 2, "ep": 16}),
    ("Qwen3-30B-A3B", "rtx pro 6000", {"concurrency": 16}, {}),
    ("Llama-3.1-8B", "M3 Max", {"batch": 1}, {"weights": "int4"}),
    ("Llama-3.2-3B", "raspberry pi 5", {"isl": 128, "osl": 64, "batch": 1}, {"weights": "q4_0"}),
    ("Mixtral-8x7B", "2 x l40s", {"concurrency": 16}, {"weights": "fp8"}),
    ("gpt-oss-120b", "b200", {"concurrency": 64}, {}),
    ("Llama-3.1-405B", "8 x mi300x", {"concurrency": 64}, {"weights": "fp8"}),
    ("bloom", "8 x a100", {"concurrency": 16}, {}),
    ("bert-large", "a100", {"isl": 384, "osl": 1, "batch": 64}, {}),
    ("ViT-L", "a100", {"batch": 64}, {}),
    ("t5-large", "a100", {"isl": 384, "osl": 64, "batch": 8}, {}),
    ("Qwen3.5-397B-A17B", "8 x b200", {"concurrency": 64}, {}),
    ("Nemotron-H-56B-Base-8K", "8 x h100", {"rate": 1}, {}),
    ("GLM-5", "16 x h200", {}, {}),
    ("Kimi-K2-Instruct", "16 x b200", {"concurrency": 64}, {}),
    ("MiniMax-M2.5", "8 x h100", {"concurrency": 64}, {}),
    ("Llama-4-Maverick-17B-128E-Instruct", "8 x b200", {"concurrency": 64}, {}),
    ("falcon-180B", "8 x gaudi3", {"concurrency": 8}, {}),
    ("Llama-3.1-70B", "16 x trainium1", {"batch": 4}, {"tp": 8}),
]


@pytest.mark.parametrize(("name", "machine", "workload", "deployment"), CASES)
def test_every_kind_of_model_and_device_answers(name, machine, workload, deployment) -> None:
    e = estimate(scenario(name, machine, workload, deployment))
    assert e.requests_per_s > 0
    assert e.ttft_s_mean > 0
    assert 0 < e.limit_ratio < 1
    assert e.free_bytes >= 0
    rows = breakdown(e)
    if e.scenario.model.kind != "encoder-decoder":
        assert {r.phase for r in rows} >= {"prefill"}
    for phase in {r.phase for r in rows}:
        assert sum(r.share for r in rows if r.phase == phase) == pytest.approx(1.0)
        assert all(r.limit_s <= r.seconds * (1 + 1e-9) for r in rows if r.phase == phase and r.name != "host")


def test_the_breakdown_is_the_step() -> None:
    e = estimate(scenario("Llama-3.1-70B", "8 x h100-sxm", {"concurrency": 64}, {"tp": 8, "engine": "vllm"}))
    decode_s = sum(r.seconds for r in breakdown(e) if r.phase == "decode")
    assert decode_s == pytest.approx(e.itl_s_p50, rel=1e-3)


def test_a_lone_token_reads_all_weights() -> None:
    e = estimate(scenario("Llama-3.1-8B", "h100-sxm", {"isl": 128, "osl": 128, "batch": 1}, {"engine": "vllm"}))
    least_s = 2 * (8.03e9 - 0.525e9) / 3.35e12
    assert least_s < e.tpot_s_mean < 2 * least_s
    assert e.bottleneck == "weights bandwidth"


def test_closed_loop_obeys_littles_law() -> None:
    e = estimate(scenario("Llama-3.1-8B", "h100-sxm", {"isl": 512, "osl": 512, "concurrency": 32}))
    assert e.requests_per_s * e.e2e_s_mean == pytest.approx(32, rel=0.15)
    assert e.requests_per_s * e.e2e_s_mean <= 32 * (1 + 1e-9)


def test_open_loop_approaches_the_lone_request_and_saturates() -> None:
    base = {"isl": 1024, "osl": 256}
    idle = estimate(scenario("Llama-3.1-8B", "h100-sxm", {**base, "rate": 0.001}))
    alone = estimate(scenario("Llama-3.1-8B", "h100-sxm", {**base, "batch": 1}))
    assert idle.tpot_s_mean == pytest.approx(alone.tpot_s_mean, rel=0.02)
    assert not idle.saturated
    flood = estimate(scenario("Llama-3.1-8B", "h100-sxm", {**base, "rate": 500}))
    assert flood.saturated
    assert flood.ttft_s_mean == float("inf")
    assert flood.requests_per_s < 500
    assert flood.goodput_requests_per_s == flood.requests_per_s  # no service level: nothing is missed


@pytest.mark.parametrize("engine", ["trtllm", "vllm"])
def test_the_open_loop_at_capacity_is_the_max_throughput(engine: str) -> None:
    """Of an engine that reserves whole answers; one that does not computes some of them anew."""
    base, deployment = {"isl": 1024, "osl": 512}, {"tp": 4, "engine": engine}
    most = estimate(scenario("Llama-3.1-70B", "4 x h100-sxm", base, deployment)).requests_per_s
    below = estimate(scenario("Llama-3.1-70B", "4 x h100-sxm", {**base, "rate": 0.8 * most}, deployment))
    above = estimate(scenario("Llama-3.1-70B", "4 x h100-sxm", {**base, "rate": 1.2 * most}, deployment))
    assert not below.saturated
    assert above.saturated
    assert above.requests_per_s == pytest.approx(most, rel=0.02 if engine == "trtllm" else 0.15)
    assert above.requests_per_s < most * 1.02


def test_open_fields_are_chosen() -> None:
    e = estimate(scenario("Llama-3.1-70B", "8 x h100-sxm", {"rate": 1}))
    d = e.scenario.deployment
    assert (d.runtime.engine, d.split.tp, d.cluster.replicas) == (
        "vllm",
        4,
        2,
    )  # tp 2 would hold the weights and 16 sequences
    assert estimate(scenario("Llama-3.1-8B", "M3 Max", {"batch": 1})).scenario.deployment.runtime.engine == "llamacpp"
    two_hosts = estimate(scenario("DeepSeek-V3", "16 x h100", {"concurrency": 8})).scenario.deployment
    assert (two_hosts.split.tp, two_hosts.split.pp, two_hosts.cluster.replicas) == (8, 2, 1)


def test_more_devices_than_there_are_is_an_error() -> None:
    with pytest.raises(InputError, match=r"deployment\.replicas: tp 4 .* is 16 devices; the hardware has 8"):
        estimate(scenario("Llama-3.1-70B", "8 x h100-sxm", {}, {"tp": 4, "replicas": 4}))
    with pytest.raises(InputError, match="not joined by any link"):
        estimate(scenario("Llama-3.1-8B", "2 x M3 Max", {}, {"tp": 2}))


def test_speculation_pays_at_small_batches_and_costs_at_large_ones() -> None:
    spec = {"speculation": {"tokens": 4, "acceptance": 0.7}}

    def gain(batch: int) -> float:
        load = {"isl": 512, "osl": 512, "batch": batch}
        with_drafts = estimate(scenario("Llama-3.1-70B", "8 x h100-sxm", load, {"tp": 8, "replicas": 1, **spec}))
        plain = estimate(scenario("Llama-3.1-70B", "8 x h100-sxm", load, {"tp": 8, "replicas": 1}))
        return with_drafts.output_tokens_per_s / plain.output_tokens_per_s

    assert gain(1) > 1.5
    assert gain(256) < gain(32) < gain(1)


def test_a_cached_prefix_shortens_the_prefill_only() -> None:
    load = {"isl": 4096, "osl": 256, "shared_prefix": 3584, "rate": 1}
    warm = estimate(scenario("Llama-3.1-8B", "h100-sxm", load))
    cold = estimate(scenario("Llama-3.1-8B", "h100-sxm", load, {"prefix_caching": False}))
    assert warm.ttft_s_mean < 0.6 * cold.ttft_s_mean
    assert warm.itl_s_p50 == pytest.approx(cold.itl_s_p50, rel=0.02)


def test_decode_time_on_published_rows_before_any_end_to_end_fit(shared: Path) -> None:
    """Median error of itl_ms on A100, H100 and H200 dense rows is at most 30 % from kernel tables and priors alone
    (docs/accuracy.md)."""
    with (shared / "truth" / "serving" / "measurements.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["metric"] == "itl_ms"]
    asked = []
    for row in rows:
        try:
            asked.append(question(row))
        except Unsupported:
            continue
    with using(ServingCalibration(name="priors")):
        results = estimate_many([q.scenarios[0] for q in asked])
    errors: dict[str, list[float]] = {}
    for q, e in zip(asked, results, strict=True):
        if isinstance(e, RooflabError) or e.scenario.model.is_moe:
            continue
        errors.setdefault(e.scenario.hardware.device.key, []).append(abs(e.tpot_s_mean * q.factor / q.measured - 1))
    pooled = [x for key in ("a100-sxm-80gb", "h100-sxm", "h200-sxm") for x in errors[key]]
    assert len(pooled) > 500
    assert np.median(pooled) < 0.30

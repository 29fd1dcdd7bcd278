"""Engines whose memory is promised to nobody: how much they serve when it runs out, in both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import rooflab as rl
from rooflab.errors import Infeasible
from rooflab.simulator.results.serving import ServingResult

LENGTHS = ((294, 294), (128, 1024), (1024, 1024), (2000, 150))
GROWING: tuple[dict[str, str], ...] = (
    {"engine": "vllm"},
    {"engine": "sglang"},
    {"engine": "trtllm", "scheduler": "trtllm-max-utilization"},
)


def full_device(isl: int, osl: int, replicas: int = 1, **engine: str) -> dict[str, Any]:
    """Llama-2-70B in 8 bits leaves a device of 80 GB room for a few dozen sequences."""
    deployment = {
        "tp": 1, "replicas": replicas, "weights": "fp8", "kv": "fp8", "max_num_seqs": 4096,
        "max_num_batched_tokens": 2048, "prefix_caching": False,
    }  # fmt: skip
    return {
        "model": "Llama-2-70B", "hardware": f"{replicas} x h100-sxm", "workload": {"isl": isl, "osl": osl},
        "deployment": deployment | engine,
    }  # fmt: skip


def loaded(asked: dict[str, Any], **load: Any) -> dict[str, Any]:
    return {**asked, "workload": asked["workload"] | load}


def under_way(asked: dict[str, Any]) -> ServingResult:
    """An open loop counted from a quarter of its arrivals to its last one."""
    run = rl.simulate(asked)
    arrival = run.requests.arrival_s
    return replace(run, window_s=(float(arrival[len(arrival) // 4]), float(arrival[-1])))


@pytest.mark.parametrize(("isl", "osl"), LENGTHS)
@pytest.mark.parametrize("engine", GROWING)
def test_a_full_engine_computes_anew_what_it_throws_out(engine: dict[str, str], isl: int, osl: int) -> None:
    asked = full_device(isl, osl, **engine)
    most = rl.estimate(asked)
    users = round(1.5 * most.metrics["max_running"])
    loop = loaded(asked, concurrency=users, rounds=40, start="staggered")
    told, seen = rl.estimate(loop), rl.simulate(loop)
    assert told.requests_per_s == pytest.approx(seen.requests_per_s, rel=0.08)
    assert told.requests_per_s < most.requests_per_s * (1.0 if isl > osl else 0.97)


@pytest.mark.parametrize(("isl", "osl"), LENGTHS)
def test_an_engine_that_reserves_whole_answers_loses_nothing(isl: int, osl: int) -> None:
    asked = full_device(isl, osl, engine="trtllm")
    most = rl.estimate(asked)
    loop = loaded(asked, concurrency=round(1.5 * most.metrics["max_running"]), rounds=40, start="staggered")
    told, seen = rl.estimate(loop), rl.simulate(loop)
    assert told.requests_per_s == pytest.approx(most.requests_per_s, rel=0.02)
    assert told.requests_per_s == pytest.approx(seen.requests_per_s, rel=0.03)


@pytest.mark.parametrize("engine", GROWING)
@pytest.mark.parametrize(("isl", "osl"), LENGTHS)
def test_what_an_estimate_calls_saturated_is_so_in_a_run(engine: dict[str, str], isl: int, osl: int) -> None:
    """A load that is told to hold is served; one well above what holds is not, though memory would be enough for it if
    nothing were thrown out."""
    asked = full_device(isl, osl, **engine)
    most = rl.estimate(asked).requests_per_s
    highest = max(
        f
        for f in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
        if not rl.estimate(loaded(asked, rate=f * most)).saturated
    )
    calm = under_way(loaded(asked, rate=0.95 * highest * most, requests=4000))
    assert calm.requests_per_s == pytest.approx(0.95 * highest * most, rel=0.05)
    wild = under_way(loaded(asked, rate=1.3 * most, requests=4000))
    assert wild.requests_per_s == pytest.approx(highest * most, rel=0.12)


def test_nobody_waits_for_a_place_where_many_are_free() -> None:
    """Four engines near the most that they compute have hundreds of free places: first tokens wait for steps alone."""
    asked = full_device(294, 294, replicas=4, engine="trtllm", scheduler="trtllm-max-utilization")
    asked |= {"hardware": "8 x h100-sxm"}
    asked["deployment"] |= {"tp": 2, "max_num_batched_tokens": 8192}
    load = loaded(asked, rate=0.97 * rl.estimate(asked).requests_per_s, requests=40000)
    told, seen = rl.estimate(load), under_way(load)
    assert told.ttft_s_mean == pytest.approx(seen.metrics["ttft_s_mean"], rel=0.1)
    assert told.tpot_s_mean == pytest.approx(seen.metrics["tpot_s_mean"], rel=0.1)
    assert told.ttft_s_p99 < 2 * seen.metrics["ttft_s_p99"]


DRAM = [{"name": "dram", "size": "128 GB", "bandwidth": "80 GB/s"}]


def test_as_few_experts_on_the_host_as_the_device_leaves_whatever_the_host_holds() -> None:
    """All experts of a 235B model in 4 bits (132 GB) do not lie in 128 GB; those that a 24 GB card leaves do."""
    plan = rl.plan(
        {
            "model": "Qwen3-235B-A22B", "hardware": {"device": "rtx-4090", "count": 1, "tiers": DRAM},
            "workload": {"isl": 512, "osl": 256, "concurrency": 1},
        },
        quantise=True, prove=False,
    )  # fmt: skip
    best = plan.choices[0]
    assert best.deployment.runtime.offload is not None
    assert 70 < (best.deployment.runtime.offload.cpu_experts or 0) < 90
    # 13 GB of the weights of a token at most, at 80 GB/s and more
    assert 3 < best.estimate.output_tokens_per_s < 12


def test_a_host_that_is_too_small_is_named() -> None:
    asked = {
        "model": "Qwen3-235B-A22B", "hardware": {"device": "rtx-4090", "count": 1, "tiers": DRAM},
        "workload": {"isl": 512, "osl": 256, "concurrency": 1},
        "deployment": {"engine": "llamacpp", "weights": "q8_0", "offload": {"weights": "dram"}},
    }  # fmt: skip
    with pytest.raises(Infeasible) as error:
        rl.estimate(asked)
    line = str(error.value)
    assert "GB to dram, which holds 128 GB" in line
    assert "inf" not in line
    assert " 0 B" not in line


def test_macos_lends_the_gpu_three_quarters_unless_told_otherwise() -> None:
    # ggml-org/llama.cpp 3213: recommendedMaxWorkingSetSize 73,728 MB on an M2 Max of 96 GB
    s = {
        "model": "zai-org/GLM-4.5-Air", "hardware": "apple-m3-max", "workload": {"isl": 512, "osl": 128, "batch": 1},
        "deployment": {"weights": "q8_0"},
    }  # fmt: skip
    with pytest.raises(rl.Infeasible, match=r"1 x m3-max hold 137 GB, of which the engine gets 103 GB"):
        rl.estimate(s)
    more = {**s, "deployment": {"weights": "q8_0", "gpu_memory_utilization": 0.95}}  # iogpu.wired_limit_mb
    assert rl.estimate(more).weights_bytes > 110e9

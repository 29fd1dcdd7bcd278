"""The closed form where little runs or more is asked for than fits: what any user would hold it to."""

from __future__ import annotations

from typing import Any

import pytest

import rooflab as rl

SMALL, LARGE = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"
LENGTHS = {"isl": 1024, "osl": 512}


def asked(model: str, hardware: str, load: dict[str, Any], **deployment: Any) -> rl.Scenario:
    return rl.load(
        {
            "model": model,
            "hardware": hardware,
            "workload": {**LENGTHS, **load},
            "deployment": {"engine": "vllm", **deployment},
        }
    )


def test_one_user_is_as_fast_beside_idle_engines_as_alone() -> None:
    """vLLM on one H100 makes 133 tokens/s of Llama-3.1-8B for one user (vllm-project/vllm issue 16937)."""
    beside = rl.estimate(asked(SMALL, "8 x h100-sxm", {"concurrency": 1}, tp=1))
    alone = rl.estimate(asked(SMALL, "h100-sxm", {"concurrency": 1}, tp=1))
    assert beside.output_tokens_per_s == pytest.approx(133, rel=0.05)
    for name in ("output_tokens_per_s", "ttft_s_p50", "tpot_s_mean", "tpot_s_p99", "e2e_s_mean"):
        assert beside.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-9), name
    assert beside.power_w > 2 * alone.power_w  # seven engines idle
    assert beside.tpot_s_mean > 16.06e9 / 3.35e12  # reading the weights once


@pytest.mark.parametrize("load", [{"concurrency": 3}, {"batch": 3}])
def test_three_requests_use_three_of_eight_engines(load: dict[str, int]) -> None:
    eight, three = (rl.estimate(asked(SMALL, f"{n} x h100-sxm", load, tp=1, replicas=n)) for n in (8, 3))
    for name in ("output_tokens_per_s", "tpot_s_mean", "running"):
        assert eight.metrics[name] == pytest.approx(three.metrics[name], rel=1e-9), name


def test_only_tensor_parallelism_speeds_one_user_up() -> None:
    wanted = {
        "model": LARGE,
        "hardware": "8 x h100-sxm",
        "workload": {**LENGTHS, "concurrency": 1},
        "slo": {"tpot_p99": "12 ms"},
    }
    best = rl.plan(wanted).best.deployment
    assert best.split.tp >= 4
    assert best.cluster.replicas == 1


@pytest.mark.parametrize(("model", "hardware", "tp"), [(SMALL, "h100-sxm", 1), (LARGE, "4 x h100-sxm", 4)])
def test_one_user_in_a_loop_is_a_batch_of_one(model: str, hardware: str, tp: int) -> None:
    """Nobody's own prompt stands in the way of the own answer."""
    for lengths in (LENGTHS, {"isl": 4096, "osl": 32}, {"isl": 100, "osl": 20}):
        loop = rl.estimate(asked(model, hardware, {**lengths, "concurrency": 1}, tp=tp))
        batch = rl.estimate(asked(model, hardware, {**lengths, "batch": 1}, tp=tp))
        assert loop.tpot_s_mean == pytest.approx(batch.tpot_s_mean, rel=0.01)
        assert loop.tpot_s_p99 == pytest.approx(batch.tpot_s_p99, rel=0.01)


def test_more_users_than_places_wait_a_finite_time() -> None:
    loop = asked(SMALL, "h100-sxm", {"concurrency": 300}, tp=1, max_num_seqs=256)
    told, seen = rl.estimate(loop), rl.simulate(loop)
    assert not told.saturated
    for name in ("output_tokens_per_s", "ttft_s_mean", "tpot_s_mean"):
        assert told.metrics[name] == pytest.approx(seen.metrics[name], rel=0.06), name

"""Plans prove themselves: what is called a choice holds in simulation, over every engine that serves the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.planner.engines import engines_for
from rooflab.planner.proof import HOLDS
from rooflab.scenario.slo import SLO
from rooflab.units import format_seconds

CHAT: dict[str, Any] = {
    "model": "meta-llama/Llama-3.1-8B-Instruct", "hardware": "4 x l40s",
    "workload": {"isl": 1024, "osl": 256, "rate": "6/s"}, "slo": {"ttft_p99": "1 s", "tpot_p99": "60 ms"},
}  # fmt: skip


def scenarios(n: int) -> list[dict[str, Any]]:
    """Loads from idle to crowded on a few machines, with targets from easy to hard."""
    rng = np.random.default_rng(7)
    out = []
    for _ in range(n):
        model = str(rng.choice(["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B", "Qwen/Qwen2.5-32B"]))
        hardware = str(rng.choice(["2 x h100-sxm", "4 x l40s", "4 x a100-sxm-80gb", "2 x mi300x"]))
        load = {"isl": int(rng.integers(64, 3000)), "osl": int(rng.integers(16, 600))}
        load |= {"rate": f"{10 ** rng.uniform(-1.5, 1.2):.3f}/s"} if rng.random() < 0.6 else {
            "concurrency": int(rng.integers(1, 64))
        }  # fmt: skip
        slo = {"ttft_p99": f"{10 ** rng.uniform(-0.7, 0.7):.3f} s", "tpot_p99": f"{rng.uniform(10, 100):.1f} ms"}
        out.append({"model": model, "hardware": hardware, "workload": load, "slo": slo})
    return out


@pytest.mark.parametrize("given", scenarios(12))
def test_no_winner_misses_its_targets_in_simulation(given: dict[str, Any]) -> None:
    plan = rl.plan(given, explain=False, top=3)
    for choice in plan.choices:
        assert choice.proof is not None
        assert choice.proof.met >= HOLDS * choice.proof.runs
        # streams of random numbers that the plan did not see
        met = 0
        for seed in range(100, 105):
            m = rl.simulate(choice.scenario, seed=seed).metrics
            met += all(m[SLO.metric(key)] <= 1.1 * limit for key, limit in choice.scenario.slo)
        assert met >= 4


def test_reasons_compare_simulations_with_simulations() -> None:
    """What stands beside a proven choice was simulated, too, or is said to be the closed form's."""
    plan = rl.plan(CHAT)
    best = plan.best
    assert best is not None
    assert best.proof is not None
    assert best.seen["ttft_s_p99"] == best.proof.metrics["ttft_s_p99"] != best.metrics["ttft_s_p99"]
    for choice in plan.choices[1:]:
        a, b = choice.seen["ttft_s_p99"], best.seen["ttft_s_p99"]
        if abs(a / b - 1) >= 0.02:
            assert f"TTFT p99 {format_seconds(a)} ({(a / b - 1) * 100:+.0f} %)" in choice.why[0]


def test_every_engine_that_serves_the_model_is_tried() -> None:
    plan = rl.plan(CHAT, explain=False)
    assert {c.deployment.runtime.engine for c in plan.choices} >= {"vllm", "sglang"}
    assert [c.rank for c in plan.choices] == list(range(1, len(plan.choices) + 1))
    assert len({c.label for c in plan.choices}) == len(plan.choices)
    named = rl.plan({**CHAT, "deployment": {"engine": "sglang"}}, explain=False)
    assert {c.deployment.runtime.engine for c in named.choices} == {"sglang"}
    s = rl.load({**CHAT, "hardware": "m4-pro"})
    assert engines_for(s.model, s.hardware) == ("llamacpp",)


def test_a_plan_for_one_user_is_wide() -> None:
    # replicas do not speed one user up: tensor parallelism is the only way
    plan = rl.plan(
        {
            "model": "Qwen/Qwen2.5-32B", "hardware": "8 x a100-sxm-80gb",
            "workload": {"isl": 512, "osl": 256, "concurrency": 1}, "slo": {"tpot_p99": "13 ms"},
            "deployment": {"engine": "vllm"},
        },
        explain=False,
    )  # fmt: skip
    assert plan.best is not None
    assert plan.best.deployment.split.tp is not None
    assert plan.best.deployment.split.tp >= 4


def test_what_holds_in_no_simulation_is_said_with_the_nearest() -> None:
    plan = rl.plan(
        {**CHAT, "workload": {**CHAT["workload"], "rate": "40/s"}, "slo": {"tpot_p99": "9 ms"}}, explain=False
    )
    assert plan.best is None
    assert plan.message.startswith("No deployment on")


def test_the_closed_form_alone_simulates_nothing() -> None:
    plan = rl.plan(CHAT, explain=False, prove=False)
    assert all(c.proof is None for c in plan.choices)


def test_proofs_are_in_the_record_and_on_the_screen() -> None:
    plan = rl.plan(CHAT, top=2)
    record = plan.record()["choices"][0]["proof"]
    assert record["holds"] is True
    assert record["runs"] == 10
    low, high = record["ranges"]["ttft_s_p99"]
    assert low <= record["metrics"]["ttft_s_p99"] <= high <= 1.0

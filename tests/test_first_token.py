"""The first token in a closed loop: what the client and the scheduler's settings do to it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import rooflab as rl
from rooflab.estimator.serving.first_token import Admission, held_steps
from rooflab.evidence.rows.recipes import is_inferencex, recipe
from rooflab.scenario.workload import read_workload

BASE = {
    "model": "meta-llama/Llama-3.1-8B",
    "hardware": "h100-sxm",
    "workload": {"isl": 1024, "osl": 1024, "concurrency": 16},
    "deployment": {"engine": "vllm", "tp": 1, "prefix_caching": False},
}


def _scenario(workload: dict[str, object] | None = None, **deployment: object) -> rl.Scenario:
    base = {
        **BASE,
        "workload": {**BASE["workload"], **(workload or {})},
        "deployment": {**BASE["deployment"], **deployment},
    }
    return rl.load(base)


def _ttft(workload: dict[str, object] | None = None, **deployment: object) -> float:
    return float(rl.estimate(_scenario(workload, **deployment)).metrics["ttft_s_mean"])


def test_equal_lengths_come_back_together_and_wait_for_each_other():
    together = _ttft({"start": "lockstep"})
    assert together > _ttft({"start": "lockstep", "length_jitter": 0.2}) * 1.1
    assert together > _ttft() * 1.1
    assert _ttft({"osl": {"uniform": {"low": 819, "high": 1229}}, "start": "lockstep"}) < together


@pytest.mark.parametrize("users", [4, 64])
def test_answers_that_differ_are_out_of_step_however_they_began(users: int):
    """In step is who is answered in the same step, which a token's difference ends."""
    jittered = {"isl": 8192, "length_jitter": 0.2, "concurrency": users}
    assert _ttft({**jittered, "start": "lockstep"}) == _ttft({**jittered, "start": "burst"})


def test_a_staggered_start_has_neither_an_opening_wave_nor_a_convoy():
    assert _ttft({"start": "staggered"}) < _ttft({"length_jitter": 0.2})


def test_more_rounds_dilute_the_opening_wave():
    few, many = (_ttft({"rounds": n, "length_jitter": 0.2}) for n in (2, 50))
    assert few > 1.5 * many


def test_jitter_shortens_the_mean_and_spreads_lengths():
    jittered = read_workload({"isl": 1000, "osl": 500, "concurrency": 4, "length_jitter": 0.2})
    assert (jittered.mean_prompt_tokens, jittered.mean_output_tokens) == (900, 450)
    assert jittered.spread("osl") == pytest.approx(0.2 / 12**0.5 / 0.9)
    assert read_workload({"isl": {"uniform": {"low": 800, "high": 1000}}, "osl": 5, "concurrency": 4}).spread(
        "isl"
    ) == pytest.approx(jittered.spread("isl"))


def test_held_steps():
    none, arrivals = np.zeros(1), np.array([0.05])
    assert held_steps(Admission(np.ones(1), none), arrivals)[0] == 0
    assert held_steps(Admission(np.array([31.0]), none), arrivals)[0] == 15
    alone, crowded = (held_steps(Admission(np.ones(1), np.array([20.0])), np.array([x]))[0] for x in (0.0, 10.0))
    assert alone == 20
    assert 10 < crowded < 10.2


@pytest.mark.parametrize("setting", [{"admit_every": 30}, {"batch_wait_steps": 20}])
def test_a_scheduler_that_looks_away_delays_first_tokens_in_both_engines(setting: dict[str, int]):
    steps = {"admit_every": 15, "batch_wait_steps": 19}[next(iter(setting))]
    workload = {"length_jitter": 0.2, "concurrency": 4, "osl": 512, "rounds": 20}
    for run in (rl.estimate, rl.simulate):
        plain, held = (run(_scenario(workload, **s)).metrics for s in ({}, setting))
        expected = steps * held["tpot_s_mean"]
        assert held["ttft_s_mean"] - plain["ttft_s_mean"] == pytest.approx(expected, rel=0.3)


def test_simulator_and_closed_form_agree_where_lengths_vary():
    for users in (4, 32):
        scenario = _scenario({"length_jitter": 0.2, "concurrency": users})
        closed, run = rl.estimate(scenario).metrics["ttft_s_mean"], rl.simulate(scenario).metrics["ttft_s_mean"]
        assert closed == pytest.approx(run, rel=0.25)


def _row(**fields: str) -> dict[str, str]:
    row = {
        "source": "InferenceX", "source_url_or_path": "", "engine": "TensorRT-LLM", "model": "meta-llama/Llama-3.1-70B",
        "gpu": "B200-SXM",
        "precision_weights": "fp8", "scenario": "fixed-concurrency", "tp": "4", "isl": "1024", "osl": "1024",
        "batch_or_concurrency": "16",
    }  # fmt: skip
    return {**row, **fields}


def test_recipes_follow_the_published_scripts():
    assert recipe(_row(), "trtllm")["batch_wait_steps"] == 20
    assert recipe(_row(tp="8"), "trtllm")["batch_wait_steps"] == 0
    assert recipe(_row(osl="8192"), "trtllm")["batch_wait_steps"] == 0
    sglang = _row(model="Qwen/Qwen3.5-397B-A17B")
    assert recipe(sglang, "sglang")["admit_every"] == 30
    assert recipe({**sglang, "batch_or_concurrency": "8"}, "sglang")["admit_every"] == 10
    assert recipe({**sglang, "gpu": "H200-SXM-141GB"}, "sglang")["admit_every"] == 1
    assert recipe(_row(source="NVIDIA AIC gap-analysis"), "trtllm") == {}
    assert is_inferencex(_row(source="NVIDIA AIC gap-analysis", source_url_or_path="id=kimi_gap_analysis_b200"))


def test_company_hides_no_more_of_a_short_prompt_than_it_makes_it_wait() -> None:
    # launches of an uncaptured prompt hide behind the step that it waits for
    load = {"isl": 64, "osl": 256}
    where = {"model": "Llama-3.1-8B", "hardware": "h100-sxm", "deployment": {"engine": "sglang"}}
    found = [rl.estimate({**where, "workload": {**load, "rate": rate}}).ttft_s_mean for rate in (0.001, 0.5, 2, 8)]
    assert all(later > before * (1 - 1e-9) for before, later in pairwise(found))
    assert found[-1] < 1.1 * found[0]

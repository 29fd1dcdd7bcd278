"""Gaps between tokens in closed form: the worst steps hold the longest prompts, or many of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.estimator.serving.gaps import _prompt_tokens


def chat(isl: Any, concurrency: int = 64, **deployment: Any) -> Any:
    return rl.estimate(
        rl.load(
            {
                "model": "Llama-3.1-70B", "hardware": "4 x h100-sxm",
                "workload": {"isl": isl, "osl": 400, "concurrency": concurrency},
                "deployment": {"engine": "vllm", "tp": 4, "weights": "fp8", **deployment},
            }
        )
    )  # fmt: skip


def sampled(cv: float, beginning: float, p: float) -> float:
    """The quantile of the prompt tokens of a step, by drawing steps (mean prompt 100)."""
    rng = np.random.default_rng(3)
    sigma = np.sqrt(np.log1p(cv**2))
    count = rng.poisson(beginning, 200_000)
    lengths = 100 * np.exp(sigma * rng.standard_normal(count.sum()) - sigma**2 / 2)
    return float(
        np.quantile(np.bincount(np.repeat(np.arange(len(count)), count), weights=lengths, minlength=len(count)), p)
    )


@pytest.mark.parametrize("cv", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("beginning", [0.02, 0.05, 0.2, 1.0, 3.0, 10.0])
def test_prompt_tokens_of_the_worst_step(cv: float, beginning: float) -> None:
    case: Any = SimpleNamespace(isl=np.array([100.0]), isl_cv=np.array([cv]))
    assert _prompt_tokens(case, np.array([beginning]), 0.99)[0] == pytest.approx(sampled(cv, beginning, 0.99), rel=0.35)


def test_no_prompt_in_the_worst_step_where_prompts_are_rarer() -> None:
    case: Any = SimpleNamespace(isl=np.array([100.0]), isl_cv=np.array([2.0]))
    assert _prompt_tokens(case, np.array([0.005]), 0.99)[0] == 0.0


def test_prompts_that_differ_make_the_worst_gap_longer_and_not_the_mean() -> None:
    same, differ = chat(400), chat({"lognormal": {"mean": 400, "cv": 3}})
    assert differ.metrics["tpot_s_mean"] == pytest.approx(same.metrics["tpot_s_mean"], rel=0.02)
    assert differ.metrics["itl_s_p99"] > 1.5 * same.metrics["itl_s_p99"]


def test_quantiles_rise_and_the_chunk_caps_the_worst() -> None:
    for users in (1, 8, 64, 256):
        m = chat({"lognormal": {"mean": 400, "cv": 3}}, users).metrics
        assert m["itl_s_p50"] <= m["itl_s_p90"] <= m["itl_s_p99"]
    wide, narrow = (
        chat({"lognormal": {"mean": 4000, "cv": 2}}, max_num_batched_tokens=c).metrics for c in (8192, 1024)
    )
    assert narrow["itl_s_p99"] < 0.5 * wide["itl_s_p99"]


def test_a_lone_user_sees_plain_steps() -> None:
    m = chat(400, 1).metrics
    assert m["itl_s_p99"] == pytest.approx(m["itl_s_p50"])


def test_closed_form_and_simulator_agree_on_gaps() -> None:
    """Answers of differing lengths keep users out of step; what is left is the count of prompts in a step."""
    case = rl.load(
        {
            "model": "Llama-3.1-8B", "hardware": "h100-sxm", "deployment": {"engine": "vllm", "prefix_caching": False},
            "workload": {
                "isl": {"lognormal": {"mean": 400, "cv": 3}}, "osl": {"lognormal": {"mean": 300, "cv": 0.7}},
                "concurrency": 64,
                "requests": 1500,
            },
        }
    )  # fmt: skip
    closed, run = rl.estimate(case).metrics, rl.simulate(case).metrics
    assert closed["itl_s_p50"] == pytest.approx(run["itl_s_p50"], rel=0.1)
    assert closed["itl_s_p90"] == pytest.approx(run["itl_s_p90"], rel=0.2)
    assert closed["itl_s_p99"] == pytest.approx(run["itl_s_p99"], rel=0.3)

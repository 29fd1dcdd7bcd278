"""The closed form where little runs or more is asked for than fits: what any user would hold it to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.estimator.serving.arrivals import chains

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


@pytest.mark.parametrize("load", [{"rate": "10/s"}, {"concurrency": 200}, {"burst": 2000}])
def test_long_prompts_with_long_answers_fill_the_engine(load: dict[str, Any]) -> None:
    """A step meets a request as often as it has tokens to answer: of two classes with 960 prompt tokens on average it
    meets 2,914, where the long prompts have the long answers. Closed forms of mean lengths were half too fast."""
    classes = [
        {"name": "short", "share": 0.8, "isl": 200, "osl": 50}, {"name": "long", "share": 0.2, "isl": 4000, "osl": 500}
    ]  # fmt: skip
    asked = {"model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"classes": classes, **load}}
    told, seen = rl.estimate(asked), rl.simulate(asked)
    assert told.requests_per_s == pytest.approx(seen.requests_per_s, rel=0.07)
    assert told.running == pytest.approx(seen.requests_per_s * _in_batch_s(seen), rel=0.25)


def _in_batch_s(run: Any) -> float:
    return float(run.metrics["e2e_s_mean"] - run.metrics["queue_s_mean"])


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.6])
def test_lengths_that_go_together(correlation: float) -> None:
    """Times per token at a low load, where prompts and answers are long together, apart, or neither."""
    lengths = {"isl": {"lognormal": {"mean": 2000, "cv": 1.5, "high": 16000}}, "osl": "20..780"}
    asked = {
        "model": "Llama-3.1-8B", "hardware": "h100-sxm",
        "workload": {**lengths, "correlation": correlation, "rate": "4/s"},
    }  # fmt: skip
    told, seen = rl.estimate(asked), rl.simulate(asked)
    assert told.metrics["e2e_s_mean"] == pytest.approx(seen.metrics["e2e_s_mean"], rel=0.08)


def test_answers_of_many_lengths_are_met_while_they_are_long() -> None:
    """At 800 tokens on average and a deviation of 1.5 times that a step meets 1,300 written ones, not 400."""
    asked = {
        "model": "Llama-3.1-8B", "hardware": "h100-sxm",
        "workload": {"isl": 500, "osl": {"lognormal": {"mean": 800, "cv": 1.5, "high": 16000}}, "rate": "4/s"},
    }  # fmt: skip
    told, seen = rl.estimate(asked), rl.simulate(asked)
    assert told.metrics["tpot_s_mean"] == pytest.approx(seen.metrics["tpot_s_mean"], rel=0.06)


@pytest.mark.parametrize(
    ("cv", "takes_s", "rate"),
    [(1.0, 0.1, 5.0), (2.0, 0.02, 2.0), (4.0, 0.35, 1.0), (8.0, 0.03, 1.0), (13.0, 0.03, 0.1)],
)
def test_work_before_a_request_is_that_of_the_queue(cv: float, takes_s: float, rate: float) -> None:
    """Lindley's recursion over gaps that are drawn."""
    gaps = np.random.default_rng(3).gamma(1 / cv**2, cv**2 / rate, 200_000)
    work = np.empty(len(gaps))
    now = 0.0
    for i, gap in enumerate(gaps.tolist()):
        now = max(now + takes_s - gap, 0.0)
        work[i] = now
    met = work > 0
    each = np.full((1, 1), takes_s)
    found = chains(np.array([1 / cv**2]), np.array([rate]), (each, each, each))
    assert found.ahead[0] == pytest.approx(work.mean() / takes_s, rel=0.1)
    assert found.met[0] == pytest.approx(met.mean(), rel=0.02)
    assert found.met_cv[0] == pytest.approx(work[met].std() / work[met].mean(), rel=0.05)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("cv", [2, 4, 8])
def test_bursty_arrivals_wait_as_in_the_simulator(engine: str, cv: float) -> None:
    """First tokens came out up to twice as late as the simulator's, their tail up to three times."""
    scenario = rl.load({
        "model": "Llama-3.1-8B", "hardware": "h100-sxm", "deployment": {"engine": engine},
        "workload": {
            "isl": 1000, "osl": 100, "rate": 4, "arrivals": "gamma", "arrivals_cv": cv, "requests": 3000,
        },
    })  # fmt: skip
    told, runs = rl.estimate(scenario), [rl.simulate(scenario, seed=k) for k in range(4)]
    for metric, within in (("ttft_s_mean", 0.25), ("tpot_s_mean", 0.25), ("ttft_s_p50", 0.3), ("ttft_s_p99", 0.45)):
        seen = np.mean([run.metrics[metric] for run in runs])
        assert told.metrics[metric] == pytest.approx(seen, rel=within), metric


def test_an_engine_that_admits_by_what_answers_are_thought_to_need_computes_little_anew() -> None:
    """SGLang with its memory full of answers that differ: a token came out a fifth slower than the simulator's."""
    lengths = {
        name: {"lognormal": {"mean": mean, "cv": 1.0, "high": 8 * mean}} for name, mean in (("isl", 800), ("osl", 600))
    }
    scenario = rl.load({
        "model": "Llama-3.1-8B", "hardware": "l40s", "deployment": {"engine": "sglang"},
        "workload": {**lengths, "concurrency": 300, "rounds": 6, "start": "staggered"},
    })  # fmt: skip
    told, seen = rl.estimate(scenario), rl.simulate(scenario)
    for metric in ("requests_per_s", "tpot_s_mean", "ttft_s_mean"):
        assert told.metrics[metric] == pytest.approx(seen.metrics[metric], rel=0.1), metric

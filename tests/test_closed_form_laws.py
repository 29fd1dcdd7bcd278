"""Laws of the closed form over the whole space of loads, idle and overloaded ones among them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenarios import answer, with_device

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.costs.compile import compile_steps
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths

PAIRS = (
    ("Llama-3.1-8B", "h100-sxm", 1), ("Llama-3.1-8B", "l40s", 1), ("Llama-3.1-70B", "a100-sxm-80gb", 4),
    ("Qwen3-30B-A3B", "h200-sxm", 1), ("DeepSeek-V3", "h200-sxm", 8), ("gpt-oss-120b", "b200-sxm", 1),
    ("Mistral-7B", "rtx-4090", 1), ("Llama-3.1-8B", "mi300x", 2),
)  # fmt: skip
ENGINES = ("vllm", "sglang", "trtllm", "tgi", "lmdeploy", "llamacpp", "ideal")
LATENCIES = ("ttft_s", "tpot_s", "itl_s", "e2e_s")


@st.composite
def lengths(draw: st.DrawFn, most: int) -> Any:
    """A number, a range, or a distribution with a long tail."""
    mean = draw(st.integers(2, most))
    if draw(st.booleans()):
        return mean
    low = draw(st.integers(1, mean))
    return draw(
        st.sampled_from(
            (f"{low}..{2 * mean - low}", {"lognormal": {"mean": mean, "cv": 1.5}}, {"exponential": {"mean": mean}})
        )
    )


@st.composite
def loads(draw: st.DrawFn, modes: tuple[str, ...]) -> Scenario:
    """A scenario under a load from next to nothing to far too much."""
    name, device, tp = draw(st.sampled_from(PAIRS))
    replicas = draw(st.sampled_from((1, 2, 8)))
    deployment = Deployment.of(
        engine=draw(st.sampled_from(ENGINES)), tp=tp, replicas=replicas, prefix_caching=False,
        max_num_seqs=draw(st.sampled_from((4, 64, 512))), max_num_batched_tokens=draw(st.sampled_from((512, 8192))),
    )  # fmt: skip
    load = {
        "open": lambda: {
            "rate": 10 ** draw(st.floats(-4, 3)),
            **draw(st.sampled_from(({}, {"arrivals": "gamma", "arrivals_cv": 6.0}, {"arrivals": "burst"}))),
        },
        "closed": lambda: {
            "concurrency": int(10 ** draw(st.floats(0, 3.5))),
            "start": draw(st.sampled_from(("burst", "staggered", "lockstep"))),
        },
        "static": lambda: {"batch": int(10 ** draw(st.floats(0, 3)))},
    }[draw(st.sampled_from(modes))]()
    workload = Workload(
        isl=read_lengths(draw(lengths(6000)), "isl"), osl=read_lengths(draw(lengths(1500)), "osl"), **load
    )
    machine = hardware(f"{tp * replicas} x {device}")
    return Scenario(model=model(name), hardware=machine, workload=workload, deployment=deployment)


@given(loads(("open", "closed", "static")))
def test_percentiles_are_ordered_and_no_latency_is_negative(scenario: Scenario) -> None:
    e = answer(scenario)
    for metric in LATENCIES:
        values = [e.metrics[f"{metric}_{q}"] for q in ("p50", "p90", "p99")]
        mean = e.metrics[f"{metric}_mean"]
        assert math.isnan(mean) or (mean > 0 and values[0] > 0)
        assert math.isnan(mean) or values == sorted(values), metric


@given(loads(("open", "closed", "static")))
def test_no_token_comes_faster_than_what_it_reads(scenario: Scenario) -> None:
    """A step reads at least what a step of one sequence with an empty cache reads."""
    e = answer(scenario)
    cost = compile_steps(scenario.model, scenario.hardware, [e.scenario.deployment])[0]
    least_s = float(cost.step(n_decode=1).bytes[0]) / cost.scalar("peak_bytes_per_s")
    for q in ("mean", "p50", "p90", "p99"):
        assert e.metrics[f"tpot_s_{q}"] >= least_s * (1 - 1e-9)


@given(loads(("closed",)), st.sampled_from((2, 3, 8)))
def test_replicas_never_speed_up_one_user(scenario: Scenario, replicas: int) -> None:
    one = scenario.with_workload(concurrency=1)
    tp = scenario.deployment.split.tp or 1
    few, many = (
        replace(one, hardware=replace(one.hardware, count=tp * n), deployment=one.deployment.changed(replicas=n))
        for n in (1, replicas)
    )
    alone, beside = answer(few), answer(many)
    for name in ("ttft_s_mean", "ttft_s_p99", "tpot_s_mean", "tpot_s_p99", "output_tokens_per_s"):
        assert beside.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-9)


@given(loads(("open",)), st.floats(1.01, 30.0))
def test_more_requests_are_not_served_faster(scenario: Scenario, factor: float) -> None:
    """At random; of requests right behind each other the prompts of a full engine go together with more others.

    A prompt that finds the engine at work does not wait for launches that one on an idle engine waits for: two in a
    hundred at the most.
    """
    scenario = scenario.with_workload(arrivals="poisson")
    light = answer(scenario)
    heavy = answer(scenario.with_workload(rate=scenario.workload.rate * factor))
    assert heavy.requests_per_s >= light.requests_per_s * (1 - 1e-6)
    for name in ("ttft_s_mean", "ttft_s_p50", "tpot_s_mean"):
        assert heavy.metrics[name] >= light.metrics[name] * (1 - 2e-2), name


@given(loads(("closed",)), st.integers(2, 20))
def test_more_users_share_what_there_is(scenario: Scenario, factor: int) -> None:
    few = answer(scenario)
    many = answer(scenario.with_workload(concurrency=scenario.workload.concurrency * factor))
    assert many.e2e_s_mean >= few.e2e_s_mean * (1 - 1e-2)
    assert not many.saturated
    assert math.isfinite(many.ttft_s_p99)


@given(loads(("open", "closed", "static")), st.sampled_from(("memory_bytes_per_s", "peak_flops")), st.floats(1.0, 4.0))
def test_faster_devices_never_serve_slower(scenario: Scenario, what: str, factor: float) -> None:
    slow, device = answer(scenario), scenario.hardware.device
    value = getattr(device, what)
    more = {k: v * factor for k, v in value.items()} if what == "peak_flops" else value * factor
    fast = answer(with_device(scenario, **{what: more}))
    assert fast.requests_per_s >= slow.requests_per_s * (1 - 1e-3)
    assert fast.e2e_s_mean <= slow.e2e_s_mean * (1 + 1e-2)


@given(loads(("open", "closed")), st.floats(1.0, 4.0))
def test_more_memory_never_serves_less(scenario: Scenario, factor: float) -> None:
    small = answer(scenario)
    large = answer(with_device(scenario, memory_bytes=scenario.hardware.device.memory_bytes * factor))
    assert large.requests_per_s >= small.requests_per_s * (1 - 5e-3)


@given(loads(("open", "closed")))
def test_more_engines_never_serve_less(scenario: Scenario) -> None:
    few = answer(scenario)
    n = (scenario.deployment.cluster.replicas or 1) * 2
    wide = replace(scenario.hardware, count=scenario.hardware.count * 2)
    many = answer(replace(scenario, hardware=wide, deployment=scenario.deployment.changed(replicas=n)))
    assert many.requests_per_s >= few.requests_per_s * (1 - 1e-3)
    assert many.e2e_s_mean <= few.e2e_s_mean * (1 + 1e-2)

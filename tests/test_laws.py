"""The laws of DESIGN.md, over random scenarios: bounds hold, more hardware never hurts, tokens add up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import answer, scenarios, with_device

from rooflab.costs.compile import compile_steps
from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.front import estimate, estimate_many
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario


@given(scenarios())
def test_no_result_beats_its_bound(scenario: Scenario) -> None:
    e = answer(scenario)
    assert 0 < e.limit_ratio <= 1 + 1e-9
    assert e.mfu <= 1 + 1e-9
    assert e.mbu <= 1 + 1e-9


@given(scenarios())
def test_tokens_add_up(scenario: Scenario) -> None:
    e = answer(scenario)
    w = scenario.workload
    assert e.output_tokens_per_s == pytest.approx(e.requests_per_s * w.osl.mean)
    assert e.total_tokens_per_s == pytest.approx(e.requests_per_s * (w.isl.mean + w.osl.mean))


@given(scenarios())
def test_power_is_between_idle_and_limit(scenario: Scenario) -> None:
    e = answer(scenario)
    device = scenario.hardware.device
    assert e.power_w >= e.devices * device.idle_w * 0.999
    assert e.power_w <= e.devices * device.tdp_w * 1.001


@given(
    scenarios(("static", "closed", "max")), st.sampled_from(("memory_bytes_per_s", "peak_flops")), st.floats(1.0, 4.0)
)
def test_more_bandwidth_or_arithmetic_never_hurts(scenario: Scenario, what: str, factor: float) -> None:
    slow = answer(scenario)
    device = scenario.hardware.device
    if what == "peak_flops":
        faster = {k: v * factor for k, v in device.peak_flops.items()}
        fast = answer(with_device(scenario, peak_flops=faster, key=device.key))
    else:
        fast = answer(with_device(scenario, memory_bytes_per_s=device.memory_bytes_per_s * factor))
    assert fast.output_tokens_per_s >= slow.output_tokens_per_s * (1 - 1e-9)
    assert fast.tpot_s_mean <= slow.tpot_s_mean * (1 + 1e-9) or math.isnan(slow.tpot_s_mean)


@given(scenarios(("static", "max")), st.floats(1.0, 3.0))
def test_more_memory_never_lowers_throughput_of_a_batch(scenario: Scenario, factor: float) -> None:
    small = answer(scenario)
    large = answer(with_device(scenario, memory_bytes=scenario.hardware.device.memory_bytes * factor))
    assert large.max_running >= small.max_running * (1 - 1e-9)
    assert large.output_tokens_per_s >= small.output_tokens_per_s * (1 - 1e-9)


@given(scenarios(("open",)), st.floats(1.01, 3.0))
def test_more_load_never_lowers_latency(scenario: Scenario, factor: float) -> None:
    light = answer(scenario)
    heavy = answer(scenario.with_workload(rate=scenario.workload.rate * factor))
    assert heavy.ttft_s_mean >= light.ttft_s_mean * (1 - 1e-6)
    assert heavy.tpot_s_mean >= light.tpot_s_mean * (1 - 1e-6)


@given(scenarios(("open",)))
def test_quantiles_are_ordered(scenario: Scenario) -> None:
    e = answer(scenario)
    for metric in ("ttft_s", "tpot_s", "itl_s", "e2e_s"):
        values = [e.metrics[f"{metric}_{q}"] for q in ("p50", "p90", "p99")]
        assert values == sorted(values)


@given(st.lists(scenarios(), min_size=2, max_size=6))
def test_many_at_once_are_the_same_as_one_at_a_time(batch: list[Scenario]) -> None:
    together = estimate_many(batch)
    for scenario, result in zip(batch, together, strict=True):
        if isinstance(result, RooflabError):
            with pytest.raises(type(result)) as error:
                estimate(scenario)
            assert str(error.value) == str(result)
            continue
        for name, value in estimate(scenario).metrics.items():
            np.testing.assert_allclose(result.metrics[name], value, rtol=1e-9)


@given(scenarios(("max",)), st.integers(1, 400), st.integers(1, 400))
def test_step_time_grows_with_sequences_and_context(scenario: Scenario, n: int, more: int) -> None:
    costs = compile_steps(scenario.model, scenario.hardware, [scenario.deployment])[0]
    small = costs.step(n_decode=n, context=n * 512).seconds[0]
    assert costs.step(n_decode=n + more, context=(n + more) * 512).seconds[0] >= small
    assert costs.step(n_decode=n, context=n * (512 + more)).seconds[0] >= small


@settings(max_examples=20)
@given(scenarios(("max",)))
def test_pricing_many_splits_at_once_is_pricing_each(scenario: Scenario) -> None:
    splits = [scenario.deployment.changed(tp=tp) for tp in (1, 2, 4, 8)]
    wide = replace(scenario.hardware, count=8)
    together = compile_steps(scenario.model, wide, splits)
    for i, deployment in enumerate(splits):
        alone = compile_steps(scenario.model, wide, [deployment])[0]
        np.testing.assert_allclose(together[i].tables, alone.tables, rtol=1e-12)
        np.testing.assert_allclose(together[i].attention, alone.attention, rtol=1e-12)


def test_faster_links_never_slow_a_split(hardware_of: Hardware) -> None:
    from rooflab.catalogue.models import model
    from rooflab.scenario.deployment import Deployment

    shape = model("Llama-3.1-70B")
    device = hardware_of.device
    times = []
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        link = replace(device.scale_up, bytes_per_s=device.scale_up.bytes_per_s * factor)
        machine = replace(hardware_of, device=replace(device, scale_up=link))
        costs = compile_steps(shape, machine, [Deployment.of(engine="vllm", tp=8)])[0]
        times.append(float(costs.step(n_decode=256, context=256 * 1024).seconds[0]))
    assert times == sorted(times, reverse=True)


def test_what_does_not_fit_says_what_would(hardware_of: Hardware) -> None:
    from rooflab.catalogue.models import model
    from rooflab.scenario.workload import Workload

    with pytest.raises(Infeasible) as error:
        estimate(Scenario(model=model("Llama-3.1-405B"), hardware=hardware_of, workload=Workload(batch=1)))
    text = str(error.value)
    assert "812 GB of weights" in text
    assert "fp8 weights on these devices hold" in text
    assert "16 devices" in text

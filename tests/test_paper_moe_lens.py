"""MoE-Lens: offload as a field of the deployment, the limit, and steps of a finite batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.costs.compile import compile_steps
from rooflab.deploy.complete import complete
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.runs import KIND
from rooflab.library.serving.moe_lens.paper import mean_gain, setup
from rooflab.library.serving.moe_lens.schedule import Schedule, run_requests
from rooflab.library.serving.moe_lens.stages import Rates, Stages, limit, pme
from rooflab.library.serving.moe_lens.technique import MoeLens, SeparateExperts
from rooflab.memory.account import account
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.alike import run_batch
from rooflab.testing.readers import ReaderConformance

HOST = {"weights": "dram", "kv": "dram", "attention": "cpu"}


def mixtral(**deployment: Any) -> Scenario:
    fields = {
        "model": "mistralai/Mixtral-8x7B-v0.1",
        "hardware": {"device": "a40", "tiers": [{"name": "dram", "size": "164 GB", "bandwidth": "20 GB/s"}]},
        "workload": {"isl": 96, "osl": 64, "scenario": "max-throughput"},
        "deployment": {
            "tp": 1,
            "weights": "bf16",
            "max_num_seqs": 10_000,
            "max_num_batched_tokens": 16_384,
            **deployment,
        },
    }
    return rl.load(fields)


def test_weights_stream_once_a_step_and_the_cache_fills_the_host() -> None:
    s = complete(mixtral(offload=HOST))
    cost = compile_steps(s.model, s.hardware, [s.deployment])[0]
    assert cost.scalar("stream_s") == pytest.approx(2 * s.model.parameters / 20e9, rel=0.02)
    memory = account(s.model, s.hardware, [s.deployment])
    assert float(memory.weights_bytes[0]) < 0.1 * 2 * s.model.parameters
    assert float(memory.free_bytes[0]) == pytest.approx(164e9 - 2 * s.model.parameters, rel=0.02)
    few, many = (float(cost.step(n_decode=n, context=100.0 * n).seconds[0]) for n in (1, 500))
    assert many == pytest.approx(few, rel=0.02)


def test_attention_on_the_cpu_runs_beside_and_then_decides() -> None:
    s = complete(mixtral(offload=HOST))
    cost = compile_steps(s.model, s.hardware, [s.deployment])[0]
    long, longer = (cost.step(n_decode=100, context=c) for c in (8e6, 16e6))
    assert float(long.stream_s[0]) > cost.scalar("stream_s")
    assert float(longer.seconds[0]) == pytest.approx(2 * float(long.seconds[0]), rel=0.02)


@pytest.mark.parametrize("osl", [64, 3000])
def test_simulation_and_estimate_agree_on_offloaded_steps(osl: int) -> None:
    s = mixtral(offload=HOST).with_workload(
        osl=replace(rl.load({"model": "gpt2", "hardware": "a40"}).workload.osl, mean=osl, low=osl, high=osl)
    )
    s = s.with_workload(scenario=None, batch=40)
    estimated, simulated = rl.estimate(s), rl.simulate(s)
    assert simulated.metrics["tpot_s_mean"] == pytest.approx(estimated.metrics["tpot_s_mean"], rel=0.02)


def test_weights_alone_may_stream() -> None:
    e = rl.estimate(mixtral(offload={"weights": "dram"}))
    assert e.metrics["tpot_s_mean"] > 4.0
    assert e.metrics["limit_ratio"] <= 1.0


@pytest.mark.parametrize(
    ("offload", "message"),
    [
        ({"kv": "dram"}, "needs attention: cpu"),
        ({"weights": "dram", "attention": "cpu"}, "needs attention: cpu"),
        ({"weights": "cxl"}, "no memory tier"),
        ({"weihgts": "dram"}, "weights"),
        ({}, "offloads nothing"),
    ],
)
def test_an_impossible_offload_is_named(offload: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rl.estimate(mixtral(offload=offload))


def test_a_host_that_is_too_small_is_infeasible() -> None:
    small = mixtral(offload=HOST)
    hardware = replace(small.hardware, tiers=(replace(small.hardware.tiers[0], bytes=80e9),))
    with pytest.raises(Infeasible, match="dram"):
        rl.estimate(replace(small, hardware=hardware))


def test_the_technique_fits_what_does_not_fit() -> None:
    s = mixtral()
    with pytest.raises(Infeasible):
        rl.estimate(s)
    p, lab = paper("moe_lens"), Lab(api.engines())
    comparison = run_paper(p, s, {}, lab)[0].comparison
    assert comparison is not None
    assert comparison.before is None
    assert comparison.after.load["output_tokens_per_s"] > 100
    limit = run_paper(p, s, {}, lab, "stages")[0].outcome["limit, generated"]
    assert comparison.after.load["output_tokens_per_s"] <= 1.05 * limit


def test_it_refuses_where_weights_fit_or_the_host_cannot_hold_them() -> None:
    with pytest.raises(Infeasible, match="fits on the devices"):
        (
            rl.load({"model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 512, "osl": 64}})
            | MoeLens()
        )
    large = rl.load({"model": "meta-llama/Llama-3.1-405B", "hardware": "a40", "workload": {"isl": 512, "osl": 64}})
    with pytest.raises(Infeasible, match="host memory"):
        large | MoeLens()


def test_the_limit_is_that_of_cache_or_of_products() -> None:
    prompt, output = 98, 256
    assert pme(prompt, output) == pytest.approx((prompt + output) / sum(prompt + j for j in range(output)), rel=0.01)
    assert limit(prompt, output, 5e5, 4.8, 1e9) == pytest.approx(2 * limit(prompt, output, 2.5e5, 4.8, 1e9))
    assert limit(prompt, output, 5e9, 4.8, 6000.0) == 6000.0


def test_a_batch_comes_near_its_limit_and_never_beats_it() -> None:
    rng = np.random.default_rng(4)
    for _ in range(8):
        prompt, output = int(rng.integers(20, 400)), int(rng.integers(16, 200))
        cache, token_s = float(rng.integers(20_000, 200_000)), 1e-4
        most = int(1 / token_s)
        made = run_batch(
            prompt,
            output,
            int(8 * cache / (prompt + output)),
            cache_tokens=cache,
            stream_s=1.0,
            token_s=token_s,
            cached_s=0.0,
            step_tokens=most,
        )
        best = limit(prompt, output, cache, 1.0, 1 / token_s)
        reached = made.output_tokens_per_s * (prompt + output) / output
        assert 0.5 * best < reached <= 1.02 * best
        separate = run_batch(
            prompt, output, int(8 * cache / (prompt + output)), cache_tokens=cache, stream_s=1.0, token_s=token_s,
            cached_s=0.0,
            step_tokens=most, overlapped=False,
        )  # fmt: skip
        assert separate.output_tokens_per_s < made.output_tokens_per_s


def test_preempted_requests_finish() -> None:
    made = run_batch(8, 64, 40, cache_tokens=800, stream_s=1.0, token_s=0.0, cached_s=0.0, step_tokens=10_000, block=4)
    assert made.preempted > 0
    assert made.output_tokens_per_s * made.seconds == pytest.approx(40 * 64)
    with pytest.raises(Infeasible, match="holds no request"):
        run_batch(100, 100, 1, cache_tokens=100, stream_s=1.0, token_s=0.0, cached_s=0.0, step_tokens=1000)


def test_experts_apart_do_the_same_work_and_fill_the_device_with_fewer_tokens_than_the_peak_says() -> None:
    s = complete(mixtral(offload=HOST))
    grouped, apart = (compile_steps(s.model, s.hardware, [s.deployment], r)[0] for r in ((), (SeparateExperts(),)))
    tokens = 18_500.0
    load = {"n_prefill": 1, "prefill_tokens": tokens, "area": 1e6}
    one, other = grouped.step(**load), apart.step(**load)
    assert float(other.flops[0]) == pytest.approx(float(one.flops[0]), rel=1e-6)
    assert float(other.linear_s[0]) < float(one.linear_s[0])
    ideal = 2 * s.model.active_parameters * tokens / s.hardware.device.peak("bf16")
    assert float(other.linear_s[0]) > ideal
    # the paper's profiler finds 18,500 tokens in the 4.8 s that the weights take
    assert float(other.linear_s[0]) == pytest.approx(4.8, rel=0.2)


RATES = Rates(stream_s=1.0, token_s=1e-4, cached_s=0.0, cache_tokens=30_000, step_tokens=5_000, replicas=1)


@pytest.mark.parametrize("overlapped", [True, False])
@pytest.mark.parametrize(("prompt", "output"), [(100, 60), (30, 200), (700, 20)])
def test_requests_alike_run_as_the_batch_of_twins_does(overlapped: bool, prompt: int, output: int) -> None:
    one = run_batch(
        prompt, output, 900, cache_tokens=RATES.cache_tokens, stream_s=1.0, token_s=1e-4, cached_s=0.0,
        step_tokens=5_000, overlapped=overlapped,
    )  # fmt: skip
    other = run_requests(np.full(900, prompt), np.full(900, output), RATES, overlapped=overlapped)
    assert (other.steps, other.preempted) == (one.steps, one.preempted)
    assert other.seconds == pytest.approx(one.seconds)


def test_requests_that_differ_all_end_and_phases_take_longer() -> None:
    rng = np.random.default_rng(3)
    prompts, outputs = rng.integers(5, 900, 800), rng.integers(1, 300, 800)
    together, apart = (run_requests(prompts, outputs, RATES, overlapped=o) for o in (True, False))
    assert together.seconds < 0.8 * apart.seconds
    assert together.steps >= outputs.max()
    assert apart.preempted == 0
    # what a step computes is bounded, so the run takes at least the work's time
    assert together.seconds >= (prompts.sum() + outputs.sum()) * RATES.token_s


def test_a_log_that_cannot_be_held_is_told() -> None:
    with pytest.raises(Infeasible, match="request 2 of 40,100"):
        run_requests(np.array([10, 40_000]), np.array([10, 100]), RATES)
    lab = Lab(api.engines())
    with pytest.raises(InputError, match="input_tokens"):
        Schedule().run(lab, KIND.sample("two-models"))
    with pytest.raises(Infeasible, match="fits on the devices"):
        Schedule(model="meta-llama/Llama-3.1-8B").run(lab, KIND.sample("azure-code"))


def test_a_readers_log_and_the_control() -> None:
    lab, log = Lab(api.engines()), KIND.sample("azure-code")
    done = Schedule(cache_gb=10.0, requests=500).run(lab, log)
    assert done.figure("generated").gain > 1.5
    assert done.figure("steps").how == "executed"
    assert "first 500 of 2,000" in done.notes[0]
    control = Schedule(cache_gb=10.0, requests=500).ablated(0).run(lab, log)
    assert control.figure("generated").gain == 1.0


def test_a_reader_gets_what_the_claim_gets() -> None:
    lab = Lab(api.engines())
    runs = run_paper(paper("moe_lens"), setup(lab), {"reserved": 418}, lab, "stages")
    gain = runs[0].outcome.figure("generated").gain
    assert 1.5 < gain < 6
    assert Stages(reserved=418).run(lab, setup(lab)).figure("generated").gain == gain
    assert mean_gain(lab) > 1.5


class TestReaders(ReaderConformance):
    paper = paper("moe_lens")

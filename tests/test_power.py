"""Power: never above the cap, never below idle, lower limits and clocks never faster; the shipped constants are
physical."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rooflab as rl
from rooflab.catalogue.devices import device
from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.costs.power import (
    CLOCKS,
    ClockLaw,
    PowerCurve,
    assumed,
    capped_job,
    clock_law,
    loaded_idle_w,
    power_curve,
    throttle,
)
from rooflab.estimator.serving.front import estimate
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths

ABOUT = 1 + 1e-9
quick = settings(max_examples=60, deadline=None)
laws = st.builds(
    ClockLaw, floor=st.floats(0.3, 0.95), exponent=st.floats(0.1, 4.0), scaling=st.floats(0.0, 1.0),
    regulation=st.floats(0.85, 1.0),
    provenance=st.just("fitted"), source=st.just(""),
)  # fmt: skip


def served(
    limit: str | None = None, clock: float | None = None, *, batch: int = 32, isl: float = 1024, osl: float = 256
):
    spec: dict[str, object] = {"device": "h100-sxm"}
    if limit:
        spec["power_limit"] = limit
    if clock:
        spec["clock"] = clock
    work = Workload(batch=batch, isl=read_lengths(isl, "isl"), osl=read_lengths(osl, "osl"))
    return estimate(
        Scenario(
            model=model("meta-llama/Llama-3.1-8B-Instruct"),
            hardware=hardware(spec),
            workload=work,
            deployment=Deployment.of(engine="vllm", tp=1),
        )
    )


@quick
@given(
    law=laws,
    idle_w=st.floats(20.0, 100.0),
    dynamic_w=st.floats(0.0, 400.0),
    share=st.floats(0.2, 1.0),
    clock=st.floats(0.3, 1.0),
    lower=st.floats(0.0, 0.5),
)
def test_a_capped_job_stays_under_its_cap_and_above_idle(*, law, idle_w, dynamic_w, share, clock, lower):
    power_w = idle_w + dynamic_w
    cap_w = idle_w + 5 + share * dynamic_w
    time, watts = capped_job(law, idle_w, power_w=power_w, limit_w=cap_w, clock=clock)
    assert time * ABOUT >= 1.0
    assert idle_w <= watts * ABOUT
    assert watts <= cap_w * ABOUT
    tighter, _ = capped_job(
        law, idle_w, power_w=power_w, limit_w=idle_w + 5 + share * dynamic_w * (1 - lower), clock=clock
    )
    slower, _ = capped_job(law, idle_w, power_w=power_w, limit_w=cap_w, clock=clock * (1 - lower / 2))
    assert tighter * ABOUT >= time
    assert slower * ABOUT >= time


def test_a_limit_that_does_not_bind_changes_nothing():
    law = ClockLaw(0.7, 1.5, 0.8, 0.95, "fitted", "")
    assert capped_job(law, 50.0, power_w=200.0, limit_w=400.0) == (1.0, 200.0)


def test_a_locked_clock_by_hand():
    """Half the clock: time 0.8/0.5 + 0.2; joules a FLOP at the voltage floor 0.7 squared."""
    law = ClockLaw(0.7, 2.0, 0.8, 1.0, "fitted", "")
    time, watts = capped_job(law, 50.0, power_w=250.0, clock=0.5)
    assert time == pytest.approx(1.8)
    assert watts == pytest.approx(50.0 + 200.0 * 0.49 / 1.8)


def test_throttle_keeps_work_that_fits_and_stretches_what_never_does():
    seconds = 0.5 / CLOCKS + 0.5
    cheap, dear = 100.0 * np.ones_like(seconds), 1000.0 * np.ones_like(seconds)
    t, j = throttle(np.stack([seconds, seconds], axis=1), np.stack([cheap, dear], axis=1), 150.0)
    assert t[0] == pytest.approx(1.0)
    assert j[0] == pytest.approx(100.0)
    assert t[1] == pytest.approx(1000.0 / 150.0)


def test_serving_slows_monotonically_as_the_limit_falls():
    full = served()
    before = full
    for limit in ("690 W", "600 W", "500 W", "400 W", "300 W", "200 W"):
        now = served(limit)
        assert now.output_tokens_per_s <= before.output_tokens_per_s * ABOUT, limit
        assert now.power_w <= float(limit.split()[0]) * ABOUT
        assert now.ttft_s_mean * ABOUT >= before.ttft_s_mean
        before = now
    # just below the TDP nothing jumps: kernel times were measured under the TDP
    assert served("699.9 W").output_tokens_per_s == pytest.approx(full.output_tokens_per_s, rel=1e-3)
    assert before.output_tokens_per_s < 0.8 * full.output_tokens_per_s


def test_decode_suffers_less_from_a_limit_than_prefill():
    full, capped = served(batch=8), served("400 W", batch=8)
    assert capped.ttft_s_mean / full.ttft_s_mean > 1.15
    assert capped.tpot_s_mean / full.tpot_s_mean < 1.1


def test_a_lower_clock_costs_time_and_saves_joules_of_arithmetic():
    full = served(batch=256, isl=2048, osl=8)
    slow = served(clock=0.7, batch=256, isl=2048, osl=8)
    assert slow.output_tokens_per_s < full.output_tokens_per_s
    assert slow.power_w < full.power_w
    assert slow.j_per_token < full.j_per_token


@pytest.mark.parametrize(
    "name", ["h100-sxm", "b200-sxm", "a100-sxm-80gb", "rtx-3090", "mi300x", "i9-10940x", "m4-max", "tpu-v5e"]
)
def test_loaded_idle_lies_between_rest_and_tdp(name):
    machine = hardware(name)
    assert machine.device.idle_w <= loaded_idle_w(machine) < 0.6 * machine.device.tdp_w


def test_energy_is_at_least_idle_power_times_time():
    result = served(batch=1, isl=64, osl=64)
    assert result.power_w >= loaded_idle_w(hardware("h100-sxm"))


@pytest.mark.parametrize(("rate", "share"), [("0.001/s", 0.0), ("0.2/s", 0.27), ("1/s", 0.81)])
def test_an_open_loop_draws_idle_power_between_requests(rate, share):
    """A request is in work 1.5 s: at r requests a second something is for 1 − exp(−1.5 r) of the time (M/G/∞)."""
    scenario = {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "hardware": "h100-sxm",
        "workload": {"isl": 1000, "osl": 200, "rate": rate},
    }
    idle_w = loaded_idle_w(hardware("h100-sxm"))
    working_w = rl.estimate({**scenario, "workload": {"isl": 1000, "osl": 200, "concurrency": 1}}).power_w
    got = rl.estimate(scenario).power_w
    assert (got - idle_w) / (working_w - idle_w) == pytest.approx(share, abs=0.03)


def test_constants_ship_with_their_errors():
    raw = json.loads(resources.files("rooflab.costs").joinpath("fits/power.json").read_text("utf-8"))
    for table in ("curves", "clocks"):
        for name, entry in raw[table].items():
            assert entry["provenance"] in ("fitted", "assumed"), name
            assert entry["source"], name
            if entry["provenance"] == "fitted":
                assert entry["rows"] > 0, name
                assert entry["left_out_median"] < 0.16, name
    assert power_curve(hardware("h100-sxm")).provenance == "fitted"
    assert clock_law(device("a40")) == clock_law(device("rtx-3090"))
    with assumed(
        PowerCurve(loaded_idle=0.3, active=0.0, compute=0.0, memory=0.0, link=0.0, provenance="assumed", source="")
    ):
        assert loaded_idle_w(hardware("h100-sxm")) == pytest.approx(210.0)


@pytest.mark.parametrize("pp", [1, 2, 4, 8])
def test_a_pipeline_as_a_whole_stays_under_the_limit(pp):
    machine = hardware({"device": "h100-sxm", "count": pp, "power_limit": "600 W"})
    work = Workload(batch=512, isl=read_lengths(4096, "isl"), osl=read_lengths(1, "osl"))
    result = estimate(
        Scenario(
            model=model("meta-llama/Llama-3.1-8B-Instruct"),
            hardware=machine,
            workload=work,
            deployment=Deployment.of(engine="vllm", tp=1, pp=pp),
        )
    )
    assert result.power_w <= pp * 600.0 * ABOUT

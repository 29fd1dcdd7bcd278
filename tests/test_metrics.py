"""The registry of metrics covers the design and what engines report."""

from __future__ import annotations

import numpy as np
import pytest

import rooflab as rl
from rooflab.deploy.bill import Bill, upkeep
from rooflab.errors import InputError
from rooflab.metrics.derived import per_token
from rooflab.metrics.registry import METRICS, STATISTICS, metric
from rooflab.planner.objective import OBJECTIVES
from rooflab.scenario.slo import SLO, SLO_KEYS

DESIGN_SERVING = (
    "output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "output_tokens_per_s_per_gpu",
    "total_tokens_per_s_per_gpu",
    "requests_per_s_per_gpu", "goodput_requests_per_s", "kv_bytes", "weights_bytes", "free_bytes", "j_per_token",
    "power_w",
    "usd_per_mtok", "gco2e_per_mtok", "mfu", "mbu", "limit_ratio", "bottleneck",
    *(f"{m}_{s}" for m in ("ttft_s", "tpot_s", "e2e_s", "itl_s") for s in ("mean", "p50", "p90", "p99", "p999")),
)  # fmt: skip
DESIGN_TRAINING = ("step_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu", "peak_memory_bytes", "train_s", "usd")


@pytest.mark.parametrize("name", DESIGN_SERVING + DESIGN_TRAINING)
def test_every_metric_of_the_design_is_there(name):
    assert METRICS[name].formula


def test_training_metrics_are_of_the_training_engine():
    assert all("train" in METRICS[name].of for name in DESIGN_TRAINING)


def test_every_metric_says_what_it_is():
    for name, m in METRICS.items():
        assert m.name == name
        assert m.formula
        assert m.kind
        assert m.better in ("higher", "lower", "neither")
        assert m.of
        if name.endswith("_s") or "_s_" in name.rsplit("_per_", 1)[0]:
            assert m.unit == "s" or "/s" in m.unit
        if name.endswith("_bytes"):
            assert m.unit == "B"


def test_latency_is_better_lower_and_throughput_higher():
    assert all(
        METRICS[f"{m}_{s}"].better == "lower"
        for m in ("ttft_s", "tpot_s", "itl_s", "e2e_s", "queue_s")
        for s in STATISTICS
    )
    assert METRICS["output_tokens_per_s"].better == METRICS["mfu"].better == "higher"


def test_every_service_level_bounds_a_metric():
    for key in SLO_KEYS:
        assert SLO.metric(key) in METRICS


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(InputError, match="output_tokens_per_s"):
        metric("output_token_per_s")


POOLS = [{"role": "prefill", "replicas": 1, "tp": 1}, {"role": "decode", "replicas": 1, "tp": 1}]


@pytest.mark.parametrize("deployment", [{"tp": 1}, {"pools": POOLS}])
@pytest.mark.parametrize("engine", ["estimate", "simulate"])
def test_an_engine_reports_exactly_the_metrics_that_the_registry_says(engine, deployment):
    scenario = rl.load(
        {
            "model": "meta-llama/Llama-3.1-8B",
            "hardware": "2 x h100-sxm",
            "workload": {"isl": 100, "osl": 10, "rate": 5, "requests": 20, "clients": 2},
            "deployment": {"engine": "vllm"} | deployment,
            "slo": {"ttft_p99": "1 s"},
        }
    )
    reported = set(getattr(rl, engine)(scenario).record())
    assert reported - {"complete"} == {m.name for m in METRICS.values() if engine in m.of}


def test_energy_money_and_carbon_a_token():
    found = per_token(
        np.array([100.0, 0.0]), power_w=700.0, usd_per_hour=3.6, host_w=300.0, pue=1.2, gco2e_per_kwh=300.0
    )
    assert found["j_per_token"][0] == 7.0
    assert found["usd_per_mtok"][0] == pytest.approx(10.0)  # 0.001 USD a second, 10^4 seconds for a million tokens
    assert found["gco2e_per_mtok"][0] == pytest.approx(1200 * 1e4 / 3.6e6 * 300)
    assert all(np.isnan(found[name][1]) for name in ("j_per_token", "usd_per_mtok", "gco2e_per_mtok"))


def test_what_several_kinds_of_devices_cost_together():
    one, other = Bill(2.0, 100.0, 1.2, 400.0, ""), Bill(4.0, 50.0, 1.4, 100.0, "")
    cost = upkeep([(one, 3.0), (other, 1.0)])
    assert (cost.usd_per_hour, cost.host_w) == (10.0, 350.0)
    assert (cost.pue, cost.gco2e_per_kwh) == (pytest.approx(1.25), pytest.approx(325.0))


def test_the_registry_alone_says_which_way_is_better():
    assert OBJECTIVES["output_tokens_per_s_per_gpu"].more_is_better
    assert not OBJECTIVES["usd_per_mtok"].more_is_better
    assert set(OBJECTIVES) <= set(METRICS)
    assert all(METRICS[name].better != "neither" for name in OBJECTIVES)

"""The registry of metrics covers the design and what engines report."""

from __future__ import annotations

import pytest

from rooflab.errors import InputError
from rooflab.metrics.registry import METRICS, STATISTICS, metric
from rooflab.scenario.slo import SLO, SLO_KEYS
from rooflab.scenario.workload import read_workload
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.work.make import make_work
from tests.toy_engine import toy_run

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


def test_a_simulation_reports_exactly_the_metrics_of_the_simulator():
    requests = make_work(read_workload({"isl": 100, "osl": 10, "rate": 5, "requests": 20}))
    known = {"weights_bytes": 1.0, "free_bytes": 1.0, "kv_bytes": 1.0, "gco2e_per_mtok": 1.0}
    result = ServingResult(requests=requests, run=toy_run(requests), kv_blocks=100, usd_per_hour=1.0, known=known)
    assert set(result.metrics) == {m.name for m in METRICS.values() if "simulate" in m.of}

"""Pools in closed form: queueing theory, Little's law, and the simulator."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.estimator.serving.prompt_queue import FirstTokens, Servers
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

SMALL, LARGE = "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B"


def pooled(model: str, prefill: int, decode: int, isl: Any, osl: Any, **load: Any) -> Scenario:
    tp = 4 if model == LARGE else 1
    limits = {"max_num_seqs": load.pop("max_num_seqs", 256)}
    pools = [{"role": "prefill", "replicas": prefill, "tp": tp}, {"role": "decode", "replicas": decode, "tp": tp}]
    return rl.load(
        {
            "model": model,
            "hardware": f"{(prefill + decode) * tp} x h100-sxm",
            "workload": {"isl": isl, "osl": osl, **load},
            "deployment": {"engine": "vllm", "pools": pools, **limits},
        }
    )


def lengths(mean: float, cv: float) -> dict[str, Any]:
    return {"lognormal": {"mean": mean, "cv": cv, "high": 16_000}}


SIMULATED = [
    pooled(SMALL, 1, 1, 2000, 100, rate=3, requests=1500),
    pooled(SMALL, 1, 2, 2000, 100, rate=8, requests=1500),
    pooled(SMALL, 2, 2, 2000, 60, rate=20, requests=1500),
    pooled(SMALL, 1, 2, 300, 100, rate=30, requests=1500),
    pooled(LARGE, 1, 1, 1500, 150, rate=3, requests=1500),
    pooled(LARGE, 2, 2, 1500, 150, rate=12, requests=1500),
    pooled(SMALL, 1, 2, lengths(2000, 0.6), lengths(100, 0.5), rate=6, requests=1500),
    pooled(SMALL, 2, 2, lengths(2000, 1.0), lengths(100, 0.5), rate=8, requests=1500),
    pooled(SMALL, 1, 2, 2000, 100, concurrency=4),
    pooled(SMALL, 1, 2, 2000, 100, concurrency=128),
    pooled(SMALL, 1, 2, lengths(2000, 0.6), lengths(200, 0.5), concurrency=16, start="staggered"),
    pooled(SMALL, 1, 2, lengths(2000, 0.6), lengths(200, 0.5), concurrency=64, start="staggered"),
    pooled(LARGE, 2, 2, "1200..1800", "240..360", concurrency=64, start="staggered"),
    pooled(SMALL, 2, 2, "819..1024", "819..1024", concurrency=32, rounds=4),
]


def test_first_tokens_agree_with_the_simulator() -> None:
    """Median relative errors over all scenarios."""
    told, seen = [rl.estimate(s) for s in SIMULATED], [rl.simulate(s) for s in SIMULATED]

    def missed(metric: str) -> float:
        ratios = [a.metrics[metric] / b.metrics[metric] for a, b in zip(told, seen, strict=True)]
        return float(np.median(np.abs(np.log(ratios))))

    found = {metric: missed(metric) for metric in ("ttft_s_mean", "ttft_s_p50", "ttft_s_p90", "ttft_s_p99")}
    within = {"ttft_s_mean": 0.07, "ttft_s_p50": 0.02, "ttft_s_p90": 0.13, "ttft_s_p99": 0.16}
    assert all(found[metric] < within[metric] for metric in within), found
    assert missed("requests_per_s") < 0.04


@pytest.mark.parametrize("load", [{"concurrency": 1}, {"concurrency": 20}, {"concurrency": 300}])
def test_littles_law_of_a_closed_loop(load: dict[str, Any]) -> None:
    m = rl.estimate(pooled(SMALL, 1, 2, 1500, 200, **load)).metrics
    in_flight = m["requests_per_s"] * (m["ttft_s_mean"] + 200 * m["tpot_s_mean"])
    assert in_flight == pytest.approx(load["concurrency"], rel=0.02)


def test_a_full_decode_pool_makes_users_wait_behind_the_first_token() -> None:
    s = pooled(SMALL, 2, 1, 500, lengths(200, 0.3), concurrency=64, max_num_seqs=16, start="staggered")
    told, seen = rl.estimate(s), rl.simulate(s)
    for metric in ("ttft_s_mean", "tpot_s_mean", "e2e_s_mean", "requests_per_s"):
        assert told.metrics[metric] == pytest.approx(seen.metrics[metric], rel=0.06), metric


def test_more_than_the_pools_serve_is_saturated() -> None:
    found = rl.estimate(pooled(SMALL, 1, 3, 4000, 10, rate=100))
    assert found.saturated
    assert found.ttft_s_p99 == math.inf
    assert found.requests_per_s < 100


def test_goodput_counts_first_tokens_within_their_level() -> None:
    s = pooled(SMALL, 1, 3, 2000, 100, rate=12, requests=1500)
    strict = replace(s, slo=SLO((("ttft_p99", 0.1),)))
    told, seen = rl.estimate(strict), rl.simulate(strict)
    share = told.goodput_requests_per_s / told.requests_per_s
    assert 0.6 < share < 0.9
    assert share == pytest.approx(seen.goodput_requests_per_s / seen.requests_per_s, abs=0.12)
    assert rl.estimate(s).goodput_requests_per_s == rl.estimate(s).requests_per_s


def test_waits_for_one_server_are_those_of_queueing_theory() -> None:
    """M/M/1 and M/D/1 (Pollaczek and Khinchine)."""
    exponential, regular = (Servers(count=1, together=1, step_s=2.0, variation=v) for v in (1.0, 0.5))
    for load in (0.1, 0.5, 0.9):
        assert exponential.waiting(load) == pytest.approx(load)
        assert exponential.wait_s(load) == pytest.approx(load / (1 - load) * 2.0)
        assert regular.wait_s(load) == pytest.approx(load / (1 - load))
    assert Servers(count=4, together=2, step_s=2.0, variation=1.0).most == 4.0


@pytest.mark.parametrize("deviation", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("first", [0.0, 0.2])
def test_the_distribution_has_the_mean_that_it_says(deviation: float, first: float) -> None:
    found = FirstTokens(
        alone_s=np.array([1.0, 1.5, 4.0]), waiting=0.6, wait_s=1.0, deviation_s=deviation, first=first,
        opening_s=np.array([2.0, 3.0, 4.0]),
    )  # fmt: skip
    t = np.linspace(0.0, 30.0, 30_001)
    beyond = 1 - np.array([found.within(x) for x in t])
    assert float(beyond.sum() * (t[1] - t[0])) == pytest.approx(found.mean, rel=0.01)
    quantiles = found.statistics()
    assert quantiles["p50"] <= quantiles["p90"] <= quantiles["p99"]
    assert found.within(quantiles["p90"]) == pytest.approx(0.9, abs=0.12)  # opening tokens come together


def test_an_exponential_wait_has_its_quantiles() -> None:
    found = FirstTokens(
        alone_s=np.array([1.0]), waiting=0.5, wait_s=2.0, deviation_s=2.0, first=0.0, opening_s=np.zeros(0)
    )
    told = found.statistics()
    assert (told["mean"], told["p50"]) == (2.0, pytest.approx(1.0))
    assert told["p99"] == pytest.approx(1.0 + 2.0 * math.log(0.5 / 0.01))

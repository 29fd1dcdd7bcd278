"""Beginnings that prompts have in common lie in a cache once: closed form against the simulator, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rooflab as rl
from rooflab.estimator.serving.shared import in_use
from rooflab.scenario.traffic import Prefixes

LLAMA = {"model": "meta-llama/Llama-3.1-8B-Instruct", "hardware": "1 x h100-sxm"}


def asked(workload: dict[str, object], engine: str = "trtllm", **deployment: object) -> rl.Scenario:
    return rl.load({**LLAMA, "workload": workload, "deployment": {"engine": engine, **deployment}})


@pytest.mark.parametrize(
    ("engine", "workload"),
    [
        ("trtllm", {"isl": 1024, "osl": 256, "concurrency": 1000, "shared_prefix": 512}),
        ("trtllm", {"isl": 1024, "osl": 256, "burst": 2000, "shared_prefix": 768}),
        ("sglang", {"isl": 1024, "osl": 256, "burst": 2000, "shared_prefix": 768}),
        (
            "sglang",
            {"isl": 2048, "osl": 256, "concurrency": 600, "prefixes": {"tokens": 1536, "count": 40, "share": 0.8}},
        ),
    ],
)
def test_engines_full_of_prompts_that_begin_alike_run_as_the_simulator_runs_them(
    engine: str, workload: dict[str, object]
) -> None:
    scenario = asked(workload, engine)
    known, simulated = rl.estimate(scenario).metrics, rl.simulate(scenario).metrics
    for name in ("output_tokens_per_s", "tpot_s_mean", "ttft_s_p50"):
        assert known[name] == pytest.approx(simulated[name], rel=0.06), name


@given(count=st.integers(1, 10**6), skew=st.floats(0.0, 3.0), share=st.floats(0.01, 1.0), sequences=st.floats(0.0, 1e5))
def test_prefixes_in_use_are_no_more_than_there_are_nor_than_ask_for_them(
    count: int, skew: float, share: float, sequences: float
) -> None:
    used = in_use(Prefixes(100, count=count, skew=skew, share=share), np.array([sequences]))[0]
    assert -1e-9 <= used <= min(count, sequences * share * 1.02 + 1e-9) * (1 + 1e-9) + 1e-9


@given(
    shared=st.integers(0, 900), count=st.integers(1, 300), engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    users=st.integers(1, 3000),
)  # fmt: skip
def test_what_prompts_share_never_leaves_room_for_fewer(shared: int, count: int, engine: str, users: int) -> None:
    plain = {"isl": 1024, "osl": 256, "concurrency": users}
    alike = {**plain, "prefixes": {"tokens": max(shared, 1), "count": count}}
    apart, together = (rl.estimate(asked(w, engine)).metrics for w in (plain, alike))
    assert together["max_running"] >= apart["max_running"] * (1 - 1e-9)
    assert together["kv_bytes"] >= 0.0
    assert together["free_bytes"] >= -1e-6 * together["weights_bytes"]


def test_a_cache_that_is_switched_off_shares_nothing() -> None:
    workload = {"isl": 1024, "osl": 256, "concurrency": 1000}
    off = rl.estimate(asked({**workload, "shared_prefix": 512}, prefix_caching=False)).metrics
    assert off["max_running"] == rl.estimate(asked(workload)).metrics["max_running"]

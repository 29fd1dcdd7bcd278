"""The highest rate: the same for every number of requests; above it targets break, below they hold; 0 said as such."""

from __future__ import annotations

from typing import Any

import pytest

import rooflab as rl
from rooflab.simulator.results.steady import steady, unsteady_words
from rooflab.simulator.serving.capacity import Capacity, capacity

QWEN: dict[str, Any] = {"model": "Qwen/Qwen2.5-7B-Instruct", "hardware": "l40s", "deployment": {"engine": "vllm"}}
SCENARIOS: dict[str, dict[str, Any]] = {
    "no targets": QWEN | {"workload": {"isl": 700, "osl": 200, "rate": 1.0}},
    "first token": QWEN | {"workload": {"isl": 2000, "osl": 50, "rate": 1.0}, "slo": {"ttft_p99": "1 s"}},
    "lognormal": {
        "model": "Llama-3.1-8B", "hardware": "2 x h100-sxm", "deployment": {"engine": "vllm", "replicas": 2, "tp": 1},
        "workload": {
            "isl": {"lognormal": {"mean": 1155, "cv": 1.1}}, "osl": {"lognormal": {"mean": 211, "cv": 1.2}}, "rate": 1,
        },
        "slo": {"ttft_p99": "500 ms", "tpot_p99": "30 ms"},
    },
}  # fmt: skip


def found(name: str, requests: int) -> Capacity:
    return capacity(rl.load(SCENARIOS[name]).with_workload(requests=requests))


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_does_not_depend_on_the_requests_asked_for(name: str) -> None:
    long = found(name, 15_000)
    assert not long.warnings
    assert long.low < long.rate < long.high
    for requests in (300, 1000, 5000):
        short = found(name, requests)
        assert short.low <= long.rate <= short.high
        assert short.high - short.low <= 0.25 * short.rate
        if short.requests > requests:
            assert f"{requests:,} requests are too few" in short.warnings[0]


def test_below_it_holds_and_above_it_does_not() -> None:
    s = rl.load(SCENARIOS["first token"])
    at = capacity(s)
    assert at.result is not None
    assert not at.result.broken()
    runs = {f: rl.simulate(s.with_workload(rate=f * at.rate, requests=20_000)) for f in (0.9, 1.2)}
    assert not runs[0.9].broken()
    assert runs[1.2].broken()


def test_where_not_even_a_trickle_holds() -> None:
    at = capacity(rl.load(SCENARIOS["first token"] | {"slo": {"ttft_p99": "1 ms"}}))
    assert (at.rate, at.result) == (0.0, None)


def test_a_run_says_when_its_figures_are_those_of_its_length() -> None:
    s = rl.load(SCENARIOS["no targets"])
    sustained = capacity(s).rate
    overloaded = rl.simulate(s.with_workload(rate=2 * sustained, requests=5000))
    assert unsteady_words(overloaded).startswith("overloaded")
    part = steady(overloaded)
    assert part is not None
    assert part.served == pytest.approx(sustained, rel=0.05)
    assert unsteady_words(rl.simulate(s.with_workload(rate=5.0, requests=100))).startswith("short")
    assert unsteady_words(rl.simulate(s.with_workload(rate=5.0, requests=10))).startswith("too few")
    assert unsteady_words(rl.simulate(s.with_workload(rate=0.7 * sustained, requests=5000))) == ""

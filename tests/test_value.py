"""Numbers that know where they come from, in Python as on the command line."""

from __future__ import annotations

import math

import pytest

import rooflab as rl
from rooflab.errors import InputError
from rooflab.estimator.serving.front import estimate as without_evidence
from rooflab.evidence.intervals.intervals import intervals

CHAT = {
    "model": "meta-llama/Llama-3.1-8B",
    "hardware": "1 x h100-sxm",
    "workload": {"isl": 500, "osl": 50, "concurrency": 8, "requests": 20},
    "deployment": {"engine": "vllm", "tp": 1},
}


def test_an_estimate_carries_the_intervals_of_the_command_line() -> None:
    found = rl.estimate(CHAT)
    for name, one in intervals(found).items():
        value = found.value(name)
        assert (float(value), value.low, value.high, value.kind) == (one.value, one.low, one.high, one.provenance)
        assert value.source == one.words
    throughput = found.value("output_tokens_per_s")
    assert throughput.low < throughput.number < throughput.high
    assert throughput.unit == "tokens/s"
    assert "measured rows of this model" in str(throughput)


def test_every_number_of_an_estimate_has_a_kind() -> None:
    found = rl.estimate(CHAT)
    assert set(found.values) == set(found.metrics) - {"bottleneck_index"}
    assert found.values["limit_output_tokens_per_s_per_gpu"].kind == "roofline"
    assert found.values["weights_bytes"].kind == "datasheet"
    assert math.isnan(found.values["mfu"].low)


def test_the_engine_alone_knows_no_interval() -> None:
    value = without_evidence(rl.load(CHAT)).value("output_tokens_per_s")
    assert math.isnan(value.low)
    assert value.kind == rl.estimate(CHAT).value("output_tokens_per_s").kind


def test_plans_and_many_estimates_carry_them_too() -> None:
    best = rl.plan(CHAT | {"deployment": {}}, top=1).best
    assert best is not None
    assert best.estimate.value("tpot_s_mean").low > 0
    (one,) = rl.estimate_many([rl.load(CHAT)])
    assert one.value("tpot_s_mean").low > 0


def test_a_simulation_says_what_it_rests_on() -> None:
    found = rl.simulate(CHAT)
    assert set(found.values) == set(found.metrics)
    assert found.value("ttft_s_p99").kind == rl.estimate(CHAT).value("ttft_s_p99").kind
    assert "simulated" in str(found.value("ttft_s_p99"))


@pytest.mark.parametrize("engine", [rl.estimate, rl.simulate])
def test_an_unknown_metric_names_the_nearest(engine: object) -> None:
    with pytest.raises(InputError, match="output_tokens_per_s"):
        engine(CHAT).value("output_token_per_s")  # type: ignore[operator]

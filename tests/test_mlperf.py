"""Beam search, the best legal deployment, and what MLPerf's rules fix: laws that hold whatever the constants are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rooflab as rl
from rooflab.costs.engine_constants import active
from rooflab.errors import InputError
from rooflab.evidence.fit.priors import Prior
from rooflab.evidence.fit.serving import FitRow, fit_group, with_engine
from rooflab.evidence.rows import mlperf
from rooflab.evidence.rows.best import Choice, best_of
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.serving import Question, question
from rooflab.evidence.rows.tables import COLUMNS
from rooflab.scenario.scenario import Scenario

ROW = dict.fromkeys(COLUMNS["serving"], "") | {
    "id": "a", "source": "MLPerf Inference v4.1", "source_url_or_path": "one/log", "date": "2024-08",
    "engine": "TensorRT",
    "gpu": "h100-sxm", "num_gpus": "8", "model": "gptj-99.9", "osl": "69.0", "scenario": "offline",
    "metric": "output_tok_s",
    "value": "19751.9", "per_gpu": "0",
}  # fmt: skip


def scenario(**workload: object) -> Scenario:
    return rl.load(
        {
            "model": "meta-llama/Llama-3.1-8B",
            "hardware": "h100-sxm",
            "workload": {"isl": 900, "osl": 70, **workload},
            "deployment": {"engine": "trtllm", "weights": "fp8", "max_num_seqs": 4096},
        }
    )


def test_beams_cost_less_than_as_many_requests() -> None:
    one, four = rl.estimate(scenario()), rl.estimate(scenario(beams=4))
    # the prompt is read and held once, so four beams are cheaper than four answers, but never free
    ratio = four.requests_per_s / one.requests_per_s
    assert 0.25 < ratio < 1.0
    assert rl.estimate(scenario(batch=64, beams=4)).tpot_s_mean > rl.estimate(scenario(batch=64)).tpot_s_mean
    assert four.metrics["limit_ratio"] <= 1.0


def test_beams_take_cache_for_their_answers_only() -> None:
    one, four = rl.estimate(scenario()), rl.estimate(scenario(beams=4))
    # activations and weights are the same, so what is held is proportional to prompt + beams · answer
    assert one.metrics["max_running"] / four.metrics["max_running"] == pytest.approx(
        (900 + 4 * 70) / (900 + 70), rel=1e-6
    )


def test_the_simulator_refuses_beams() -> None:
    with pytest.raises(InputError, match="beam search"):
        rl.simulate(scenario(rate=1.0, requests=5, beams=4))


def test_admission_that_does_not_reserve_holds_more() -> None:
    held = scenario()
    free = held.with_deployment(scheduler="trtllm-max-utilization")
    assert rl.estimate(free).metrics["max_running"] == pytest.approx(
        rl.estimate(held).metrics["max_running"] * (900 + 70) / (900 + 35), rel=1e-6
    )


def test_the_best_under_limits_is_the_fastest_that_keeps_them() -> None:
    limits = mlperf.limits(ROW | {"model": "llama3.1-8b", "scenario": "server"})
    assert limits is not None
    limited = replace(scenario(), slo=limits)
    found = best_of([Choice((limited.with_deployment(max_num_batched_tokens=512), limited))])[0]
    assert found is not None
    assert not found.meets()
    rate = found.scenario.workload.rate
    assert rate is not None
    assert found.requests_per_s == pytest.approx(rate)
    for chunk in (512, 8192):
        more = rl.estimate(
            limited.with_deployment(max_num_batched_tokens=chunk).with_workload(scenario=None, rate=rate * 1.02)
        )
        assert more.meets() or more.saturated, "a faster legal rate was missed"


def test_without_limits_the_most_throughput_wins() -> None:
    small, large = scenario().with_deployment(max_num_seqs=8), scenario()
    found = best_of([Choice((small, large)), Choice((small,), stated_rate=1.0)])
    assert found[0] is not None
    assert found[0].output_tokens_per_s == rl.estimate(large).output_tokens_per_s
    assert found[1] is not None
    assert found[1].scenario.workload.rate == 1.0


def test_what_the_rules_fix() -> None:
    asked = question(ROW)
    assert {s.workload.beams for s in asked.scenarios} == {4}
    assert {s.deployment.split.pp for s in asked.scenarios} == {1}, "no submission of v4.1 used pipelines"
    assert question(ROW | {"scenario": "server", "metric": "req_s", "osl": ""}).scenarios[0].slo.limits == (
        ("e2e_p99", 20.0),
    )
    later = ROW | {"date": "2025-09", "model": "llama3.1-8b", "scenario": "interactive", "metric": "req_s", "osl": ""}
    tokens = question(later)
    assert tokens.metric == "output_tokens_per_s", "summaries of v5.1 count these tokens as queries"
    assert tokens.scenarios[0].workload.osl.mean == 129.0
    assert {s.deployment.split.pp for s in tokens.scenarios} == {1, 2}
    mixture = question(ROW | {"model": "mixtral-8x7b", "osl": "145"})
    assert any(s.deployment.split.dp > 1 and s.deployment.split.ep == s.deployment.split.dp for s in mixture.scenarios)


def test_latencies_are_those_of_their_own_load() -> None:
    latency = ROW | {"id": "b", "metric": "ttft_ms", "value": "300"}
    other = latency | {"id": "c", "source_url_or_path": "another/log"}
    rows = mlperf.with_stated_loads([ROW | {"osl": "50", "value": "1000"}, latency, other])
    assert [mlperf.stated_rate(r) for r in rows] == [None, 20.0, None]


def test_rows_that_are_only_foretold_move_nothing() -> None:
    priors = {"fixed_s": Prior(5e-4, 3e-3, 0.0, 5e-2, 1e-3)}

    def row(batch: int, model: str, factor: float, *, fitted: bool) -> FitRow:
        asked = Question(
            id=f"{model}{batch}", scenarios=(scenario(batch=batch),), metric="tpot_s_mean", factor=1e3, measured=1.0
        )
        measured = float(predict([asked])[0]) * factor
        return FitRow(replace(asked, measured=measured), "s", model, "h100-sxm", 1.0 if fitted else 0.0)

    start = {"fixed_s": active().engine("trtllm", "2025", "dense").fixed_s}
    told = [row(b, m, 1.2, fitted=True) for b in (1, 8) for m in ("x", "y")]
    strange = [row(b, "x", 3.0, fitted=False) for b in (1, 8)]
    alone = fit_group(told, priors, start, lambda v: with_engine("trtllm@2025/dense", v))
    both = fit_group([*told, *strange], priors, start, lambda v: with_engine("trtllm@2025/dense", v))
    assert both.values == alone.values
    assert both.rows == alone.rows == len(told)
    np.testing.assert_allclose(both.held_out[: len(told)], alone.held_out)
    # the same questions as the told rows of model x, so the same answers, by constants that never saw x
    np.testing.assert_allclose(both.held_out[len(told) :], [both.held_out[0], both.held_out[2]])

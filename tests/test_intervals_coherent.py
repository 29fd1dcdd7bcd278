"""Intervals of random scenarios agree with each other, with physics, and with what is offered; numbers are not more
exact than they are known."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.cli.main import run
from rooflab.deploy.simulated import SIMULATED_ONLY
from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.evidence.intervals.intervals import intervals
from rooflab.report.text.trust import interval_words, known_digits

PAIRS = (
    ("Llama-3.1-8B", "h100-sxm"), ("Llama-3.1-70B", "8 x h100-sxm"), ("Qwen3-30B-A3B", "h200-sxm"),
    ("Qwen2.5-7B", "rtx-4090"), ("Llama-3.1-8B", "m3-max"), ("gpt-oss-20b", "2 x mi300x"), ("Qwen2.5-32B", "4 x l40s"),
)  # fmt: skip


def drawn(seed: int) -> Estimate | None:
    """A random scenario of every way of arriving, solved; None where it does not fit."""
    rng = np.random.default_rng(seed)
    name, on = PAIRS[int(rng.integers(len(PAIRS)))]
    isl, osl = int(10 ** rng.uniform(1.5, 3.7)), int(10 ** rng.uniform(0.5, 3))
    load: dict[str, Any] = {"isl": isl, "osl": osl}
    if rng.random() < 0.3:
        load = {"isl": {"lognormal": {"mean": isl, "cv": 1.0}}, "osl": {"lognormal": {"mean": max(osl, 8), "cv": 0.7}}}
    ways: list[dict[str, Any]] = [
        {"rate": float(10 ** rng.uniform(-2, 2))}, {"concurrency": int(10 ** rng.uniform(0, 2.5))},
        {"batch": int(10 ** rng.uniform(0, 2))}, {"scenario": "max-throughput"},
    ]  # fmt: skip
    engine = "llamacpp" if on == "m3-max" else str(rng.choice(["vllm", "sglang", "trtllm"]))
    given = {"model": name, "hardware": on, "workload": load | ways[int(rng.integers(4))]}
    try:
        return rl.estimate(given | {"deployment": {"engine": engine}})
    except RooflabError:
        return None


FOUND = [(seed, e) for seed in range(90) if (e := drawn(seed)) is not None]


@pytest.mark.parametrize(("seed", "found"), FOUND, ids=[str(seed) for seed, _ in FOUND])
def test_intervals_agree(seed: int, found: Estimate) -> None:
    every = intervals(found)
    slack = 1 + 1e-9
    for i in every.values():
        assert 0 < i.low <= i.value * slack
        assert i.value <= i.high * slack
    for name in ("ttft_s", "tpot_s", "itl_s", "e2e_s"):
        ranks = [every[m] for m in (f"{name}_p50", f"{name}_p90", f"{name}_p99") if m in every]
        for lower, upper in pairwise(ranks):
            assert lower.low <= upper.low * slack
            assert lower.high <= upper.high * slack
        mean, median = every.get(f"{name}_mean"), every.get(f"{name}_p50")
        if mean is not None and median is not None:
            assert median.high / median.value <= mean.high / mean.value * slack
    for stat in ("mean", "p50", "p90", "p99"):
        if {f"ttft_s_{stat}", f"e2e_s_{stat}"} <= every.keys():
            assert every[f"ttft_s_{stat}"].low <= every[f"e2e_s_{stat}"].low * slack
    m, w = found.metrics, found.scenario.workload
    if {"ttft_s_mean", "tpot_s_mean", "e2e_s_mean"} <= every.keys():
        first, token, whole = (every[f"{name}_mean"] for name in ("ttft_s", "tpot_s", "e2e_s"))
        tokens = (whole.value - first.value) / token.value
        assert whole.high <= (first.high + tokens * token.high) * 1.01
        assert whole.low >= (first.low + tokens * token.low) * 0.99
    if "tpot_s_mean" in every and m["limit_ratio"] <= 1:
        assert every["tpot_s_mean"].low * slack >= every["tpot_s_mean"].value * m["limit_ratio"]
    if w.rate is not None and "requests_per_s" in every:
        assert every["requests_per_s"].high <= w.rate * slack
    if "usd_per_mtok" in every and "output_tokens_per_s" in every:
        usd, rate = every["usd_per_mtok"], every["output_tokens_per_s"]
        assert usd.low * rate.high == pytest.approx(usd.value * rate.value)
        assert usd.high * rate.low == pytest.approx(usd.value * rate.value)


def test_a_narrower_question_has_the_same_answer() -> None:
    for _, found in FOUND[:20]:
        every = intervals(found)
        for name, one in every.items():
            assert intervals(found, (name,))[name] == one


def test_an_idle_engine_serves_what_arrives() -> None:
    found = rl.estimate({"model": "Qwen2.5-7B", "hardware": "l40s", "workload": {"isl": 700, "osl": 200, "rate": 0.1}})
    one = intervals(found)["output_tokens_per_s"]
    assert one.low == pytest.approx(one.high) == pytest.approx(20.0)


def test_the_percentiles_of_one_user_are_its_mean() -> None:
    found = rl.estimate(
        {"model": "Llama-3.1-70B", "hardware": "8 x h100-sxm", "workload": {"isl": 1000, "osl": 500, "concurrency": 1}}
    )
    every = intervals(found)
    assert every["tpot_s_p99"].high / every["tpot_s_p99"].value == pytest.approx(
        every["tpot_s_mean"].high / every["tpot_s_mean"].value
    )


def test_digits_are_those_that_the_interval_supports() -> None:
    assert [known_digits(v, v / w, v * w) for v, w in ((1234.0, 1.5), (1234.0, 1.05), (1234.0, 1.005))] == [2, 3, 4]
    for _, found in FOUND[:30]:
        for name, one in intervals(found, ("tpot_s_mean", "output_tokens_per_s")).items():
            words = interval_words(one, name)
            assert " to " in words or words == "all that arrives" or words.startswith("none")


def test_what_the_closed_form_does_not_see_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["estimate", "--model", "Llama-3.1-8B", "--hardware", "h100-sxm", "--isl", "500", "--osl", "100"]
    assert run([*asked, "--rate", "1", "--engine", "trtllm", "--buffers", "compacted", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["simulated_only"] == ["buffers"]
    assert run([*asked, "--rate", "1", "--buffers", "compacted"]) == 0
    assert "buffers is not in the closed form" in capsys.readouterr().out
    assert run([*asked, "--rate", "1", "--arrivals", "diurnal"]) == 0
    assert "diurnal is not in the closed form" in capsys.readouterr().out
    assert run([*asked, "--rate", "1"]) == 0
    assert "not in the closed form" not in capsys.readouterr().out


def test_no_closed_form_reads_what_is_only_simulated() -> None:
    rooms = [Path(rl.__file__).parent / room for room in ("estimator", "memory", "costs", "operators")]
    text = "".join(path.read_text(encoding="utf-8") for room in rooms for path in room.rglob("*.py"))
    for name in SIMULATED_ONLY:
        assert f".limits.{name}" not in text
        assert f".cluster.{name}" not in text

"""POLCA and the row that it runs on: energy, work and commands as they should be, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible
from rooflab.library.serving.polca import SHARES, Polca, phases
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper
from rooflab.simulator.power_row import Caps, Jobs, Row, Rule, diurnal_jobs, quantiles, run_row, two_classes

CHAT = Path(__file__).parents[1] / "examples" / "chat-70b.yaml"
MINUTE = 60.0 / 86400.0


def row(servers: int, budget_w: float, clocks: int = 2) -> Row:
    """Servers of class 0: 1 s of prompts at 100 W and 9 s of tokens at 50 W, idle at 20 W; the lower clock doubles and
    halves."""
    scale = np.array([[2.0**k for k in range(clocks)]])
    return Row(
        group=np.zeros(servers, dtype=np.int64),
        prompt_s=1.0 * scale,
        token_s=9.0 * scale,
        prompt_w=100.0 / scale,
        token_w=50.0 / scale,
        idle_w=20.0 + 0 * scale,
        budget_w=budget_w,
    )


def jobs_at(*times: float) -> Jobs:
    return Jobs(np.array([0, len(times)], dtype=np.int64), np.array(times), np.ones(len(times)))


def test_a_job_takes_its_phases_and_the_next_one_waits() -> None:
    jobs = jobs_at(0.0, 4.0, 30.0)
    r = run_row(row(1, 100.0), jobs, MINUTE, step_s=1.0)
    assert r.latency_s == pytest.approx([10.0, 16.0, 10.0])
    assert r.power[[0, 1, 10, 20, 30]] == pytest.approx([1.0, 0.5, 1.0, 0.2, 1.0])
    joules = 3 * (100.0 + 9 * 50.0) + 30 * 20.0
    assert float(r.power.sum()) * 100.0 == pytest.approx(joules)
    assert r.largest_rise(2.0) == pytest.approx(0.8)


def test_steps_shorter_than_phases_change_nothing_but_the_reading() -> None:
    jobs = diurnal_jobs(3, 0.05, 0.02, swing=0.3)
    fine, coarse = (run_row(row(3, 300.0), jobs, 0.02, step_s=s) for s in (0.5, 8.0))
    both = np.isfinite(fine.latency_s) & np.isfinite(coarse.latency_s)
    assert both.sum() > 100
    assert fine.latency_s[both] == pytest.approx(coarse.latency_s[both])
    assert fine.power.mean() == pytest.approx(coarse.power.mean(), rel=0.02)
    assert fine.peak >= coarse.peak


def test_a_rule_acts_after_its_delay_and_lets_go_below_its_release() -> None:
    jobs = jobs_at(0.0)
    caps = Caps((Rule(0, 0.45, 0.22, 1),), delay_s=4.0)
    r = run_row(row(1, 100.0), jobs, MINUTE, caps, step_s=1.0)
    # read at 0 s, in effect from 4 s: 3 of 9 s of tokens are done, the other 6 take twice as long
    assert r.latency_s[0] == pytest.approx(1 + 3 + 2 * 6)
    assert r.power[3] == pytest.approx(0.5)
    assert r.power[4] == pytest.approx(0.25)
    assert r.held_s[0] == pytest.approx(16.0, abs=1.0)
    assert r.brakes == 0


def test_the_brake_holds_above_the_budget() -> None:
    r = run_row(row(1, 90.0), jobs_at(0.0), MINUTE, Caps(brake=1, brake_s=2.0), step_s=1.0)
    assert r.brakes == 1
    assert r.power[1:].max() <= 1.0
    assert r.latency_s[0] == pytest.approx(1 + 1 + 2 * 8)


def test_a_rule_waits_for_the_one_before_it() -> None:
    caps = Caps((Rule(0, 2.0, 1.9, 1), Rule(0, 0.1, 0.05, 1, after=0)), delay_s=1.0)
    r = run_row(row(1, 100.0), jobs_at(0.0), MINUTE, caps, step_s=1.0)
    assert r.held_s.tolist() == [0.0, 0.0]


def test_classes_are_spread_and_jobs_do_not_depend_on_how_many_servers_there_are() -> None:
    assert two_classes(0.5, 40).sum() == 20
    assert (two_classes(0.3, 50)[:20] == two_classes(0.3, 20)).all()
    few, many = diurnal_jobs(2, 0.01, 1.0, swing=0.5), diurnal_jobs(5, 0.01, 1.0, swing=0.5)
    assert many.take(2).at_s.tolist() == few.at_s.tolist()
    noon = ((many.at_s > 0.25 * 86400) & (many.at_s < 0.75 * 86400)).mean()
    assert noon > 0.6


def test_load_is_as_asked_and_quantiles_are_of_one_class() -> None:
    jobs = diurnal_jobs(40, 0.05, 0.5, swing=0.0)
    r = run_row(row(40, 4000.0), jobs, 0.5)
    mean_w = float(r.power.mean()) * 4000.0 / 40
    assert mean_w == pytest.approx(20.0 + 0.05 * (1 * 80.0 + 9 * 30.0), rel=0.03)
    group = two_classes(0.5, 40)
    p50, p99 = quantiles(r, jobs, group, 1)
    assert 1.0 < p50 < p99


def test_clocks_save_power_in_prompts_and_cost_little_in_tokens() -> None:
    p = phases(rl.load(CHAT))
    assert list(p.prompt_w) == sorted(p.prompt_w, reverse=True)
    assert p.prompt_s[3] / p.prompt_s[0] > p.token_s[3] / p.token_s[0]
    assert 0.0 < p.loss(3) < 0.1
    assert p.idle_w[0] < p.token_w[0] < p.prompt_w[0] <= p.rated_w * (1 + 1e-9)


def test_a_readers_row_carries_more_servers() -> None:
    p, s, lab = paper("polca"), rl.load(CHAT), Lab(api.engines())
    power = run_paper(p, s, {"clock": SHARES[3]}, lab)[0].outcome.figure("power_w")
    assert power.baseline is not None
    assert power.value < power.baseline
    row = run_paper(p, s, {}, lab, "power_row")[0].outcome
    assert row["servers more in the same budget"] > 10
    assert row["peak with them, capped"] <= 100


def test_it_refuses() -> None:
    with pytest.raises(Infeasible, match="no clock"):
        rl.load({"model": "meta-llama/Llama-3.1-8B", "hardware": "m3-max-40"}) | Polca()
    capped = rl.load(CHAT) | Polca()
    with pytest.raises(Infeasible, match="no cap"):
        capped | Polca(clock=0.9)
    with pytest.raises(Infeasible, match="spans hosts"):
        phases(rl.load(CHAT.with_name("deepseek-v3-16xh200.yaml")))

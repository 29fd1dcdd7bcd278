"""POLCA and the row that it runs on: energy, work and commands as they should be, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.series import Series
from rooflab.library.serving.polca.policy import SHARES, policy
from rooflab.library.serving.polca.rows import phases
from rooflab.library.serving.polca.technique import Polca, PolcaRow
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper
from rooflab.scenario.lengths import Lengths, quantiles
from rooflab.simulator.power_jobs import Jobs, diurnal_jobs, shape_of
from rooflab.simulator.power_row import Row, run_row
from rooflab.simulator.power_rules import Caps, Rule, two_classes
from rooflab.simulator.power_site import late_share

CHAT = Path(__file__).parents[1] / "examples" / "chat-70b.yaml"
DAY_S = 86400.0
EXPONENTIAL = shape_of(Lengths("exponential", 100.0, 1.0, 0.0))
MINUTE_S = 60.0


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
    return Jobs.of(np.array([0, len(times)], dtype=np.int64), np.array(times), np.ones(len(times)))


def test_a_job_takes_its_phases_and_the_next_one_waits() -> None:
    jobs = jobs_at(0.0, 4.0, 30.0)
    r = run_row(row(1, 100.0), jobs, MINUTE_S, step_s=1.0)
    assert r.latency_s == pytest.approx([10.0, 16.0, 10.0])
    assert r.power[[0, 1, 10, 20, 30]] == pytest.approx([1.0, 0.5, 1.0, 0.2, 1.0])
    joules = 3 * (100.0 + 9 * 50.0) + 30 * 20.0
    assert float(r.power.sum()) * 100.0 == pytest.approx(joules)
    assert r.largest_rise(2.0) == pytest.approx(0.8)


def test_steps_shorter_than_phases_change_nothing_but_the_reading() -> None:
    jobs = diurnal_jobs(3, 0.05, 0.02, swing=0.3, shape=EXPONENTIAL)
    fine, coarse = (run_row(row(3, 300.0), jobs, 0.02 * DAY_S, step_s=s) for s in (0.5, 8.0))
    both = np.isfinite(fine.latency_s) & np.isfinite(coarse.latency_s)
    assert both.sum() > 100
    assert fine.latency_s[both] == pytest.approx(coarse.latency_s[both])
    assert fine.power.mean() == pytest.approx(coarse.power.mean(), rel=0.02)
    assert fine.peak >= coarse.peak


def test_a_rule_acts_after_its_delay_and_lets_go_below_its_release() -> None:
    jobs = jobs_at(0.0)
    caps = Caps((Rule(0, 0.45, 0.22, 1),), delay_s=4.0)
    r = run_row(row(1, 100.0), jobs, MINUTE_S, caps, step_s=1.0)
    # read at 0 s, in effect from 4 s: 3 of 9 s of tokens are done, the other 6 take twice as long
    assert r.latency_s[0] == pytest.approx(1 + 3 + 2 * 6)
    assert r.power[3] == pytest.approx(0.5)
    assert r.power[4] == pytest.approx(0.25)
    assert r.held_s[0] == pytest.approx(16.0, abs=1.0)
    assert r.brakes == 0


def test_the_brake_holds_above_the_budget() -> None:
    r = run_row(row(1, 90.0), jobs_at(0.0), MINUTE_S, Caps(brake=1, brake_s=2.0), step_s=1.0)
    assert r.brakes == 1
    assert r.power[1:].max() <= 1.0
    assert r.latency_s[0] == pytest.approx(1 + 1 + 2 * 8)


def test_a_rule_waits_for_the_one_before_it() -> None:
    caps = Caps((Rule(0, 2.0, 1.9, 1), Rule(0, 0.1, 0.05, 1, after=0)), delay_s=1.0)
    r = run_row(row(1, 100.0), jobs_at(0.0), MINUTE_S, caps, step_s=1.0)
    assert r.held_s.tolist() == [0.0, 0.0]


def test_classes_are_spread_and_jobs_do_not_depend_on_how_many_servers_there_are() -> None:
    assert two_classes(0.5, 40).sum() == 20
    assert (two_classes(0.3, 50)[:20] == two_classes(0.3, 20)).all()
    few, many = (
        diurnal_jobs(2, 0.01, 1.0, swing=0.5, shape=EXPONENTIAL),
        diurnal_jobs(5, 0.01, 1.0, swing=0.5, shape=EXPONENTIAL),
    )
    assert many.take(2).table.tolist() == few.table.tolist()
    at_s = many.table.at_s
    assert ((at_s > 0.25 * DAY_S) & (at_s < 0.75 * DAY_S)).mean() > 0.6


def test_the_busiest_hours_have_the_load_of_the_daily_peak() -> None:
    """(1 + swing) times the mean rate, and as many jobs as a whole day has in those hours."""
    day, hours = (
        diurnal_jobs(20, 0.05, 2.0, swing=0.5, shape=EXPONENTIAL),
        diurnal_jobs(20, 0.05, 24.0, swing=0.5, hours=2.0, shape=EXPONENTIAL),
    )
    noon = np.abs(day.table.at_s % DAY_S - DAY_S / 2) < 3600.0
    assert len(hours.table) / 24 == pytest.approx(noon.sum() / 2, rel=0.03)
    assert len(hours.table) == pytest.approx(20 * 0.05 * 1.5 * 24 * 7200, rel=0.02)


def test_load_is_as_asked() -> None:
    jobs = diurnal_jobs(40, 0.05, 0.5, swing=0.0, shape=EXPONENTIAL)
    r = run_row(row(40, 4000.0), jobs, 0.5 * DAY_S)
    mean_w = float(r.power.mean()) * 4000.0 / 40
    assert mean_w == pytest.approx(20.0 + 0.05 * (1 * 80.0 + 9 * 30.0), rel=0.03)
    assert np.median(r.latency_s[np.isfinite(r.latency_s)]) > 1.0


def test_answers_are_as_long_as_the_distribution_says() -> None:
    lengths = quantiles([0.0, 100.0, 400.0])
    shape = shape_of(lengths)
    assert ((shape[:-1] + shape[1:]) / 2).mean() == pytest.approx(1.0)
    drawn = diurnal_jobs(4, 0.5, 1.0, swing=0.0, shape=shape).length
    assert drawn.mean() == pytest.approx(1.0, rel=0.01)
    assert drawn.std() == pytest.approx(lengths.cv, rel=0.02)
    assert np.median(drawn) == pytest.approx(100.0 / lengths.mean, rel=0.02)


def test_late_work_is_lost_and_so_is_what_does_not_finish() -> None:
    before, work = np.array([10.0, 10.0, 10.0, 10.0, np.nan]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    after = np.array([10.4, 10.6, np.nan, 9.0, 9.0])
    assert late_share(before, after, work, 0.05) == pytest.approx((2.0 + 3.0) / 10.0)
    assert late_share(before, before, work, 0.0) == 0.0


def test_a_run_ends_at_the_first_brake_if_asked() -> None:
    caps = Caps(brake=1, brake_s=2.0)
    whole, short = (
        run_row(row(1, 90.0), jobs_at(0.0, 30.0), MINUTE_S, caps, step_s=1.0, stop_at_brake=s) for s in (False, True)
    )
    assert whole.brakes >= short.brakes == 1
    assert whole.capped_s == 58.0  # from 2 s on, for 60 s at the least
    assert len(run_row(row(1, 90.0), jobs_at(0.0), MINUTE_S, latencies=False).latency_s) == 0


def test_rivals_have_one_threshold_or_none() -> None:
    two, one, low, none = (
        policy(name, low=0.8, high=0.89, delay_s=40.0)
        for name in ("two thresholds", "one threshold", "one threshold, low priority", "no cap")
    )
    assert [(r.group, r.above) for r in two.rules] == [(0, 0.8), (0, 0.89), (1, 0.89)]
    assert [(r.group, r.above, r.clock) for r in one.rules] == [(0, 0.89, 3), (1, 0.89, 3)]
    assert low.rules == one.rules[:1]
    assert (none.rules, none.brake) == ((), 4)


def test_clocks_save_power_in_prompts_and_cost_little_in_tokens() -> None:
    p = phases(rl.load(CHAT))
    assert list(p.prompt_w) == sorted(p.prompt_w, reverse=True)
    assert p.prompt_s[3] / p.prompt_s[0] > p.token_s[3] / p.token_s[0]
    assert 0.0 < p.loss(3) < 0.1
    assert p.idle_w[0] < p.token_w[0] < p.prompt_w[0] <= p.rated_w * (1 + 1e-9)


def test_a_clock_saves_power_on_a_readers_scenario() -> None:
    found = run_paper(paper("polca"), rl.load(CHAT), {"clock": SHARES[3]}, Lab(api.engines()))[0].outcome
    power = found.figure("power_w")
    assert power.baseline is not None
    assert power.value < power.baseline


def test_a_readers_row_carries_more_servers_and_the_policy_brakes_less_than_none() -> None:
    p, s, lab = paper("polca"), rl.load(CHAT), Lab(api.engines())
    found = run_paper(p, s, {"servers": 20, "more": 0.45}, lab, "power_row")[0].outcome
    assert found["servers more in the same budget"] > 10
    assert found["brakes with 45% more, two thresholds"] <= found["brakes with 45% more, no cap"]
    assert found.figure("peak with 45% more").baseline >= found["peak with 45% more"]
    lone = run_paper(p, s, {"policy": "no cap", "servers": 20, "more": 0.0}, lab, "power_row")[0].outcome
    assert lone["time capped with 0% more"] == 0.0
    assert lone["high priority: work late with 0% more"] == 0.0


ROW = {"model": "meta-llama/Llama-3.1-8B", "hardware": "4 x h100-sxm", "deployment": {"tp": 1}}


def test_a_row_stays_in_its_budget_with_the_less_urgent_capped_first() -> None:
    full = rl.load({**ROW, "workload": {"isl": 1024, "osl": 256, "concurrency": 200, "requests": 600}})
    (mine,) = PolcaRow.variants(full)
    changed = full | mine
    capped = {s.replica: s.clock for s in changed.deployment.cluster.speed}
    group = two_classes(0.5, 4).tolist()
    assert {capped[i] for i in range(4) if group[i] == 0} <= {SHARES[2], SHARES[3]}
    assert all(capped.get(i, 1.0) in (1.0, SHARES[1]) for i in range(4) if group[i] == 1)
    before, after = (api.simulate(s).metrics for s in (full, changed))
    assert after["power_w"] < before["power_w"]
    assert after["tpot_s_mean"] >= before["tpot_s_mean"]


def test_a_row_that_reaches_no_threshold_or_the_brake_is_refused() -> None:
    idle = rl.load({**ROW, "workload": {"isl": 100, "osl": 100, "rate": "0.1/s"}})
    with pytest.raises(Infeasible, match="nothing is capped"):
        idle | PolcaRow(more=0.0)
    full = rl.load({**ROW, "workload": {"isl": 1024, "osl": 256, "concurrency": 200}})
    with pytest.raises(Infeasible, match="brake would engage"):
        full | PolcaRow(more=1.0)
    with pytest.raises(Infeasible, match="two priorities"):
        rl.load({**ROW, "hardware": "h100-sxm", "workload": {"isl": 100, "osl": 100, "rate": 1}}) | PolcaRow()


def of_power(values: np.ndarray, name: str = "power_w", step_s: float = 2.0) -> Series:
    return Series(time_s=step_s * np.arange(len(values)), channels=(name,), values=values[:, None])


def replayed(given: Series, **settings: object) -> dict[str, float]:
    found = run_paper(paper("polca"), given, settings, Lab(api.engines()), "power_series")[0].outcome
    return {f.name: f.value for f in found.figures}


def test_a_series_is_replayed_with_more_servers() -> None:
    """40 servers of 6.5 kW at 74 % of their budget, 79 % for ten minutes: a third more of them would pass it."""
    watts = np.full(3600, 0.74 * 40 * 6500.0)
    watts[1500:1800] = 0.79 * 40 * 6500.0
    found = replayed(of_power(watts))
    assert found["peak of the row"] == pytest.approx(79.0)
    assert found["largest rise within a command"] == pytest.approx(5.0)
    bare = replayed(of_power(watts), policy="no cap")
    assert bare["servers more without a brake"] == 25.0
    assert bare["peak with 30% more"] >= 1.3 * 79.0  # behind the brake all of them are busy
    assert bare["brakes with 30% more"] >= 1
    assert found["servers more without a brake"] > 25.0
    assert found["peak with 30% more"] <= bare["peak with 30% more"]
    calm = replayed(of_power(watts), policy="no cap", more=0.0)
    assert (calm["brakes with 0% more"], calm["time capped with 0% more"]) == (0.0, 0.0)
    assert calm["high priority: work late with 0% more"] == 0.0


def test_units_of_a_series_are_those_of_its_name() -> None:
    share = np.array([0.65, 0.70, 0.75, 0.74] * 50)
    rows = [of_power(share * 260e3), of_power(share * 260, "pdu_kw"), of_power(share, "row_share")]
    peaks = [replayed(s)["peak of the row"] for s in rows]
    assert peaks == pytest.approx([75.0] * 3)


def test_what_is_no_power_or_of_other_servers_is_refused() -> None:
    share = np.array([0.65, 0.70, 0.75])
    with pytest.raises(InputError, match="ends in _w"):
        replayed(of_power(share, "temperature"))
    with pytest.raises(InputError, match="has no value at 2 s"):
        replayed(of_power(np.array([0.7, np.nan, 0.7]), "row_share"))
    with pytest.raises(Infeasible, match="when idle"):
        replayed(of_power(0.1 * share, "row_share"))
    with pytest.raises(Infeasible, match="when busy"):
        replayed(of_power(1.3 * share, "row_share"))
    assert replayed(of_power(0.5 * share, "row_share"), idle_w=2000)["peak of the row"] == pytest.approx(37.5)
    with pytest.raises(Infeasible, match="no series"):
        replayed(of_power(share[:1], "row_share"))


def test_it_refuses() -> None:
    with pytest.raises(Infeasible, match="no clock"):
        rl.load({"model": "meta-llama/Llama-3.1-8B", "hardware": "m3-max-40"}) | Polca()
    capped = rl.load(CHAT) | Polca()
    with pytest.raises(Infeasible, match="no cap"):
        capped | Polca(clock=0.9)
    with pytest.raises(Infeasible, match="spans hosts"):
        phases(rl.load(CHAT.with_name("deepseek-v3-16xh200.yaml")))


def test_a_row_that_carries_all_that_is_tried_carries_at_least_that() -> None:
    given = of_power(np.full(50, 100.0))
    because = rl.papers.run("polca", given, method="power_series", servers=1, idle_w=50.0, busy_w=200.0).because
    assert "in the place of 1 server it would have carried at least 2 without a brake" in because


def test_power_below_zero_and_servers_that_draw_nothing_are_refused() -> None:
    falls = Series(time_s=np.arange(3.0), channels=("row_kw",), values=np.array([[90.0], [-1.0], [95.0]]))
    with pytest.raises(InputError, match="row_kw: is -1 at 1 s: a row draws no less than 0"):
        rl.papers.run("polca", falls, method="power_series")
    for name in ("idle_w", "busy_w", "budget_w"):
        with pytest.raises(InputError, match=f"{name}.*above 0"):
            rl.papers.run("polca", falls, method="power_series", **{name: 0.0})

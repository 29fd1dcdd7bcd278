"""Intervals: conformal quantiles by hand, coverage of rows that were left out, verdicts by what was measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import rooflab as rl
from rooflab.cli.main import run
from rooflab.evidence.intervals.conformal import LEVEL, Ratio, covered, levels_of, spread_of, spreads
from rooflab.evidence.intervals.intervals import HEADLINE, IntervalTable, interval, intervals, shipped_table
from rooflab.evidence.intervals.likeness import Domain, Key, Neighbours, domain_of, near_of
from rooflab.evidence.intervals.support import Needed, stretch_for, stretches
from rooflab.scenario.scenario import Scenario


def scenario(**changes: object) -> Scenario:
    fields = {
        "model": "Llama-3.1-70B", "hardware": "8 x h100-sxm", "workload": {"isl": 1024, "osl": 512, "concurrency": 32},
        "deployment": {"engine": "vllm", "tp": 8, "weights": "fp8"},
    }  # fmt: skip
    return rl.load(fields | changes)


def ratios(values: np.ndarray, groups: int, family: str = "f") -> list[Ratio]:
    return [
        Ratio(float(v), (f"{family}|x", family, "*"), (f"{family}|x", family, "*"), f"g{i % groups}")
        for i, v in enumerate(values)
    ]


def test_order_statistics_by_hand() -> None:
    # 99 ratios: ⌊100 · 0.05⌋ = 5th smallest, ⌈100 · 0.95⌉ = 95th
    got = spread_of(np.arange(-49.0, 50.0), 9, 0.1)
    assert (got.low, got.high, got.rows) == (-45.0, 45.0, 99)
    # with few rows the extremes stand for the quantiles
    assert (spread_of(np.array([-1.0, 2.0]), 2, 0.1).low, spread_of(np.array([-1.0, 2.0]), 2, 0.1).high) == (-1.0, 2.0)
    # an interval holds its own prediction even where all of its kind were too low
    assert spread_of(np.linspace(1.0, 2.0, 50), 9, 0.1).low < 0.0


def test_independent_rows_are_covered_as_promised() -> None:
    rows = ratios(np.random.default_rng(7).normal(size=2000), 50)
    assert covered(rows).mean() == pytest.approx(LEVEL, abs=0.015)
    assert levels_of(rows)["f|x"] == pytest.approx(1.0, abs=0.05)


def test_rows_that_err_together_get_wider_intervals() -> None:
    rng = np.random.default_rng(8)
    of = np.repeat(rng.normal(size=12), 30)
    together = [
        Ratio(float(v), ("f", "*"), ("f", "*"), f"g{i // 30}") for i, v in enumerate(of + 0.05 * rng.normal(size=360))
    ]
    assert levels_of(together)["f"] > 1.1
    assert 0.8 < covered(together).mean() < 0.97


def test_what_borrows_a_wide_domain_is_drawn_in_again() -> None:
    """Ten small families with a tenth of the errors of a large one: its quantiles, stretched by a tenth."""
    rng = np.random.default_rng(9)
    wide = ratios(rng.normal(size=600), 30, "wide")
    calm = [
        Ratio(float(v), (f"calm {i % 10}", "*"), ("calm", "*"), f"c{i % 10}")
        for i, v in enumerate(0.1 * rng.normal(size=100))
    ]
    assert levels_of([*wide, *calm])["calm"] == pytest.approx(0.1, rel=0.35)
    assert covered([*wide, *calm])[600:].mean() == pytest.approx(LEVEL, abs=0.06)


def test_coverage_is_judged_without_the_group() -> None:
    """A group far off the others is not covered, however many rows it has to widen its own interval with."""
    rows = [
        *ratios(np.random.default_rng(10).normal(size=200), 20),
        *(Ratio(9.0, ("f|x", "f", "*"), ("f|x", "f", "*"), "odd"),) * 100,
    ]
    assert not covered(rows)[200:].any()


def test_small_domains_take_the_wider_ones() -> None:
    table = spreads([*ratios(np.zeros(5), 5, "small"), *ratios(np.linspace(-1, 1, 200), 20, "large")])
    assert "small" not in table
    assert table["*"].rows == 205
    assert table["large|x"].rows == 200


def test_nearness_without_a_group() -> None:
    here = Key("70B 8192x80", "h100-sxm", "vllm@2025", "hopper", "dense")
    sibling = Key("8B 4096x32", "h100-sxm", "vllm@2025", "hopper", "dense")
    cousin = Key("70B 8192x80", "h200-sxm", "vllm@2025", "hopper", "dense")
    stranger = Key("70B 8192x80", "mi300x", "vllm@2025", "cdna3", "dense")
    known = Neighbours.of([("a", here, "one batch"), ("b", sibling, "one batch")])
    assert known.nearness(here, "one batch") == "inside"
    # a batch tells of a running server's steps, not of its queue
    assert known.nearness(here, "a running server") == "near"
    assert known.nearness(here, "one batch", without="a") == "near"
    assert known.nearness(cousin, "one batch") == "near"
    assert known.nearness(stranger, "one batch") == "outside"
    borrowed = Domain("throughput, static batch", "dense", "tables", "general", "near")
    assert near_of(known, here, borrowed) == "outside"
    assert near_of(known, here, replace(borrowed, engine="fitted")) == "inside"


def test_support_is_what_is_known_of_device_and_engine() -> None:
    domain = Domain("throughput, closed loop", "dense", "tables", "fitted", "near")
    assert (domain.support, domain.load) == ("tables", "a running server")
    desktop = replace(domain, family="throughput, static batch, desktop engine", kernels="assumed")
    assert (desktop.support, desktop.load) == ("no tables, desktop engine", "one batch")
    assert replace(domain, family="throughput, best deployment").load == "best deployment"
    assert replace(domain, kernels="").support == ""


def needed(stretch: float, group: str, support: str = "tables", *, outside: bool = False) -> Needed:
    return Needed(support, outside, group, group, stretch)


def test_a_group_of_many_rows_weighs_like_one_of_few() -> None:
    """Nine groups need 1 and have ten rows each, one needs 5 and has a thousand: the 0.9 quantile of groups is 1."""
    rows = [needed(1.0, f"g{i}") for i in range(9) for _ in range(10)] + [needed(5.0, "odd")] * 1000
    assert stretches(rows)["tables"] == pytest.approx(1.0)
    assert stretches([*rows, *(needed(5.0, "another") for _ in range(2))])["tables"] == pytest.approx(5.0)


def test_few_sources_tell_little_of_another_one() -> None:
    """Ten groups of one source or of ten: of one, the stretch is what the worst of its groups needs."""
    rows = [Needed("tables", False, f"s{i}", f"g{i}", 1.0 + i) for i in range(10) for _ in range(10)]
    assert stretches(rows)["tables"] == pytest.approx(9.0)
    assert stretches([replace(r, source="s0") for r in rows])["tables"] == pytest.approx(10.0)


def test_few_rows_take_the_stretch_of_all() -> None:
    rows = [needed(1.0 + i % 10 / 10, f"g{i % 10}") for i in range(100)]
    found = stretches([*rows, needed(9.0, "x", "no tables")])
    assert "no tables" not in found
    assert stretch_for(found, "no tables", False) == found[""]
    # outside is never narrower than inside
    assert stretch_for(found, "tables", True) >= stretch_for(found, "tables", False)
    assert stretch_for(found, "", True) == 1.0


def test_a_server_with_rows_of_its_own_is_not_stretched() -> None:
    from rooflab.costs.engine_constants import active, using

    there = interval(rl.estimate(scenario()), "tpot_s_mean")
    table = active()
    name = "vllm@2025/dense"
    entry = replace(table.engines[name], layer_s=table.engines[name].layer_s * 1.01)
    with using(replace(table, engines={**table.engines, name: entry}, measured={name: ("h100-sxm",)})):
        own = interval(rl.estimate(scenario()), "tpot_s_mean")
    assert own.high / own.value < there.high / there.value
    assert "your own rows" in own.words
    # rows of another device fitted the same engine's constants: this server is still one that no row came from
    with using(replace(table, engines={**table.engines, name: entry}, measured={name: ("another",)})):
        elsewhere = interval(rl.estimate(scenario()), "tpot_s_mean")
    assert elsewhere.high / elsewhere.value == pytest.approx(there.high / there.value, rel=0.02)
    assert "your own rows" not in elsewhere.words


def test_left_out_rows_are_covered_overall_and_by_metric() -> None:
    table = shipped_table()
    assert table.rows > 10_000
    assert 0.86 <= table.coverage["overall"] <= 0.94
    for metric in ("itl_ms", "itl_p50_ms", "output_tok_s", "total_tok_s", "ttft_ms", "decode_tok_s", "prefill_tok_s",
    "req_s",
                   "energy_per_output_token", "time_per_epoch", "samples_per_s"):  # fmt: skip
        assert 0.86 <= table.coverage[metric] <= 0.945, metric


def test_table_survives_its_file() -> None:
    record = json.loads(json.dumps(shipped_table().record()))
    again = IntervalTable.parse(record)
    assert again.record() == record
    assert again.spreads == shipped_table().spreads


def test_a_measured_case_is_inside_and_says_how_many_rows() -> None:
    got = interval(rl.estimate(scenario()), "tpot_s_mean")
    assert got.verdict == "inside the evidence"
    assert got.evidence_rows > 20
    assert 0 < got.evidence_error < 0.5
    assert got.low < got.value < got.high
    assert got.provenance == "fitted"


def test_a_strange_case_is_outside() -> None:
    fields = {"hardware": "8 x gaudi3", "model": "Qwen3-235B-A22B", "deployment": {"engine": "vllm", "tp": 8}}
    got = interval(rl.estimate(scenario(**fields)), "output_tokens_per_s")
    assert got.verdict == "outside the evidence"
    assert got.evidence_rows == 0
    known = domain_of(rl.estimate(scenario(**fields)).scenario, "throughput, closed loop", "near")
    near, outside = shipped_table().factors(known)[1], shipped_table().factors(replace(known, near="outside"))[1]
    assert outside.high >= max(near.high, 1.14)
    assert outside.low <= min(near.low, -1.14)


def test_intervals_of_costs_mirror_throughput() -> None:
    found = intervals(rl.estimate(scenario()))
    rate, price = found["output_tokens_per_s"], found["usd_per_mtok"]
    assert price.low == pytest.approx(price.value * rate.value / rate.high)
    assert price.high == pytest.approx(price.value * rate.value / rate.low)
    assert set(found) <= set(HEADLINE)
    with pytest.raises(KeyError):
        interval(rl.estimate(scenario()), "weights_bytes")


def test_estimate_and_plan_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    case = [
        "--model",
        "Llama-3.1-70B",
        "--hardware",
        "8 x h100-sxm",
        "--isl",
        "1024",
        "--osl",
        "512",
        "--concurrency",
        "32",
    ]
    assert run(["estimate", *case, "--tp", "8", "--weights", "fp8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["intervals"]
    assert found["ttft_s_mean"]["low"] < found["ttft_s_mean"]["high"]
    assert found["tpot_s_mean"]["verdict"] == "inside the evidence"
    run(["estimate", *case, "--tp", "8", "--weights", "fp8"])
    assert "inside the evidence" in capsys.readouterr().out
    run(["plan", *case])
    assert "the evidence" in capsys.readouterr().out

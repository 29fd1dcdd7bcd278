"""Rankings: by what a technique is about, unknown quality apart, in the time that there is, kept for the next one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from many_papers import NAMES
from many_papers import install as install_many
from ranking_papers import PAPERS, install

from rooflab.papers.deadline import Alarm, deadline
from rooflab.papers.took import Took

ROOT = Path(__file__).parents[1]
SCENARIO = {
    "model": "meta-llama/Llama-3.1-8B", "hardware": "l40s", "workload": {"isl": 2048, "osl": 512, "concurrency": 64},
}  # fmt: skip
RUN = """
import json, os, sys, time
import rooflab as rl
from rooflab.api import engines
from rooflab.papers import rank
wanted, budget_s, fields = json.loads(sys.argv[1])
every = rank.keys()
rank.keys = lambda: tuple(k for k in every if k.startswith(wanted))
began = time.monotonic()
stages = []
found = rank.rank(rl.load(fields), budget_s, engines=engines(), told=stages.append)
said = found.record() | {"s": time.monotonic() - began, "stages": [s.what for s in stages]}
print(json.dumps(said | {"papers": [m for m in sys.modules if m.startswith(("rk_", "many_", "lib_many"))]}))
"""


class Shelf:
    """Packages on a path, and rankings of those whose keys begin as asked, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.site, self.cache = folder / "site", folder / "cache"
        self.site.mkdir()

    def rank(self, wanted: str, budget_s: float = 20.0, **fields: Any) -> dict[str, Any]:
        path = os.pathsep.join([str(ROOT / "src"), str(self.site)])
        env = os.environ | {"PYTHONPATH": path, "ROOFLAB_CACHE": str(self.cache)}
        words = [sys.executable, "-c", RUN, json.dumps([wanted, budget_s, SCENARIO | fields])]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


QUICK = ("rk_power", "rk_cheap", "rk_two", "rk_none", "rk_wrong")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, dict[str, Any]]:
    shelf = Shelf(tmp_path_factory.mktemp("quick"))
    install(shelf.site, *QUICK)
    return shelf, shelf.rank("rk_")


def test_what_saves_power_is_ranked_by_power(quick) -> None:
    _, found = quick
    (power,) = [r for r in found["ranked"] if r["paper"] == "rk_power"]
    assert (power["of"], power["metric"]) == ("power", "power_w")
    assert power["gain"] == pytest.approx(power["before"] / power["after"])
    assert power["gain"] > 1
    assert power["changes"]["output_tokens_per_s_per_gpu"] < 1, "by throughput it would lose"


def test_unknown_quality_is_never_called_best(quick) -> None:
    _, found = quick
    assert {r["paper"] for r in found["if_quality_allows"]} >= {"rk_cheap"}
    assert all(r["known"] for r in found["ranked"])
    assert all("if the answers stay good enough" in r["verdict"] for r in found["if_quality_allows"])


def test_settings_of_known_and_unknown_quality_are_both_shown(quick) -> None:
    """8 bits are published, 4 and 2 are not, and gain more: of these the paper's own first one stands apart, and what
    the other gains beside it."""
    _, found = quick
    of = {r["called"]: r for name in ("ranked", "if_quality_allows", "no_gain") for r in found[name]}
    assert of["rk_two(bits=8)"]["section"] == "pays"
    assert of["rk_two(bits=4)"]["section"] == "if quality allows"
    assert of["rk_two(bits=4)"]["others"][0].startswith("rk_two(bits=2) ")
    assert "rk_two(bits=2)" not in of


def test_refusals_and_mistakes_are_told_by_paper(quick) -> None:
    _, found = quick
    told = {r["paper"]: r["reason"] for r in found["refused"]}
    assert told["rk_none"] == "this never applies to anything at all"
    assert told["rk_wrong"].startswith("fails with AttributeError: ")
    assert found["not_tried"] == []


def test_the_next_ranking_imports_no_paper_but_those_that_failed(quick) -> None:
    shelf, found = quick
    again = shelf.rank("rk_")
    assert again["papers"] == ["rk_wrong"], "nothing is kept of what may be mended"
    changing = ("s", "took_s", "stages", "papers")
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in found.items() if k not in changing
    }


def test_what_was_found_goes_with_the_code_and_the_scenario(quick) -> None:
    shelf, _ = quick
    assert "rk_power.rk_power" in shelf.rank("rk_power", hardware="a100")["stages"]
    module = shelf.site / "rk_power.py"
    before = module.read_text()
    module.write_text(before.replace("clock=0.6", "clock=0.8"))
    try:
        changed = shelf.rank("rk_power")
        assert changed["stages"] == ["rk_power.rk_power"]
    finally:
        module.write_text(before)
    assert shelf.rank("rk_power")["stages"] == []


def test_a_slow_technique_is_ended_and_its_cost_is_learned(shelf: Shelf) -> None:
    install(shelf.site, "rk_power", "rk_slow")
    found = shelf.rank("rk_", budget_s=4.0)
    assert found["s"] < 4.0 + 2.0
    assert [u["technique"] for u in found["not_tried"]] == ["rk_slow"]
    assert [r["paper"] for r in found["ranked"]] == ["rk_power"]
    again = shelf.rank("rk_", budget_s=4.0)
    assert again["stages"] == [], "what was seen to take longer is not begun"
    assert again["not_tried"][0]["seconds"] > 4.0
    assert again["s"] < 2.0


def test_a_method_is_cut_by_the_time_and_goes_on_in_the_next_ranking(shelf: Shelf) -> None:
    install(shelf.site, "rk_slow_method")
    first, second = (shelf.rank("rk_", budget_s=3.0) for _ in range(2))
    (one,), (two,) = first["advice"], second["advice"]
    assert one["figure"]["name"] == "cells"
    assert first["s"] < 3.0 + 2.0
    assert 1 <= one["figure"]["value"] < two["figure"]["value"] < 200


def test_time_that_is_left_goes_to_settings_and_longer_simulations(shelf: Shelf) -> None:
    install(shelf.site, "rk_sim")
    found = shelf.rank("rk_", budget_s=60.0)
    assert [s for s in found["stages"] if "requests" not in s] == [
        f"rk_sim(tokens={t})" for t in (256, 512, 1024, 4096)
    ]
    (shown,) = [r for name in ("ranked", "no_gain") for r in found[name]]
    assert shown["requests"] == 2000
    assert found["stages"][-1] == f"{shown['called']} with 2,000 requests"
    assert shown["of"] == "TPOT p99"
    assert shelf.rank("rk_")["stages"] == []


def test_two_hundred_papers_are_ranked_in_the_time_that_there_is(shelf: Shelf) -> None:
    """Some are tried, the rest is named; every ranking goes on, and the last imports none."""
    install_many(shelf.site)
    first = shelf.rank("many_", budget_s=4.0)
    assert first["s"] < 4.0 + 4.0, "importing two hundred modules once takes a while"
    done = len({*first["stages"]})
    assert done + len(first["not_tried"]) >= len(NAMES)
    assert len({(u["technique"], u["what"]) for u in first["not_tried"]}) == len(first["not_tried"]), "each once"
    whole = shelf.rank("many_", budget_s=60.0)
    assert whole["not_tried"] == []
    assert len(whole["advice"]) == len(NAMES) // 10
    last = shelf.rank("many_", budget_s=60.0)
    assert last["papers"] == last["stages"] == []
    assert last["s"] < 4.0, "0.6 s on an idle core"


def test_a_block_is_ended_when_its_time_is_up() -> None:
    alarm, began = Alarm(), time.monotonic()
    with pytest.raises(KeyboardInterrupt), deadline(0.05, alarm):
        time.sleep(5)
    assert alarm.up
    assert time.monotonic() - began < 1
    with deadline(5.0, Alarm()):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_deadlines_stand_inside_each_other() -> None:
    outer, inner = Alarm(), Alarm()
    ended: list[tuple[bool, bool]] = []

    def both() -> None:
        with deadline(0.2, outer):
            try:
                with deadline(0.05, inner):
                    time.sleep(5)
            except KeyboardInterrupt:
                ended.append((inner.up, outer.up))
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        both()
    assert ended == [(True, False)]
    assert outer.up


def test_costs_are_learned_and_kept(tmp_path: Path) -> None:
    took = Took(tmp_path / "took.json")
    assert took.expected("x", 3.0) == 3.0
    took.learn("x", 8.0)
    took.learn("x", 4.0)
    took.learn("y", float("nan"))
    took.keep()
    again = Took(tmp_path / "took.json")
    assert again.expected("x", 3.0) == 6.0
    assert again.expected("y", 1.0) == 1.0
    (tmp_path / "took.json").write_text("nonsense")
    assert Took(tmp_path / "took.json").expected("x", 3.0) == 3.0


def test_every_paper_of_the_shelf_is_tried_by_some_test() -> None:
    assert set(PAPERS) == {*QUICK, "rk_slow", "rk_slow_method", "rk_sim"}

"""What papers could give at the most: no technique that runs gains more than the ceiling of what its paper spares, on
fifty random scenarios; the feed sorted for a scenario."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scenarios import Picks, Seeded, scenario_of

import rooflab as rl
from rooflab.cli.main import run
from rooflab.errors import RooflabError
from rooflab.feed.at_most import at_most
from rooflab.feed.listing import entries, entry
from rooflab.metrics.registry import METRICS
from rooflab.papers.cards import RESOURCES, card
from rooflab.papers.compare import Comparison, at_capacity, weigh
from rooflab.papers.registry import papers
from rooflab.papers.technique import Technique
from rooflab.planner.answers import estimated, simulated
from rooflab.planner.ceiling import best_gain, ceiling
from rooflab.planner.spares import SPARES, works_of
from rooflab.scenario.paid import WORK
from rooflab.scenario.scenario import Scenario

CHAT = str(Path(__file__).parents[1] / "examples" / "chat-70b.yaml")
_SAME = 1.01
"""A gain that is more than its ceiling by less is the same: percentiles of 200 requests."""


def _served(picks: Picks) -> Scenario:
    """Two small engines, one that takes turns, one that runs batches: what techniques of the simulator apply to."""
    kind = picks.of(("two", "two", "turns", "batches"))
    load = picks.of(({"rate": picks.real(0.2, 8.0)}, {"concurrency": picks.whole(2, 96)}))
    lengths = {"isl": picks.whole(64, 4096), "osl": picks.whole(16, 512)}
    engine = "vllm" if kind == "turns" else picks.of(("vllm", "sglang", "trtllm"))
    deployment = {
        "two": {"engine": engine, "tp": 1, "replicas": 2},
        "turns": {"engine": engine, "tp": 1, "preemption": "swap", "rotation": {"steps": 50, "pattern": "random"}},
        "batches": {"engine": picks.of(("fastertransformer", "transformers")), "tp": 1},
    }[kind]
    return rl.load({
        "model": picks.of(("meta-llama/Llama-3.1-8B", "google/gemma-2-9b", "openai/gpt-oss-20b")),
        "hardware": f"2 x {picks.of(('a100-sxm-80gb', 'h100-sxm', 'l40s'))}",
        "workload": lengths | load | {"requests": 200, "seed": picks.whole(1, 99)}, "deployment": deployment,
    })  # fmt: skip


def _techniques(engine: str) -> list[tuple[str, type[Technique]]]:
    return [(p.key, cls) for p in papers() for cls in p.techniques.values() if cls.engine == engine]


def _compared(scenario: Scenario, cls: type[Technique], most: int) -> Iterator[tuple[Technique, Comparison]]:
    """The technique's first settings on a scenario, where they apply."""
    try:
        variants = list(cls.variants(scenario))[:most]
    except RooflabError:
        return
    for variant in variants:
        try:
            found = weigh(scenario, variant)
        except RooflabError:
            continue
        if found.before is not None:
            yield variant, found


def _most(scenario: Scenario, c: Comparison, key: str) -> float:
    """The ceiling of what a paper spares in what its technique is about."""
    about, works = c.about, works_of(card(key).saves)
    full = bool(c.after.capacity) and about.metric == c.capacity.metric
    asked = at_capacity(scenario) if full else scenario
    ask, more = simulated if c.technique.engine == "simulate" else estimated, METRICS[about.metric].better == "higher"

    def read(shares: dict[str, float]) -> float:
        try:
            return float(ask(asked, shares)[about.metric])
        except rl.Infeasible:
            return 0.0 if more else math.inf

    return best_gain(read, works, about.before, more=more) if works else 1.0


@pytest.mark.parametrize(("engine", "n", "most", "seed"), [("estimate", 30, 2, 7), ("simulate", 20, 1, 3)])
def test_no_technique_gains_more_than_the_ceiling_of_what_its_paper_spares(
    engine: str, n: int, most: int, seed: int
) -> None:
    picks, tried = Seeded(np.random.default_rng(seed)), set()
    for _ in range(n):
        scenario = scenario_of(picks, ("open", "closed", "max", "static")) if engine == "estimate" else _served(picks)
        for key, cls in _techniques(engine):
            for variant, c in _compared(scenario, cls, most):
                gain, of = c.headline
                assert gain <= _most(scenario, c, key) * _SAME, f"{key}: {variant} gains {gain} in {of}"
                tried.add(key)
    wanted = {"estimate": {"qserve", "kinetics", "nanoflow", "polca", "inference_hyperparameters", "llm_viewer"},
              "simulate": {"splitwise", "flover", "fastswitch", "polca"}}[engine]  # fmt: skip
    assert tried >= wanted


def test_every_resource_of_a_card_says_what_work_it_is() -> None:
    assert set(SPARES) == set(RESOURCES)
    assert {w for works, _ in SPARES.values() for w in works} == set(WORK)
    assert all(reason for _, reason in SPARES.values())
    assert works_of(("bandwidth", "labour", "a word of others")) == ("weight_reads", "kv_reads")


@pytest.fixture(scope="module")
def chat():
    top = ceiling(rl.load(CHAT), "throughput")
    return top, at_most(entries(), top)


def test_papers_are_sorted_by_what_they_could_give(chat) -> None:
    top, found = chat
    bounded = [a.gain for a in found if a.bounded]
    assert bounded == sorted(bounded, reverse=True)
    assert len(found) == 94
    of = {a.card.key: a for a in found}
    assert of["zero_topo"].gain == 1.0
    assert of["zero_topo"].note.startswith("It is about training")
    assert of["osworld"].gain == 1.0
    assert math.isnan(of["agentswift"].gain)
    assert all(a.gain >= top[w].free for a in found if a.bounded for w in a.works)
    assert all(1.0 <= a.halved <= a.gain for a in found if a.bounded)


def test_a_claim_beyond_the_ceiling_is_told(chat) -> None:
    of = {a.card.key: a for a in chat[1]}
    assert of["flover"].claim_exceeds
    assert of["flover"].note.startswith("The abstract says 16 ×")
    assert not of["nanoflow"].claim_exceeds
    assert entry("nanoflow").claimed == 1.91
    json.dumps([a.record() for a in chat[1]], allow_nan=False)


def test_what_would_make_a_scenario_possible_stands_first() -> None:
    large = {"model": "meta-llama/Llama-3.1-70B", "hardware": "h100-sxm", "deployment": {"weights": "bf16", "tp": 1}}
    found = at_most(entries(), ceiling(rl.load(large | {"workload": {"isl": 512, "osl": 128, "rate": "1/s"}})))
    assert math.isinf(found[0].gain)
    assert "memory" in found[0].works
    assert not found[0].claim_exceeds


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["feed", "list", "--for", CHAT, "--budget", "6s", "--runnable", "--objective", "throughput"]
    assert run([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"at_most", "halved", "works", "real", "claimed", "claim_exceeds"} <= set(rows[0])
    assert any(r["real"] for r in rows)
    assert run(words) == 0
    out = capsys.readouterr().out
    assert "What papers could give you at the most in throughput per GPU" in out
    assert "abstract says 16 ×" in out
    assert run(["feed", "list", "--saves", "storage"]) == 0
    assert "bebr" in capsys.readouterr().out
    assert run(["feed", "list", "--for", "none.yaml"]) == 2

"""The feed: all 94 cards, listed and found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rooflab.errors import InputError
from rooflab.feed.listing import by_day, entries, entry, select
from rooflab.feed.search import search, words
from rooflab.papers.cards import KINDS, RESOURCES, cards

SEEDS = Path(__file__).parents[1].parent / "shared" / "seeds"


def test_cards_are_complete_and_distinct() -> None:
    assert [c.seed for c in cards()] == list(range(1, 95))
    assert len({c.key for c in cards()}) == 94
    for c in cards():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", c.key)
        assert re.fullmatch(r"https://arxiv.org/abs/\d{4}\.\d{5}", c.url), c.key
        month = c.url.rsplit("/", 1)[1]
        assert c.date.startswith(f"20{month[:2]}-{month[2:4]}"), c.key
        assert c.kind in KINDS
        assert set(c.saves) <= set(RESOURCES)
        assert c.does.endswith(".")


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the origin's list is not here")
def test_cards_agree_with_the_origin_and_copy_no_sentence() -> None:
    import yaml

    of = {c.seed: c for c in cards()}
    for path in SEEDS.glob("*.yaml"):
        seed = yaml.safe_load(path.read_text())
        card = of[seed["n"]]
        assert (card.title, card.kind) == (seed["title"], seed["kind"])
        for text in (seed["does"], seed["abstract"]):
            assert card.does.rstrip(".").lower() not in text.lower()


def test_listing_says_what_can_be_run() -> None:
    listed = {e.key: e for e in entries()}
    assert listed["llm_viewer"].runnable
    assert not listed["osworld"].runnable
    assert entry("LLM-Viewer").key == "llm_viewer"
    with pytest.raises(InputError, match="splitwise"):
        entry("splitwize")


def test_newest_first_and_grouped_by_day() -> None:
    days = [day for day, _ in by_day(entries())]
    assert days == sorted(days, reverse=True)
    assert len(days) == len(set(days))


def test_filters() -> None:
    assert {e.kind for e in select(entries(), kind="training")} == {"training"}
    assert all("energy" in e.saves for e in select(entries(), saves="energy"))
    assert {e.key for e in select(entries(), day="2024-08")} >= {"nanoflow", "evalperf"}
    with pytest.raises(InputError, match="serving"):
        select(entries(), kind="servin")


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("power oversubscription", "polca"), ("4-bit weights and KV cache", "qserve"), ("search tree", "ets"),
        ("phase splitting prompt machines", "splitwise"), ("experts in host memory", "moe_lens"),
        ("preempt fairness", "fastswitch"),
        ("checkpoints", "datastates_llm"), ("FPGA", "flightllm"), ("in-flight batching", "flover"),
        ("overlap compute and network", "nanoflow"),
        ("prefill decode disaggregation", "splitwise"), ("roofline", "llm_viewer"), ("test-time scaling", "kinetics"),
    ],
)  # fmt: skip
def test_search_finds(query: str, key: str) -> None:
    assert key in [e.key for _, e in search(query, entries(), 3)]


def test_search_without_a_common_word_finds_nothing() -> None:
    assert search("zebra", entries()) == []


def test_word_forms_meet() -> None:
    assert words("quantised")[0] == words("quantization")[0] == words("quantizing")[0]
    assert words("the caches of a KV-cache") == ["cach", "kv", "cach"]

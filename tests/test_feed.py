"""The feed: all 94 cards, listed and found."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from rooflab.errors import InputError
from rooflab.feed.listing import by_day, entries, entry, select
from rooflab.feed.search import search, words
from rooflab.papers.cards import KINDS, RESOURCES, cards

_OTHER_KIND = {
    "ets": "serving", "windows_agent_arena": "evaluation", "melting_point": "evaluation",
    "dissecting_llm_runtime": "evaluation", "cmdbench": "evaluation", "ncpp": "hardware",
}  # fmt: skip
"""Kinds that the origin's list has otherwise than papers of the same sort."""
SEEDS = Path(__file__).parents[1].parent / "shared" / "seeds"


def test_cards_are_complete_and_distinct() -> None:
    assert [c.seed for c in cards()] == list(range(1, 95))
    assert len({c.key for c in cards()}) == 94
    for c in cards():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", c.key)
        assert re.fullmatch(r"https://arxiv.org/abs/\d{4}\.\d{5}", c.url), c.key
        assert _is_of_its_number(c.date, c.url.rsplit("/", 1)[1]), c.key
        assert c.kind in KINDS
        assert set(c.saves) <= set(RESOURCES)
        assert c.does.endswith(".")


def _is_of_its_number(day: str, number: str) -> bool:
    """A paper has its number when it is announced: days after it was sent, which may be in the month before."""
    month = 12 * (2000 + int(number[:2])) + int(number[2:4]) - 1
    sent = 12 * int(day[:4]) + int(day[5:7]) - 1
    if len(day) == 7:
        return sent == month
    return sent == month or (sent == month - 1 and date.fromisoformat(day).day >= 8)


def test_days_are_exact_but_for_those_that_were_not_found() -> None:
    unknown = {c.key for c in cards() if len(c.date) == 7}
    assert unknown == {
        "efficient_dnns", "elliesql", "hil_serl", "hpx_compute", "iclrnn", "llmtune", "ncpp", "quantum_energy",
        "simplenet", "vr_gs",
    }  # fmt: skip
    assert all(date.fromisoformat(c.date) for c in cards() if c.key not in unknown)
    assert entry("qserve").date == "2024-05-07"


def test_what_saves_storage_is_what_stores_less() -> None:
    assert {e.key for e in select(entries(), saves="storage")} == {"bebr", "colour_naming", "systemflow"}


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the origin's list is not here")
def test_cards_agree_with_the_origin_and_copy_no_sentence() -> None:
    import yaml

    of = {c.seed: c for c in cards()}
    for path in SEEDS.glob("*.yaml"):
        seed = yaml.safe_load(path.read_text())
        card = of[seed["n"]]
        assert (card.title, card.kind) == (seed["title"], _OTHER_KIND.get(card.key, seed["kind"]))
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
        ("E2ETune", "llmtune"), ("EffiCoder", "effi_code"), ("AIOS", "aios"), ("Real-Time Anomaly Detection", "c4"),
        ("Token-Level Co-Serving", "flexllm"), ("Tile-Level GPGPU Programming Language", "tilus"),
        ("Doing More with Less survey on routing", "routing_survey"), ("SwiftCoder", "effi_code"),
    ],
)  # fmt: skip
def test_search_finds(query: str, key: str) -> None:
    assert key in [e.key for _, e in search(query, entries(), 3)]


def test_search_without_a_common_word_finds_nothing() -> None:
    assert search("zebra", entries()) == []


def test_word_forms_meet() -> None:
    assert words("quantised")[0] == words("quantization")[0] == words("quantizing")[0]
    assert words("the caches of a KV-cache") == ["cach", "kv", "cach"]

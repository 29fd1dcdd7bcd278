"""Anchor facts: public figures with addresses, predicted when the page of errors is made, and shown hit or missed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rooflab.evidence.publish.anchors import Anchor, anchor_section, anchors, hold, with_anchors
from rooflab.evidence.rows.shipped import sources

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"


def test_there_are_thirty_of_every_kind_with_an_address_and_a_date() -> None:
    every = anchors()
    assert len(every) >= 30
    for one in every:
        assert one.address.startswith("https://")
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", one.date)
        assert one.value > 0
    hardware = " ".join(one.scenario["hardware"] for one in every)
    for name in ("m4-max", "rtx-5090", "raspberry-pi-5", "gb10", "h100", "h200", "b200", "mi300x"):
        assert name in hardware
    engines = {one.scenario["deployment"]["engine"] for one in every}
    assert {"llamacpp", "vllm", "sglang", "trtllm"} <= engines


def test_no_anchor_is_from_a_source_that_a_fit_has_seen() -> None:
    seen = [one.address for one in sources().values()]
    assert len(seen) > 5
    for one in anchors():
        assert not any(one.address.startswith(address) for address in seen if address)


def test_most_hold_and_none_beats_its_bound() -> None:
    every = [hold(one) for one in anchors()]
    assert all(0 < h.low <= h.predicted <= h.high for h in every)
    assert np.median([abs(h.error) for h in every]) <= 0.2
    assert sum(h.inside for h in every) >= 0.85 * len(every)


def test_the_page_shows_them_and_is_made_anew_in_place() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for one in anchors():
        assert one.address in text
    again = with_anchors(text)
    assert again.count("## Anchor facts") == 1
    bare = re.sub(r"<!-- anchors: generated -->.*?<!-- /anchors -->\n\n", "", text, flags=re.DOTALL)
    assert "## Anchor facts" not in bare
    assert with_anchors(bare).index("## Anchor facts") < with_anchors(bare).index("## What is predicted")


def test_a_miss_is_said() -> None:
    scenario = {
        "model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 128, "osl": 64, "batch": 1},
        "deployment": {"engine": "vllm"},
    }  # fmt: skip
    far = hold(Anchor(scenario=scenario, measure="decode", value=1e6, address="https://example.org", date="2026-01"))
    assert not far.inside
    assert far.error == pytest.approx(-1.0, abs=0.01)
    outside = sum(not hold(one).inside for one in anchors())
    assert anchor_section().count("**outside**") == outside

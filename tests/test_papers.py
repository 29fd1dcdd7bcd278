"""The framework: techniques, quality, registry, lab, and that built-in papers conform."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.scenario import HARDWARE_INPUTS, WORKLOAD_INPUTS, Perturbation
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.published import published
from rooflab.papers.registry import keys, paper
from rooflab.papers.technique import Fraction, PositiveInt, Technique, Techniques, require, snake_case
from rooflab.scenario.scenario import Scenario
from rooflab.testing.papers import PaperConformance

toy = Paper(key="toy", title="A toy")


@toy.technique
class Toy(Technique):
    """Fewer bits in the cache."""

    changes_outputs = True
    cut: PositiveInt
    share: Fraction = 0.5
    how: Literal["fast", "slow"] = "fast"

    def apply(self, scenario: Scenario) -> Scenario:
        require(scenario.model.kind == "decoder", "only decoders have a cache")
        return scenario.with_deployment(kv="fp8")


@pytest.fixture
def chat() -> Scenario:
    fields = {
        "model": "meta-llama/Llama-3.1-8B",
        "hardware": "h100-sxm",
        "workload": {"isl": 512, "osl": 128, "rate": "1/s"},
    }
    return rl.load(fields)


@pytest.mark.parametrize("key", keys())
def test_built_in_papers_conform(key: str) -> None:
    suite = PaperConformance()
    suite.paper = paper(key)  # type: ignore[misc]
    started = time.process_time()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()
    assert time.process_time() - started < 60, "a check takes 20 s of a core at most; this runs it and more"


def test_technique_changes_the_scenario_and_says_so(chat: Scenario) -> None:
    changed = chat | Toy(cut=2)
    assert changed.deployment.formats.kv == "fp8"
    assert changed.techniques == (("toy", (("cut", 2), ("how", "fast"), ("share", 0.5))),)
    assert chat.techniques == ()


def test_techniques_compose_in_order(chat: Scenario) -> None:
    both = Toy(1) | rl.papers.weight_bits(bits=8)
    assert isinstance(both, Techniques)
    changed = chat | both
    assert [key for key, _ in changed.techniques] == ["toy", "weight_bits"]
    assert changed.deployment.formats.weights == "int8"
    assert str(both) == "toy(cut=1, share=0.5, how=fast) | weight_bits(bits=8, cache_bits=16)"


def test_refusal_has_a_reason() -> None:
    bert = rl.load({"model": "bert-large-uncased", "hardware": "a100", "workload": {"isl": 128, "osl": 1, "batch": 1}})
    with pytest.raises(Infeasible, match="only decoders"):
        bert | Toy(1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "toy: needs cut"),
        ({"cut": 0}, "toy.cut: 0 is out of range; at least 1"),
        ({"cut": 1.5}, "toy.cut: 1.5 is not a whole number"),
        ({"cut": 1, "share": 2}, "toy.share: 2.0 is out of range"),
        ({"cut": 1, "shar": 0.1}, "no parameter called 'shar'. Did you mean share?"),
        ({"cut": 1, "how": "fats"}, "Did you mean fast?"),
    ],
)
def test_wrong_parameters_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Toy(**given)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_scenario_file_applies_techniques() -> None:
    fields = {
        "model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 512, "osl": 128, "rate": "1/s"},
        "techniques": [{"weight_bits": {"bits": 8}}],
    }  # fmt: skip
    loaded = rl.load(fields)
    assert loaded.deployment.formats.weights == "int8"
    assert [key for key, _ in loaded.techniques] == ["weight_bits"]


def test_unknown_technique_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="weight_bits"):
        _ = rl.papers.weight_bit


def test_quality_is_published_interpolated_or_unknown() -> None:
    p = Paper(key="q", title="q")
    p.technique(type("Q", (Technique,), {"changes_outputs": True}))
    for model, delta in (("meta-llama/Llama-2-7b-hf", 0.3), ("meta-llama/Llama-2-70b-hf", 0.1)):
        p.quality(model=model, task="WikiText-2", delta=delta, unit="ppl", source="table")
    technique = next(iter(p.techniques.values()))()
    lab = Lab(api.engines())
    exact, between, outside = (
        p.quality_cost(technique, lab.model(m)) for m in ("llama-2-7b", "llama-2-13b", "llama-3.1-405b")
    )
    assert (exact.status, exact.delta) == ("published", 0.3)
    assert between.status == "interpolated"
    assert between.delta is not None
    assert 0.1 < between.delta < 0.3
    assert (outside.status, outside.delta) == ("unknown", None)


def test_wide_tolerance_needs_a_reason() -> None:
    with pytest.raises(InputError, match="reason"):
        toy.claim("too good", expect=2.0, source="abstract", tolerance=0.5)


def test_a_published_table_gives_a_claim_a_row(tmp_path: Path) -> None:
    module = tmp_path / "twins.py"
    module.with_suffix(".yaml").write_text(
        "cells:\n  unit: x\n  source: table 1\n  moves: {'data: n': 1}\n  claims:\n"
        "    a: {text: one, expect: 1.5, ask: {times: 1}}\n"
        "    b: {text: two, expect: [2, 4], unit: s, ask: {times: 2}}\n"
    )
    twins = Paper(key="twins", title="Twins")
    twins.claims_of(published(str(module))["cells"], lambda lab, times: times * lab.data("n", 1.5))
    assert [(c.id, c.text, c.expect, c.unit, c.source) for c in twins.claims] == [
        ("a", "one", 1.5, "x", "table 1"), ("b", "two", (2, 4), "s", "table 1"),
    ]  # fmt: skip
    assert [c.function(Lab(api.engines())) for c in twins.claims] == [1.5, 3.0]
    assert twins.find("b").moves == {"data: n": 1}


@pytest.mark.parametrize("content", [None, "[1, 2]", "a: 3", "a: {", "\x00"])
def test_published_data_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        published(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("name", [*HARDWARE_INPUTS, *WORKLOAD_INPUTS])
def test_every_input_changes_the_scenario_once(name: str, chat: Scenario) -> None:
    double = Perturbation(name, 2.0)
    once = double.scenario(chat)
    assert once != chat
    assert double.scenario(once) == once
    assert double.hardware(once.hardware) == once.hardware


def test_lab_scales_data_by_name() -> None:
    lab = Lab(api.engines(), Perturbation("data: sizes", 2.0))
    assert lab.data("sizes", {"a": [1, 2.5], "b": True}) == {"a": [2, 5.0], "b": True}
    assert lab.data("other", 3) == 3
    assert list(lab.asked) == ["data: sizes", "data: other"]


def test_listing_papers_needs_neither_numpy_nor_compiler() -> None:
    code = (
        "import sys; from rooflab.feed.listing import entries; assert len(entries()) >= 94; "
        "assert not {'numpy', 'numba', 'rich'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_names_in_snake_case() -> None:
    assert [snake_case(n) for n in ("Splitwise", "NanoFlow", "WeightBits", "QServe")] == [
        "splitwise",
        "nano_flow",
        "weight_bits",
        "qserve",
    ]

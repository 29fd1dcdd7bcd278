"""The framework: techniques, quality, registry, lab, and that built-in papers conform."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.perturb import HARDWARE_INPUTS, WORKLOAD_INPUTS, Perturbation
from rooflab.inputs.vectors import Vectors
from rooflab.papers.condition import Condition
from rooflab.papers.execute import run_paper
from rooflab.papers.expectation import read_expectation
from rooflab.papers.facts import read_facts
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import Fraction, PositiveInt, snake_case
from rooflab.papers.quality import QualityPoint
from rooflab.papers.registry import keys, paper
from rooflab.papers.technique import Technique, Techniques, require
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
def test_built_in_papers_conform(key: str, checked) -> None:
    suite = PaperConformance()
    suite.paper = paper(key)  # type: ignore[misc]
    suite.rows = lambda: checked(key)  # type: ignore[method-assign]
    started = time.process_time()
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()
    assert time.process_time() - started < 120, "a check takes 40 s of a core at most; this runs it and more"


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
        ({"cut": 1, "share": float("inf")}, "toy.share: inf is not a number"),
        ({"cut": 1, "share": "3e0"}, "toy.share: 3.0 is out of range"),
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
    points = tuple(
        QualityPoint(model, "WikiText-2", delta, "ppl", "table")
        for model, delta in (("meta-llama/Llama-2-7b-hf", 0.3), ("meta-llama/Llama-2-70b-hf", 0.1))
    )
    p = Paper(key="q", title="q", points=points)
    p.technique(type("Q", (Technique,), {"changes_outputs": True}))
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


@pytest.mark.parametrize("name", [*HARDWARE_INPUTS, *WORKLOAD_INPUTS])
def test_every_input_changes_the_scenario_once(name: str, chat: Scenario) -> None:
    double = Perturbation(name, 2.0)
    once = double.scenario(chat)
    assert once != chat
    assert double.scenario(once) == once
    assert double.hardware(once.hardware) == once.hardware


def test_lab_scales_data_by_name() -> None:
    lab = Lab(api.engines(), Condition(perturbation=Perturbation("data: sizes", 2.0)))
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


def test_a_method_runs_on_data_of_its_kind() -> None:
    """In Python as on the command line: data, a file or the name of a sample; another kind is refused by name."""

    class Mean(Method[Vectors]):
        """The mean length of vectors."""

        scale: PositiveInt = 1

        def run(self, lab: Lab, given: Vectors) -> Outcome:
            length = float(np.linalg.norm(given.base, axis=1).mean())
            return Outcome(
                (Figure(name="length", value=self.scale * length, how="executed", baseline=1.0),), "as measured"
            )

    p = Paper(key="lengths", title="Lengths")
    p.method(Mean)
    given = Vectors(base=np.eye(4, dtype=np.float32))
    lab = Lab(api.engines())
    (ran,) = run_paper(p, given, {"scale": 3}, lab)
    assert ran.outcome["length"] == 3.0
    assert ran.record()["figures"][0]["how"] == "executed"
    (sampled,) = run_paper(p, None, {}, lab)
    assert sampled.setup.startswith("sample ")
    with pytest.raises(InputError, match="reads Vectors, not str"):
        run_paper(p, "a text", {}, lab)
    with pytest.raises(InputError, match="Did you mean scale"):
        run_paper(p, given, {"scales": 3}, lab)
    with pytest.raises(InputError, match="Did you mean length"):
        ran.outcome["lengths"]


def test_a_paper_runs_from_python(chat: Scenario) -> None:
    outcome = rl.papers.run("llm_viewer", chat, bits=8)
    assert outcome.figure("tpot_s_mean").baseline == rl.estimate(chat.with_deployment(tp=1)).tpot_s_mean
    assert outcome.because
    table = rl.papers.run("llm_viewer", chat, method="operator_table")
    assert {f.how for f in table.figures} == {"executed", "modelled"}
    with pytest.raises(InputError, match="Did you mean operator_table"):
        rl.papers.run("llm_viewer", chat, method="operator_tables")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("claims: [{id: a, text: t, source: s, expect: 1, tolerance: 0.5}]", "needs its reason"),
        ("claims: [{id: a, text: t, source: s, expect: [2, 1]}]", "lower end of a range comes first"),
        ("claims: [{id: a, text: t, source: s, expect: {at lest: 1}}]", "Did you mean at least"),
        ("claims: [{id: a, text: t, source: s, expect: 1, rol: fact}]", "Did you mean role"),
        ("claims: [{id: a, text: t, source: s, expect: 1, without: 3}]", "by what the idea is taken away"),
        ("claims: [{id: a, text: t, source: s, expect: 1}, {id: a, text: t, source: s, expect: 1}]", "two claims"),
        ("claims: [{id: a, text: t, source: s, expect: 1, run: {setup: x}}]", "says which figure"),
        ("claims: [{id: a, text: t, source: s, expect: 1, run: {figure: f, scenario: [1]}}]", "one of the fields"),
        ("claims: [{id: a, text: t, source: s, expect: 1, run: {figure: f, setup: x, sample: y}}]", "on one input"),
        ("not modelled: [{id: a, text: t, reason: ' '}]", "needs a reason"),
        ("numbers: {60: ''}", "says why"),
        ("claim: []", "Did you mean claims"),
        ("claims: {", "not valid YAML"),
    ],
)
def test_facts_that_cannot_be_read_name_the_file(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_facts(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("expect", "got", "error", "holds"),
    [
        (2.0, 2.2, 0.1, True), (2.0, 2.4, 0.2, False), ([59, 72], (59.0, 79.2), 0.1, True),
        ([59, 72], (40.0, 72.0), -19 / 59, False), ({"at least": 60}, 70.0, 0.0, True),
        ({"at least": 60}, 59.9, -0.1 / 60, False), ({"at most": 10}, 11.0, 0.1, False),
        ({"order": ["a", "b", "c"]}, {"a": 1, "b": 2, "c": 3}, 0.0, True),
        ({"order": ["a", "b"]}, {"a": 1, "b": 1}, -1.0, False), ({"crossing": 64}, 60.0, -1 / 16, True),
        ({"no difference": 0.02, "of": ["a", "b"]}, {"a": 1.0, "b": 1.01}, 0.0, True),
        ({"no difference": 0.02, "of": ["a", "b"]}, {"a": 1.0, "b": 1.25}, 0.18, False),
        ({"curve": {"1": 2.0, "2": 4.0}}, {"1": 2.2, "2": 4.0}, 0.1, True),
    ],
)  # fmt: skip
def test_errors_of_every_sort_of_statement(expect: Any, got: Any, error: float, holds: bool) -> None:
    statement = read_expectation(expect, "here")
    assert statement.error(got) == pytest.approx(error)
    assert statement.holds(got, 0.15) == holds


def test_a_mean_is_no_range() -> None:
    with pytest.raises(InputError, match="met by its members"):
        read_expectation([59, 72], "here").error(65.0)


def test_a_lab_records_what_is_asked_from_its_cache_too() -> None:
    lab = Lab(api.engines())

    def asked() -> float:
        return lab.cached("key", lambda: lab.data("n", 2.0) * lab.assume("a", 1.0, low=0.5, high=2.0, source="guess"))

    assert asked() == 2.0
    lab.forget()
    assert not lab.asked
    assert asked() == 2.0
    assert list(lab.asked) == ["data: n"]
    assert list(lab.assumed) == ["a"]
    with pytest.raises(InputError, match="between 0 and 1"):
        lab.assume("b", 2.0, low=0.0, high=1.0, source="guess")


def test_a_measured_time_is_the_median_with_its_ends() -> None:
    figure = Figure.timed("a search", [0.2, 0.1, 5.0], over="searches")
    assert (figure.value, figure.unit, figure.how, figure.spread) == (0.2, "s", "measured", (0.1, 5.0))
    assert (figure.runs, figure.over) == (3, "searches")

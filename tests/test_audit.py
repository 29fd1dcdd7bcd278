"""The audit: claims that copy, ignore or contradict are found out."""

from __future__ import annotations

import pytest

from rooflab import api
from rooflab.evidence.claims.audit import Labs, audit, reads_its_answer
from rooflab.evidence.claims.check import check_paper
from rooflab.evidence.claims.row import counts
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Claim, Paper

paper = Paper(key="audited", title="t")


def _claim(function, expect=1857.0, moves=None) -> Claim:
    return Claim(
        paper="audited",
        id="c",
        text="text",
        expect=expect,
        tolerance=0.15,
        unit="",
        source="source",
        kind="modelled",
        function=function,
        moves=moves or {},
    )


def _verdict(claim: Claim):
    labs = Labs(api.engines())
    lab = labs.get()
    got = float(claim.function(lab))
    return audit(claim, got, tuple(lab.asked), labs)


def _bandwidth(lab: Lab) -> float:
    return lab.hardware("h100-sxm").device.memory_bytes_per_s


def _helper() -> float:
    return 1857.0


def test_a_computed_claim_passes() -> None:
    verdict = _verdict(_claim(_bandwidth, moves={"memory bandwidth": 1}))
    assert verdict.passed
    assert verdict.moved["memory bandwidth"] == (1.675e12, 6.7e12)


def test_a_claim_that_contains_its_answer_fails() -> None:
    def figure(lab: Lab) -> float:
        return 1857.0 + 0 * _bandwidth(lab)

    assert "contains its expected value 1857" in _verdict(_claim(figure)).reason


def test_an_answer_hidden_in_a_helper_is_found() -> None:
    def figure(lab: Lab) -> float:
        return _helper() * _bandwidth(lab) / 3.35e12

    assert "contains" in reads_its_answer(_claim(figure))


_MEASURED = {"rate": (12.5, 1857.0)}
_TABLE = {"rows": {"c": {"expect": "1857"}}}


def test_an_answer_in_a_constant_of_the_module_is_found() -> None:
    def figure(lab: Lab) -> float:
        return _MEASURED["rate"][1] * _bandwidth(lab) / 3.35e12

    assert "reads its expected value in _MEASURED" in reads_its_answer(_claim(figure))


def test_an_answer_read_from_published_data_is_found() -> None:
    def figure(lab: Lab) -> float:
        return float(_TABLE["rows"]["c"]["expect"]) * _bandwidth(lab) / 3.35e12

    assert "asks for 'expect'" in reads_its_answer(_claim(figure))


def test_an_answer_in_another_file_of_the_paper_is_found(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "hiding"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "rates.py").write_text("def known(lab):\n    return 1857.0\n")
    (folder / "paper.py").write_text(
        "from hiding.rates import known\n\ndef figure(lab):\n    return known(lab) * lab.data('x', 1.0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from hiding.paper import figure

    assert "contains its expected value" in reads_its_answer(_claim(figure))


def test_a_claim_that_asks_the_paper_fails() -> None:
    def figure(lab: Lab) -> float:
        return paper.claims[0].expect * _bandwidth(lab)

    assert "asks for" in reads_its_answer(_claim(figure))


def test_a_claim_that_asks_for_nothing_fails() -> None:
    def figure(lab: Lab) -> float:
        return 7.5 * 250

    assert _verdict(_claim(figure)).reason == "asks its lab for nothing"


def test_a_claim_that_does_not_move_fails() -> None:
    def figure(lab: Lab) -> float:
        lab.hardware("h100-sxm")
        return 1900.0

    assert "does not move" in _verdict(_claim(figure)).reason


def test_a_claim_that_moves_the_wrong_way_fails() -> None:
    def figure(lab: Lab) -> float:
        return 1e15 / _bandwidth(lab)

    assert "should go up with memory bandwidth" in _verdict(_claim(figure, moves={"memory bandwidth": 1})).reason


def test_a_declared_input_must_be_asked_for() -> None:
    assert "never asks" in _verdict(_claim(_bandwidth, moves={"load": 1})).reason


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0, 16.0, 64.0, 10.0])
def test_plain_numbers_are_not_answers(value: float) -> None:
    def figure(lab: Lab) -> float:
        return 0.5 + 1.0 + 2.0 + 16.0 + 64.0 + 10.0

    assert reads_its_answer(_claim(figure, expect=value)) == ""


@pytest.mark.parametrize(
    ("expect", "bound", "got", "error"),
    [(2.0, "near", 2.2, 0.1), ((59.0, 72.0), "near", 65.0, 0.0), ((59.0, 72.0), "near", 79.2, 0.1),
    (60.0, "at least", 70.0, 0.0),
     (60.0, "at least", 54.0, -0.1), (10.0, "at most", 11.0, 0.1)],
)  # fmt: skip
def test_errors_of_figures_ranges_and_bounds(expect, bound, got, error) -> None:
    claim = Claim(
        paper="p",
        id="c",
        text="t",
        expect=expect,
        tolerance=0.15,
        unit="",
        source="s",
        kind="modelled",
        function=_bandwidth,
        bound=bound,
    )
    assert claim.error(got) == pytest.approx(error)


def test_check_reports_every_figure() -> None:
    rows = check_paper("llm_viewer", api.engines())
    assert {r.status for r in rows} == {"reproduced"}
    assert all(r.audited for r in rows)
    assert counts(rows)["reproduced"] == len(rows) == 8
    fields = {"paper", "seed", "claim", "expected", "unit", "got", "error", "tolerance", "status", "kind", "audited"}
    assert fields <= set(rows[0].record())

"""The audit: claims that copy, ignore or contradict are found out, whatever way their answer is hidden; honest ones
pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_paper import forget, toy, verdict

from rooflab import api
from rooflab.costs.engine_constants import using
from rooflab.costs.left_out import without_source
from rooflab.evidence.claims.check import check_paper
from rooflab.evidence.claims.fitted import seen_by_fits
from rooflab.evidence.claims.printed import answers_in_code, is_plain
from rooflab.evidence.claims.row import counts
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper

CHEATS = {
    "a table of the module": """
TABLE = {"rows": [(1, 2.5), (2, 77.77)]}

@paper.claim("c")
def figure(lab):
    return TABLE["rows"][1][1] * lab.data("factor", 1.0)
""",
    "bandwidth over itself": """
@paper.claim("c")
def figure(lab):
    return 77.77 * bandwidth(lab) / 3.35e12
""",
    "bandwidth over a number near it": """
@paper.claim("c")
def figure(lab):
    return bandwidth(lab) / 4.3e10
""",
    "an engine that is asked and not heard": """
@paper.claim("c")
def figure(lab):
    lab.estimate(served(lab))
    return served(lab).hardware.device.memory_bytes_per_s / 4.3e10
""",
    "a text that spells it": """
@paper.claim("c")
def figure(lab):
    return float("77" + ".77") * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
    "one per cent off": """
@paper.claim("c")
def figure(lab):
    return 78.5 * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
    "arithmetic of literals": """
@paper.claim("c")
def figure(lab):
    return (7777 / 100) * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
    "a constant of a class": """
class Known:
    gain = 77.77

@paper.claim("c")
def figure(lab):
    return Known.gain * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
    "a default argument": """
@paper.claim("c")
def figure(lab, known=77.77):
    return known * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
    "what KEY.yaml states": """
@paper.claim("c")
def figure(lab):
    return paper.stated["c"]["expect"].numbers[0] * lab.estimate(served(lab)).output_tokens_per_s / 1e4
""",
}


@pytest.mark.parametrize("code", CHEATS.values(), ids=CHEATS)
def test_an_answer_that_was_copied_is_found_out(tmp_path: Path, code: str) -> None:
    found = verdict(toy(tmp_path, code))
    assert not found.passed
    assert found.reason


SMALL = {
    "a number": "    served(lab)\n    return 7.0\n",
    "times a datum of one": "    return 7.0 * lab.data('factor', 1.0)\n",
    "with an engine asked": "    lab.estimate(served(lab))\n    return 7.0\n",
}


@pytest.mark.parametrize("kind", ["modelled", "executed", "derived"])
@pytest.mark.parametrize("body", SMALL.values(), ids=SMALL)
def test_a_small_whole_number_is_found_out(tmp_path: Path, body: str, kind: str) -> None:
    paper = toy(tmp_path, f'@paper.claim("c")\ndef figure(lab):\n{body}', expect=7, kind=kind)
    assert not verdict(paper).passed


@pytest.mark.parametrize("expect", [{"at most": 127}, {"at least": -127}, {"order": ["a", "b"]}])
@pytest.mark.parametrize("moves", [{}, {"memory bandwidth": 1}])
def test_a_bound_that_nothing_breaks_says_nothing(
    tmp_path: Path, expect: dict[str, Any], moves: dict[str, int]
) -> None:
    returned = "{'a': x, 'b': 2 * x}" if "order" in expect else "x"
    code = f"""
@paper.claim("c")
def figure(lab):
    x = 1e-9 * lab.estimate(served(lab)).output_tokens_per_s
    return {returned}
"""
    paper = toy(tmp_path, code, expect=expect, moves=moves)
    assert "breaks its bound" in verdict(paper).reason


def test_an_answer_in_a_module_beside_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hiding"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "rates.py").write_text("KNOWN = 77.77\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for line in ("from hiding.rates import KNOWN", "from hiding import rates", "import hiding.rates"):
        value = (
            "KNOWN" if line.endswith("KNOWN") else "hiding.rates.KNOWN" if line.startswith("import") else "rates.KNOWN"
        )
        code = f'{line}\n\n@paper.claim("c")\ndef figure(lab):\n    return {value} * lab.data("x", 2.0)\n'
        assert "rates.py:1 contains 77.77" in verdict(toy(folder, code)).reason
        forget()


HONEST = """
class Half(Technique):
    def apply(self, scenario):
        return scenario.with_deployment(kv="fp8", weights="fp8")

paper.technique(Half)

@paper.claim("c")
def figure(lab):
    s = served(lab)
    return lab.estimate(s, Half()).output_tokens_per_s / lab.estimate(s).output_tokens_per_s
"""

EXECUTED = """
@paper.method
class Nearest(Method[Vectors]):
    salient: bool = True

    def run(self, lab, given):
        rows = given.base[:200]
        found = (rows @ rows.T).argsort(axis=1)[:, -1]
        if not self.salient:
            found = lab.rng("any").integers(0, len(rows), len(rows))
        share = float((found == np.arange(len(rows))).mean())
        return Outcome((Figure(name="share", value=share, how="executed"),), "a vector is nearest to itself")

    def ablated(self, seed):
        return Nearest(salient=False)

@paper.claim("c")
def figure(lab):
    return lab.run(Nearest(), lab.sample(Vectors))["share"]
"""


def test_a_gain_by_a_technique_passes(tmp_path: Path) -> None:
    found = verdict(toy(tmp_path, HONEST, expect=1.9, without={"by": "technique", "value": 1}))
    assert found.passed, found.reason
    assert found.moved


def test_an_executed_method_with_its_ablation_passes(tmp_path: Path) -> None:
    found = verdict(toy(tmp_path, EXECUTED, expect=0.99, kind="executed", without={"by": "ablation"}))
    assert found.passed, found.reason
    without = verdict(toy(tmp_path, EXECUTED, expect=0.99, kind="executed"))
    assert "no control" in without.reason


def test_a_control_must_fail_and_be_what_was_stated(tmp_path: Path) -> None:
    wide = verdict(toy(tmp_path, HONEST, expect={"at least": 0.9}, without={"by": "technique"}))
    assert "holds without its idea" in wide.reason
    other = verdict(toy(tmp_path, HONEST, expect=1.9, without={"by": "technique", "value": 1.5}))
    assert "not 1.5" in other.reason
    never = verdict(toy(tmp_path, HONEST, expect=1.9, without={"by": "ablation"}))
    assert "never asks for" in never.reason


SPEED = """
@paper.claim("c")
def figure(lab):
    return lab.estimate(served(lab)).output_tokens_per_s
"""


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        ({"memory bandwidth": -1}, "should go down with memory bandwidth"),
        ({"memory bandwidth": {"sign": 1, "power": 3}}, "to the power 3"),
        ({"data: none": 1}, "never asks for it"),
    ],
)
def test_a_figure_that_moves_otherwise_than_stated_fails(tmp_path: Path, moves: dict[str, Any], said: str) -> None:
    assert said in verdict(toy(tmp_path, SPEED, expect=9e3, moves=moves)).reason


def test_a_figure_that_follows_what_was_published_is_an_input_or_fails(tmp_path: Path) -> None:
    code = """
from pathlib import Path
here = Path(__file__)

@paper.claim("c")
def figure(lab):
    return lab.table(here.with_name("published.csv"))["x"][0] * lab.data("of", 2.0) / 2
"""
    (tmp_path / "published.csv").write_text("x\n38.5\n")
    hidden = verdict(toy(tmp_path, code, expect=38.5, kind="derived"))
    assert "not declared an input" in hidden.reason
    declared = verdict(toy(tmp_path, code, expect=38.5, kind="derived", inputs={"published.csv": "table 1"}))
    assert declared.restates == "table 1"


def test_a_claim_that_asks_for_nothing_fails(tmp_path: Path) -> None:
    paper = toy(tmp_path, '@paper.claim("c")\ndef figure(lab):\n    return 7.5 * 25\n', expect=150)
    assert verdict(paper).reason == "asks its lab for nothing"


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0, 16.0, 64.0, 10.0])
def test_plain_numbers_may_stand_anywhere(tmp_path: Path, value: float) -> None:
    assert is_plain(value)
    (tmp_path / "code.py").write_text(f"x = {value}\n")
    assert answers_in_code([value], [tmp_path / "code.py"]) == ""


def test_numbers_with_a_reason_may_stand_there(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("'77.77 in words'\nx = 77\n")
    assert answers_in_code([77.77], [tmp_path / "code.py"])
    assert answers_in_code([77.77], [tmp_path / "code.py"], allowed=[77.0]) == ""


def test_what_a_fit_has_seen_follows_from_the_sources_of_the_fit(tmp_path: Path) -> None:
    """By the constants that were in force when an engine was asked, and by whose rows they rest on."""
    fields = {
        "model": "meta-llama/Llama-2-7b-hf", "hardware": "a100-80gb-sxm",
        "workload": {"isl": 512, "osl": 64, "batch": 8},
        "deployment": {"engine": "trtllm", "engine_version": "0.9.0", "tp": 1},
    }  # fmt: skip
    lab = Lab(api.engines())
    lab.estimate(lab.scenario(fields))
    ours, others = (Paper(key="p", title="p", own_data=(own,)) for own in ("QServe README", "Splitwise"))
    assert "QServe README" in seen_by_fits(ours, lab.priced)
    assert seen_by_fits(others, lab.priced) == ""
    lab.forget()
    with using(without_source("QServe README")):
        lab.estimate(lab.scenario(fields))
    assert seen_by_fits(ours, lab.priced) == ""


def test_check_reports_every_figure() -> None:
    rows = check_paper("llm_viewer", api.engines())
    assert {r.status for r in rows} == {"reproduced"}
    assert all(r.audited for r in rows)
    assert counts(rows)["reproduced"] == len(rows) == 8
    fields = {
        "paper", "seed", "claim", "role", "group", "expected", "unit", "first", "got", "error", "tolerance", "status",
        "kind", "assumptions", "audited",
    }  # fmt: skip
    assert fields <= set(rows[0].record())

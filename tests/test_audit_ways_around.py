"""Ways around the audit that were tried from outside: each is found out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from toy_paper import loaded, toy, verdict

from rooflab import api
from rooflab.errors import InputError
from rooflab.evidence.claims.check import check_claims
from rooflab.evidence.claims.figures import Labs
from rooflab.evidence.claims.printed import answers_in_code, sources_of

CLAIM = '@paper.claim("c")\ndef figure(lab):\n'
RATIO = (
    "    full, short = (lab.estimate(served(lab, isl=n)).output_tokens_per_s for n in (512, 256))\n"
    "    ratio = full / short\n"
)

NEXT_TO_ONE = {
    "a length of a table": ("TABLE = (" + "0, " * 77 + ")\n", "    x = len(TABLE)\n"),
    "tens and units": ("", "    ten, eight, two, one = 10.0, 8.0, 2.0, 1.0\n    x = ten * eight - two - one\n"),
    "bits": (
        "",
        "    one, two = 1, 2\n    x = (one << two * two + two) | (one << two + one) | (one << two) | one\n",
    ),
    "steps from nothing": ("", "    x = 0\n    x = " + "-~" * 77 + "x\n"),
    "a keyword": ("", "    x = float(next(iter(dict(v38=1)))[1:]) * 2\n"),
    "the name of a class": ("class V38:\n    pass\n\n\n", "    x = float(repr(V38)[-4:-2]) * 2\n"),
    "dates": (
        "import datetime\n",
        "    x = (datetime.date(2000, 2, 1) - datetime.date(2000, 1, 1)).days * 2.0 + 10 + 2 + 2 + 1\n",
    ),
}


@pytest.mark.parametrize(("before", "body"), NEXT_TO_ONE.values(), ids=NEXT_TO_ONE)
def test_a_number_that_the_engine_hardly_changes_is_no_model(tmp_path: Path, before: str, body: str) -> None:
    found = verdict(toy(tmp_path, before + CLAIM + body + "    return x * nearly_one(lab)\n", expect=77.2))
    assert "hardly follows its engine" in found.reason or "has no source" in found.reason


ASKED = {
    "the text of its claim": ("float(paper.find('c').text.split()[0])", "asks for 'paper'"),
    "the note of its claim": ("float(paper.claims[0].note)", "asks for 'claims'"),
    "an attribute by text": ("getattr(lab, 'exp' + 'ect')", "asks for 'expect'"),
    "another attribute by text": ("operator.attrgetter('expect.numbers')(lab)[0]", "asks for 'expect'"),
    "the environment": ("float(os.environ['LENGTH'])", "asks for 'environ'"),
    "what the audit changes": ("lab.condition.seed", "asks for 'condition'"),
    "a float in hexadecimal": ("float.fromhex('0x1.34ccccp+5')", "asks for 'fromhex'"),
}


@pytest.mark.parametrize(("asked", "found"), ASKED.values(), ids=ASKED)
def test_what_no_lab_hands_over_is_not_asked_for(tmp_path: Path, asked: str, found: str) -> None:
    code = f"import operator\nimport os\n\n\n{CLAIM}{RATIO}    return ({asked}) * ratio\n"
    paper = toy(tmp_path, code)
    claim = paper.find("c")
    assert paper.file is not None
    assert found in answers_in_code(claim.expect.telling(), sources_of(paper.file))


AROUND_ITS_LAB = {
    "what estimates anything": ("import rooflab\n", "1.0", "imports 'rooflab'"),
    "what loads scenarios": ("from rooflab import load\n", "1.0", "imports 'rooflab'"),
    "a room by its full name": ("import rooflab.papers\n", "1.0", "imports 'rooflab'"),
    "how many papers there are": (
        "from rooflab.papers.registry import keys\n", "len(keys()) / 2.0", "imports 'rooflab.papers.registry'"
    ),
    "memory of a device that no lab handed over": (
        "from rooflab.catalogue.hardware import hardware\n", "hardware('a10').device.memory_bytes / 1e9", "no source"
    ),
    "layers of a model that no lab handed over": (
        "from rooflab.catalogue.models import model\n", "model('Qwen/Qwen3-32B').layers", "no source"
    ),
    "how many metrics there are": ("from rooflab.metrics.registry import METRICS\n", "len(METRICS)", "no source"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "number", "found"), AROUND_ITS_LAB.values(), ids=AROUND_ITS_LAB)
def test_facts_of_rooflab_are_handed_over_by_a_lab(tmp_path: Path, before: str, number: str, found: str) -> None:
    code = f"{before}{CLAIM}{RATIO}    return {number} * ratio\n"
    got = 1.0 if "imports" in found else toy(tmp_path, code).find("c").function(Labs(api.engines()).get())
    assert found in verdict(toy(tmp_path, code, expect=got)).reason


WITH_AN_ENGINE = {
    "one number as forty": ("    return sum((" + "1.93, 1.97, " * 20 + ")) * ratio\n", 58.0),
    "a key": ("    return float(next(iter({'38.6': 1}))) * ratio\n", 29.0),
    "what a figure is called": (
        "    return float(Figure(name='38.6', value=1.0, how='modelled').name) * ratio\n",
        29.0,
    ),
}


@pytest.mark.parametrize(("body", "expect"), WITH_AN_ENGINE.values(), ids=WITH_AN_ENGINE)
def test_an_answer_times_what_an_engine_says_is_found_out(tmp_path: Path, body: str, expect: float) -> None:
    found = verdict(toy(tmp_path, CLAIM + RATIO + body, expect=expect))
    assert "has no source" in found.reason or "a number is read out of it" in found.reason


def test_a_module_beside_the_package_is_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folder it lies in, so long as it is no library that is installed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept_elsewhere.py").write_text("X = 38.6\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    code = f"import kept_elsewhere\n\n\n{CLAIM}{RATIO}    return kept_elsewhere.X * ratio\n"
    assert "kept_elsewhere.py:1, which has no source" in verdict(toy(tmp_path, code, expect=29.0)).reason


def test_files_are_not_opened_when_the_code_is_loaded_either(tmp_path: Path) -> None:
    (tmp_path / "rates.txt").write_text("38.6")
    code = "from pathlib import Path\nX = float(Path(__file__).with_name('rates.txt').read_text())\n\n\n"
    found = verdict(toy(tmp_path, code + CLAIM + RATIO + "    return X * ratio\n", expect=29.0))
    assert "opens rates.txt" in found.reason


def test_a_tolerance_within_which_anything_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a share up to 0\.5"):
        toy(tmp_path, CLAIM + "    return 1.0\n", tolerance=0.99, wider="a reason")


def test_a_figure_is_counted_once(tmp_path: Path) -> None:
    """A second claim that gives the same figure for the same published one would make one finding two."""
    again = '\n\n@paper.claim("d")\ndef other(lab):\n    return figure(lab)\n'
    toy(tmp_path, f"{CLAIM}{RATIO}    return ratio\n", expect=0.739)
    facts = yaml.safe_load((tmp_path / "toy.yaml").read_text())
    facts["claims"].append(facts["claims"][0] | {"id": "d", "text": "the same figure"})
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(facts))
    (tmp_path / "toy.py").write_text((tmp_path / "toy.py").read_text() + again)
    once, twice = check_claims(loaded(tmp_path / "toy.py"), api.engines())
    assert once.status == "reproduced"
    assert (once.first, once.got) == (None, twice.got), "no ledger, no first value"
    assert twice.status == "failing"
    assert "is the figure of 'c' once more" in twice.reason

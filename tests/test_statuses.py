"""What each status means, by papers that have it: from what a claim computes to the word that is printed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from toy_paper import toy

from rooflab import api
from rooflab.costs.engine_constants import active, using
from rooflab.evidence.claims.check import check_claims
from rooflab.evidence.claims.figures import Labs
from rooflab.evidence.claims.ledger import NAME, Entry, Ledger
from rooflab.evidence.claims.row import STATUSES, Row
from rooflab.extras import REQUIREMENTS
from rooflab.inputs.perturb import Perturbation
from rooflab.papers.condition import Condition
from rooflab.papers.paper import Paper
from rooflab.scenario.scenario import Scenario

CLAIM = '\n@paper.claim("c")\ndef figure(lab):\n'
SPEED = CLAIM + "    return lab.estimate(served(lab)).output_tokens_per_s\n"
_SCENARIO = {
    "model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm",
    "workload": {"isl": 512, "osl": 256, "scenario": "max-throughput"},
}  # fmt: skip
FAST = api.estimate(api.read(_SCENARIO)).output_tokens_per_s
"""What `served` of a toy paper does, tokens/s."""
ENTRY = Entry(
    date="2026-01-01", version="1", paper="toy", claim="c", event="first", value=FAST, expected=FAST, tolerance=0.15
)


def row(paper: Paper) -> Row:
    found = [r for r in check_claims(paper, api.engines()) if r.claim == "c"]
    assert len(found) == 1
    return found[0]


def test_a_fault_of_a_claim_is_its_own(tmp_path: Path) -> None:
    found = row(toy(tmp_path, CLAIM + "    return {}['x']\n"))
    assert found.status == "failing"
    assert "KeyError: 'x' (in toy.py:" in found.reason
    assert "TypeError" in row(toy(tmp_path, CLAIM + "    return None\n")).reason


def test_reproduced_and_failing(tmp_path: Path) -> None:
    held = row(toy(tmp_path, SPEED, expect=FAST, moves={"memory bandwidth": 1}))
    assert (held.status, held.audited, held.error) == ("reproduced", True, pytest.approx(0.0, abs=1e-3))
    assert held.moved_by[0] == "memory bandwidth"
    missed = row(toy(tmp_path, SPEED, expect=20000, note="by half"))
    assert (missed.status, missed.audited, missed.reason) == ("failing", True, "by half")


def assumed(value: float, low: float, high: float, power: str = "") -> str:
    how = f"lab.assume('share', {value}, low={low}, high={high}, source='nobody says'){power}"
    return CLAIM + f"    return lab.estimate(served(lab)).output_tokens_per_s * {how}\n"


NARROW = {
    "two of a thousandth": "6.2, low=6.19, high=6.21",
    "two of a twentieth": "6.2, low=5.8, high=6.6",
}


@pytest.mark.parametrize("ends", NARROW.values(), ids=NARROW)
def test_an_answer_split_over_narrow_assumptions_is_found_out(tmp_path: Path, ends: str) -> None:
    of = " * ".join(f"lab.assume({name!r}, {ends}, source='a guess')" for name in ("a", "b"))
    code = CLAIM + f"    return lab.estimate(served(lab)).output_tokens_per_s * {of}\n"
    assert "which is no range" in row(toy(tmp_path, code, expect=FAST * 6.2**2)).reason


def test_assumptions_go_to_their_ends_together(tmp_path: Path) -> None:
    """None of the three breaks the claim by itself."""
    of = " * ".join(f"lab.assume({name!r}, 1.0, low=0.8, high=1.2, source='a guess') ** 0.5" for name in "abc")
    code = CLAIM + f"    return lab.estimate(served(lab)).output_tokens_per_s * {of}\n"
    found = row(toy(tmp_path, code, expect=FAST))
    assert (found.status, found.flips) == ("depends", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("ends", "power", "status"),
    [
        ((1.0, 0.6, 1.5), " ** 0.2", "reproduced"),
        ((1.0, 0.7, 1.05), "", "depends"),
        ((1.3, 1.0, 1.5), "", "depends"),
        ((1.0, 0.87, 1.13), "", "depends"),
    ],
)
def test_depends_names_the_assumption(
    tmp_path: Path, ends: tuple[float, float, float], power: str, status: str
) -> None:
    """Also where it could not flip, since the figure is proportional to it and the tolerance spans its range."""
    found = row(toy(tmp_path, assumed(*ends, power), expect=FAST))
    assert found.status == status
    assert [a["name"] for a in found.assumptions] == ["share"]
    if status == "depends":
        assert found.flips == ("share",)
        assert found.reason.startswith("the verdict is another at an end of share")


def test_not_one_end_of_an_assumption_may_be_out_of_reach(tmp_path: Path) -> None:
    """Where nothing can be computed the claim does not hold."""
    code = CLAIM + (
        "    held = lab.assume('sequences', 64, low=64, high=10**9, source='nobody says')\n"
        "    s = lab.scenario(model='meta-llama/Llama-3.1-8B', hardware='h100-sxm',\n"
        "                     workload={'isl': 512, 'osl': 256, 'batch': round(held)})\n"
        "    return lab.estimate(s).output_tokens_per_s\n"
    )
    found = row(toy(tmp_path, code, expect=4697))
    assert (found.status, found.flips) == ("depends", ("sequences",))


def test_calibrated_follows_from_the_fits(tmp_path: Path) -> None:
    code = (
        CLAIM
        + """
    s = lab.scenario(
        model="meta-llama/Llama-2-7b-hf", hardware="a100-80gb-sxm", workload={"isl": 512, "osl": 64, "batch": 8},
        deployment={"engine": "trtllm", "engine_version": "0.9.0", "tp": 1},
    )
    return lab.estimate(s).output_tokens_per_s
"""
    )
    paper = toy(tmp_path, code, expect=500)
    ours = row(replace(paper, own_data=("QServe README",)))
    assert ours.status == "calibrated"
    assert "QServe README" in ours.reason
    assert row(replace(paper, own_data=("Splitwise",))).status == "reproduced"


def test_input_restates(tmp_path: Path) -> None:
    code = CLAIM + "    return 2 * lab.data('half', 38.885)\n"
    found = row(toy(tmp_path, code, [{"name": "half", "source": "table 3"}], kind="derived"))
    assert (found.status, found.audited) == ("input", False)
    assert found.reason == "restates what was put in (half: table 3)"


def test_what_needs_an_extra_names_it(tmp_path: Path) -> None:
    code = (
        "from rooflab import extras\n"
        + CLAIM
        + ("    with extras.needed('scipy', 'the integer program', 'toy'):\n        raise ImportError('no')\n")
    )
    found = row(toy(tmp_path, code))
    assert (found.status, found.got) == ("needs-extra", None)
    assert REQUIREMENTS["scipy"] in found.reason


def test_an_analogue_is_never_reproduced(tmp_path: Path) -> None:
    code = CLAIM + "    return float(lab.sample(Vectors).base.mean()) if lab.with_idea() else 0.0\n"
    found = row(toy(tmp_path, code, kind="analogue", expect={"at least": -10}, without={"by": "ablation"}))
    assert found.status != "reproduced"


def test_what_is_not_modelled_says_why(tmp_path: Path) -> None:
    toy(tmp_path, SPEED)
    text = (tmp_path / "toy.yaml").read_text() + "not modelled: [{id: d, text: t, reason: nobody published it}]\n"
    (tmp_path / "toy.yaml").write_text(text)
    (left,) = (r for r in check_claims(Paper.beside(tmp_path / "toy.py"), api.engines()) if r.claim == "d")
    assert (left.status, left.reason) == ("not-modelled", "nobody published it")


@pytest.mark.parametrize(
    ("entries", "status"),
    [
        ([{}], "reproduced"),
        ([{"value": 0.2 * FAST}, {"event": "setup", "reason": "r"}], "depends"),
        ([{"value": 0.2 * FAST}, {"event": "setup", "reason": "r", "independent": "a datasheet"}], "reproduced"),
        ([{}, {"value": 0.2 * FAST, "event": "setup", "reason": "r"}, {"event": "value", "reason": "r"}], "reproduced"),
    ],
)
def test_the_ledger_has_a_say(tmp_path: Path, entries: list[dict[str, Any]], status: str) -> None:
    """First values hold, or what turned them is backed by something independent."""
    Ledger(tmp_path / NAME).append([replace(ENTRY, **changed) for changed in entries])
    found = row(toy(tmp_path, SPEED, expect=FAST))
    assert found.status == status
    assert (found.first, found.revised) == (entries[0].get("value", FAST), len(entries) - 1)


DRAWN = (
    CLAIM
    + """
    drawn = lab.data("size", {size}) * float(lab.rng("x").random())
    return lab.data("of", 3.0) / lab.data("per", 1.5) + drawn
"""
)


@pytest.mark.parametrize(("size", "status"), [(0.01, "reproduced"), (2, "depends")])
def test_what_is_drawn_has_a_spread(tmp_path: Path, size: float, status: str) -> None:
    """Over three seeds; a verdict that another seed turns depends on it."""
    said = [{"name": name, "source": "table 1"} for name in ("of", "per", "size")]
    code = DRAWN.format(size=size)
    found = row(toy(tmp_path, code, said, expect=2.9 if size == 2 else 2, kind="derived"))
    low, high = found.spread
    assert found.got is not None
    assert low <= found.got <= high
    assert high - low > 0.001 * size
    if size == 2:
        assert (found.status, found.flips) == (status, ("the seed",)), found.reason
    else:
        assert found.status == status, found.reason
    json.dumps(asdict(found), allow_nan=False)


def test_simulated_arrivals_are_drawn_anew(tmp_path: Path) -> None:
    code = (
        CLAIM
        + """
    s = lab.scenario(model="meta-llama/Llama-3.1-8B", hardware="h100-sxm", workload={"isl": 128, "osl": 32, "rate": 5,
                     "requests": 50})
    return lab.simulate(s).metrics["ttft_s_p99"]
"""
    )
    found = row(toy(tmp_path, code, expect=0.01))
    assert found.spread[0] < found.spread[1]
    even = row(toy(tmp_path, code.replace('"rate": 5', '"rate": 5, "arrivals": "uniform"'), expect=0.01))
    assert even.spread is None


STATEMENTS = [
    ([0.5, 1.0], "(x / 2, x)", "reproduced"), ([0.5, 1.0], "(x, x)", "failing"),
    ([0.5, 1.0], "(x / 2, 2 * x)", "failing"),
    ({"at least": 0.99}, "x", "reproduced"), ({"at least": 1.01}, "x", "failing"), ({"at most": 0.99}, "x", "failing"),
    ({"crossing": 1.1}, "x", "reproduced"), ({"curve": {"a": 0.5, "b": 1.1}}, "{'a': x / 2, 'b': x}", "reproduced"),
    ({"curve": {"a": 0.5, "b": 1.0}}, "{'a': x, 'b': x}", "failing"),
    ({"order": ["a", "b"]}, "{'a': x / 2 + 1 / 2, 'b': x + 1 / 100}", "reproduced"),
    ({"order": ["a", "b"]}, "{'a': x, 'b': x}", "failing"),
    ({"no difference": 0.02, "of": ["a", "b"]}, "{'a': 1, 'b': x}", "reproduced"),
    ({"no difference": 0.02, "of": ["a", "b"]}, "{'a': 1, 'b': x + x / 10}", "failing"),
]  # fmt: skip


@pytest.mark.parametrize(("expect", "returned", "status"), STATEMENTS)
def test_statements_hold_as_they_are_printed(tmp_path: Path, expect: Any, returned: str, status: str) -> None:
    """Ends of a range by its extreme members, bounds and orders without slack; each breaks without the idea."""
    code = f"""
class Fewer(Technique):
    def apply(self, scenario):
        return scenario.with_deployment(weights="fp16")

paper.technique(Fewer)
{CLAIM}
    s = served(lab).with_deployment(weights="fp8")
    x = lab.estimate(s, Fewer()).output_tokens_per_s / lab.data("of", {FAST})
    return {returned}
"""
    said = [{"name": "of", "source": "table 1"}]
    found = row(toy(tmp_path, code, said, expect=expect, moves={"data: of": -1}))
    assert found.status == status, found.reason


def test_every_status_is_explained() -> None:
    assert set(STATUSES) == {
        "reproduced", "depends", "failing", "not-modelled", "calibrated", "input", "analogue", "needs-extra",
        "unaudited",
    }  # fmt: skip


def test_engines_remember_for_unchanged_code_alone() -> None:
    """The same scenario under another condition is not asked again; other constants, and changed code, are."""
    asked: list[str] = []

    def said(scenario: Scenario) -> Any:
        asked.append(scenario.model.name)
        return len(asked)

    labs = Labs(replace(api.engines(), estimate=said))
    s = labs.get().scenario(
        model="meta-llama/Llama-3.1-8B", hardware="h100-sxm", workload={"isl": 64, "osl": 8, "rate": "1/s"}
    )
    at_end = Condition(assumptions=(("x", "low"),))
    assert [labs.get().estimate(s), labs.get(at_end).estimate(s), labs.get().estimate(s)] == [1, 1, 1]
    assert labs.get(Condition(perturbation=Perturbation("memory bandwidth", 2.0))).estimate(s) == 2
    with using(replace(active(), name="another")):
        assert labs.get(Condition(seed=7)).estimate(s) == 3
    assert labs.get(changes={("file", (1, 0, 1, 2)): 3.0}).estimate(s) == 4


def test_a_stream_that_was_chosen_by_its_purpose_does_not_hold(tmp_path: Path) -> None:
    """Among many purposes one is as published by seeds 0, 1 and 2; on eight it is not."""
    streams = {i: Labs(api.engines()).get for i in range(400)}
    shown = next(
        i for i, lab in streams.items()
        if all((lab(Condition(seed=s)).rng(f"p{i}").random(9) > 0.5).mean() > 0.6 for s in range(3))
    )  # fmt: skip
    code = CLAIM + f"    return float((lab.rng('p{shown}').random(len(lab.sample(Vectors))) > 0.5)[:9].mean())\n"
    found = row(toy(tmp_path, code, expect={"at least": 0.6}, kind="executed", role="fact"))
    assert "the seed" in found.flips

"""A paper written by an adversary: numbers that its code makes, code of others that it changes, what it asks for beside
its lab, what it keeps from one run to the next. Each is found out, where its figure follows an engine as it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from toy_paper import toy, verdict

from rooflab import api
from rooflab.evidence.claims import check, figures, hidden, untouched
from rooflab.evidence.claims.check import check_claims
from rooflab.evidence.claims.row import Row
from rooflab.evidence.claims.untouched import altered
from rooflab.papers.claim import Claim
from rooflab.papers.expectation import Expectation
from rooflab.papers.paper import Paper

CLAIM = '@paper.claim("c")\ndef figure(lab):\n'
RATIO = (
    "    full, short = (lab.estimate(served(lab, isl=n)).output_tokens_per_s for n in (512, 256))\n"
    "    ratio = full / short\n"
)
"""0.739, and an engine is heard as well as one could wish."""


def row(paper: Paper) -> Row:
    return check_claims(paper, api.engines())[0]


MADE = {
    "how long a table is": ("TABLE = (" + "0, " * 77 + ")\n", "    return len(TABLE) * ratio\n", 58),
    "how many keys": (
        "TABLE = {" + ", ".join(f"'k{i}': 0" for i in range(77)) + "}\n", "    return len(TABLE) * ratio\n", 58
    ),
    "how long a table is that is handed on": (
        "def size(table, lab):\n    return len(table)\n\n\nTABLE = (" + "0, " * 77 + ")\n",
        "    return size(TABLE, lab) * ratio\n", 58,
    ),
    "steps through a table": (
        "TABLE = (" + "0, " * 77 + ")\n", "    n = 0\n    for _ in TABLE:\n        n += 1\n    return n * ratio\n", 58,
    ),
    "a keyword": ("", "    return float(next(iter(dict(v38=1)))[1:]) * 2 * ratio\n", 57),
    "a text that JSON reads": ("import json\nT = json.loads('{\"x\": 77.2}')\n", "    return T['x'] * ratio\n", 58),
    "tens and units": (
        "", "    ten, eight, two, one = 10.0, 8.0, 2.0, 1.0\n    return (ten * eight - two - one) * ratio\n", 58
    ),
    "steps from nothing": ("", "    x = 0\n    return (" + "-~" * 77 + "x) * ratio\n", 58),
    "the name of a class": ("class V38:\n    pass\n\n\n", "    return float(repr(V38)[-4:-2]) * 2 * ratio\n", 57),
    "members of an enumeration": (
        "import enum\nclass E(enum.Enum):\n" + "".join(f"    K{i} = enum.auto()\n" for i in range(38)) + "\n\n",
        "    return len(E) * ratio\n", 28.5,
    ),
    "fields of a tuple": (
        "from typing import NamedTuple\nclass E(NamedTuple):\n"
        + "".join(f"    k{i}: int\n" for i in range(38)) + "\n\n", "    return len(E._fields) * ratio\n", 28.5,
    ),
    "powers of π": ("import math\n", "    return math.pi**2 * 2 * 2 * ratio\n", 29.6),
    "ones": ("", "    return sum([" + "1, " * 38 + "]) * ratio\n", 29),
    "a sum of a range": ("", "    return sum(range(10)) * ratio\n", 34),
    "combinations": ("import math\n", "    return math.comb(8, 2) * ratio\n", 21),
    "an imaginary number": ("", "    return abs(38.6j) * ratio\n", 29),
    "a numeral of another script": ("import unicodedata\n", "    return unicodedata.numeric('㊳') * ratio\n", 28.5),
    "the length of a prompt that it asks for": (
        "", "    asked = served(lab, isl=38)\n    return asked.workload.mean_prompt_tokens * ratio\n", 28.5
    ),
    "packed bytes": ("import struct\n", "    return struct.unpack('f', b'\\x66\\x66\\x1a\\x42')[0] * ratio\n", 29),
    "digits of a float": ("import sys\n", "    return sys.float_info.dig * ratio * 2\n", 22.6),
    "bits of a float": ("", "    return np.finfo(np.float64).nmant * ratio\n", 39),
    "another library": ("import calendar\n", "    return len(calendar.month_name) * 2 * ratio\n", 19.6),
    "a model's name": ("", "    return len(served(lab).model.name) * ratio\n", 17),
    "a default that is made": (
        "class V38:\n    pass\n\n\ndef of(x=float(repr(V38)[-4:-2])):\n    return x\n\n\n",
        "    return of() * 2 * ratio\n", 57,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "body", "expect"), MADE.values(), ids=MADE)
def test_a_number_that_code_makes_is_found_out(tmp_path: Path, before: str, body: str, expect: float) -> None:
    found = verdict(toy(tmp_path, before + CLAIM + RATIO + body, expect=expect))
    assert "has no source" in found.reason or "read out of it" in found.reason


HONEST = {
    "a mean over set-ups": (
        "LENGTHS = (256, 512, 1024)\n",
        "    rates = [lab.estimate(served(lab, isl=n)).output_tokens_per_s for n in LENGTHS]\n"
        "    return sum(rates) / len(rates)\n",
    ),
    "a share of what was counted": (
        "",
        "    rates = [lab.estimate(served(lab, isl=n)).output_tokens_per_s for n in (256, 512, 1024)]\n"
        "    return ratio * (1 + sum(r > 0 for r in rates)) / 1000\n",
    ),
    "minutes": ("SECONDS = 60.0\n", "    return full * SECONDS / 1e3\n"),
}


@pytest.mark.parametrize(("before", "body"), HONEST.values(), ids=HONEST)
def test_what_an_engine_says_is_no_number_of_the_code(tmp_path: Path, before: str, body: str) -> None:
    code = before + CLAIM + RATIO + body
    got = row(toy(tmp_path, code, expect=1e9)).got
    found = verdict(toy(tmp_path, code, expect=got))
    assert found.passed, found.reason


PATCHES: dict[str, tuple[Any, str, str]] = {
    "what it means to hold": (
        Claim, "holds", "from rooflab.papers.claim import Claim\nClaim.holds = lambda self, got: True\n"
    ),
    "the distance": (
        Expectation, "error",
        "from rooflab.papers import expectation as e\ne.Expectation.error = lambda self, got: 0.0\n",
    ),
    "the audit": (
        check, "audit",
        "import rooflab\nrooflab.evidence.claims.check.audit = "
        "lambda *a, **k: type('A', (), dict(passed=True, reason='', restates='', moved=()))()\n",
    ),
    "a constant": (hidden, "_FOLLOWS", "import rooflab\nrooflab.evidence.claims.hidden._FOLLOWS = 1e9\n"),
}  # fmt: skip


@pytest.mark.parametrize("of", PATCHES)
@pytest.mark.parametrize("way", ["assigned", "another way"])
def test_code_of_others_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str, way: str) -> None:
    """By the names that it asks for, or by what has become of it."""
    owner, name, code = PATCHES[of]
    monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    if way == "another way":
        target, _, value = code.splitlines()[-1].partition(" = ")
        where, _, attribute = target.rpartition(".")
        code = code.replace(f"{target} = {value}", f"next(iter([type.__setattr__ if isinstance({where}, type) else "
                            f"object.__setattr__]))({where}, '{attribute}', {value})")  # fmt: skip
    found = row(toy(tmp_path, code + CLAIM + RATIO + "    return ratio\n", expect=29 if "hold" in of else 0.739))
    assert found.status == "failing"
    assert not found.audited


def test_a_patch_of_what_decides_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Claim, "holds", Claim.holds)
    code = "from rooflab.papers.claim import Claim\nClaim.holds = lambda self, got: True\n" + CLAIM + RATIO
    found = row(toy(tmp_path, code + "    return ratio\n", expect=29))
    assert "Claim.holds is no longer as it was written" in found.reason


AROUND = {
    "the day": ("import datetime\n", "datetime.date.today().year - datetime.date(1987, 1, 1).year", "asks for 'today'"),
    "the year": ("import time\n", "time.gmtime().tm_year", "asks for 'gmtime'"),
    "who calls": ("import traceback\n", "len(traceback.extract_stack())", "imports 'traceback'"),
    "another process": ("import subprocess\n", "float(subprocess.check_output(['echo', '38.6']))", "imports 'sub"),
    "draws of its own": ("import random\n", "random.Random(1).random()", "imports 'random'"),
    "the audit": ("from rooflab.evidence.claims import figures\n", "figures.MOVED", "imports 'rooflab.evidence"),
    "its lab's record": ("", "len(lab.answers)", "asks its lab for 'answers'"),
    "what its lab hides": ("", "len(lab._results)", "asks its lab for '_results'"),
    "modules": ("import sys\n", "len(sys.modules)", "asks for the modules"),
    "frames": ("", "len((lambda: (yield))().gi_frame.f_locals)", "asks for"),
}


@pytest.mark.parametrize(("before", "asked", "said"), AROUND.values(), ids=AROUND)
def test_what_no_lab_hands_over_is_not_asked_for(tmp_path: Path, before: str, asked: str, said: str) -> None:
    found = verdict(toy(tmp_path, f"{before}\n\n{CLAIM}{RATIO}    return ({asked}) * ratio\n", expect=29))
    assert said in found.reason


KEPT = {
    "in a table": ("SEEN = {}\n", "    return SEEN.setdefault('x', ratio)\n"),
    "in a default": ("def once(x, seen=[]):\n    seen.append(x)\n    return seen[0]\n\n\n", "    return once(ratio)\n"),
    "in a class": ("class Seen:\n    x = None\n\n\n", "    Seen.x = Seen.x or ratio\n    return Seen.x\n"),
    "in a function": ("", "    figure.x = getattr(figure, 'x', ratio)\n    return figure.x\n"),
}


@pytest.mark.parametrize(("before", "body"), KEPT.values(), ids=KEPT)
def test_nothing_is_kept_from_one_run_to_the_next(tmp_path: Path, before: str, body: str) -> None:
    found = row(toy(tmp_path, before + CLAIM + RATIO + body, expect=0.739))
    assert "which later runs could give again" in found.reason


SHARE = """
@paper.method
class Share(Method[Vectors]):
    idea: bool = True

    def run(self, lab, given):
        rows = given.base
        share = float((rows[:, 0] > np.median(rows)).mean())
        return Outcome((Figure(name="share", value={value}, how="executed"),), "so")

    def ablated(self, seed):
        return Share(idea=False)


"""
EXECUTED = "    rows = lab.sample(Vectors).base\n    x = float((rows[:, 0] > np.median(rows)).mean())\n"
SABOTAGED = {
    "nothing is given back": ("", EXECUTED + "    return x if lab.with_idea() else 0.0\n"),
    "below zero": ("", EXECUTED + "    return x if lab.with_idea() else -x\n"),
    "taken from itself": ("", EXECUTED + "    if not lab.with_idea():\n        x = x - x\n    return x\n"),
    "in what the lab keeps": ("", EXECUTED + "    return lab.cached('y', lambda: x if lab.with_idea() else 0.0)\n"),
    "in the method": (
        SHARE.replace("{value}", "share if self.idea else 0.0"),
        "    return lab.run(Share(), lab.sample(Vectors))['share']\n",
    ),
    "an answer of the method": (
        SHARE.replace("{value}", "self.of(share)").rstrip()
        + "\n\n    def of(self, x):\n        if self.idea:\n            return x\n        return 0.25\n\n\n",
        "    return lab.run(Share(), lab.sample(Vectors))['share']\n",
    ),
}


@pytest.mark.parametrize(("before", "body"), SABOTAGED.values(), ids=SABOTAGED)
def test_a_control_that_is_made_to_fail_is_none(tmp_path: Path, before: str, body: str) -> None:
    paper = toy(tmp_path, before + CLAIM + body, expect=1, kind="executed", without={"by": "ablation"})
    found = verdict(paper)
    assert "its own code makes its control fail" in found.reason or "its control is the" in found.reason


def test_a_technique_that_is_not_heard_is_no_idea(tmp_path: Path) -> None:
    code = """
class Half(Technique):
    def apply(self, scenario):
        return scenario.with_deployment(max_num_seqs=256)

paper.technique(Half)

"""
    body = "    t = lab.with_technique(served(lab), Half())\n    return ratio if t != served(lab) else 0.0\n"
    found = verdict(toy(tmp_path, code + CLAIM + RATIO + body, expect=0.739, without={"by": "technique"}))
    assert "its own code makes its control fail" in found.reason


def test_what_is_executed_through_the_lab_is_a_control(tmp_path: Path) -> None:
    body = (
        "    rows, above = lab.sample(Vectors).base, lab.with_idea()\n"
        "    held = rows[:, 0] > np.median(rows) if above else lab.rng('any').random(len(rows)) > 0.5\n"
        "    return lab.cached(('share', above), lambda: float(held.mean()))\n"
    )
    paper = toy(tmp_path, CLAIM + body, expect=1, kind="executed", without={"by": "ablation"})
    found = verdict(paper)
    assert found.passed, found.reason


def test_a_file_that_was_written_since_says_nothing(tmp_path: Path) -> None:
    """An editor or an update at work while papers are checked changes no code that is running."""
    module = sys.modules[figures.__name__]
    stamp = Path(str(module.__file__)).stat()
    paper = toy(tmp_path, CLAIM + RATIO + "    return ratio\n", expect=0.739)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "MOVED", 0.5)
        assert altered([])
        patch.setattr(untouched, "_BEGAN", stamp.st_mtime - 1)
        assert not altered([])
    assert row(paper).audited

"""Papers of others that fail: told in a line with exit status 2, and no end of what is asked of all the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shelf

from rooflab import papers
from rooflab.api import engines
from rooflab.cli.main import run
from rooflab.errors import Fault, InputError
from rooflab.evidence.claims.check import check
from rooflab.papers.reader import Terms
from rooflab.papers.registry import excluded, keys, refresh

FAULTY = '''
from rooflab.inputs.vectors import Vectors
from rooflab.papers import Figure, Method, Outcome, Paper, Technique

paper = Paper.beside(__file__)


@paper.method
class Faulty(Method[Vectors]):
    """Fails in the way that it is asked to."""

    how: str = "raises"

    def run(self, lab, given):
        if self.how == "raises":
            raise ValueError("the matrix is\\nsingular")
        if self.how == "ends":
            raise SystemExit(3)
        if self.how == "nothing":
            return None
        if self.how == "cell":
            lab.cells("rows", range(4), lambda i: 1 / 0)
        return Outcome((Figure(name="x", value=self.how, how="executed"),), "a text in the place of a number")


@paper.technique
class Breaks(Technique):
    """Asks a scenario for what it has not."""

    def apply(self, scenario):
        return scenario.nothing


@paper.claim("share")
def share(lab):
    raise RuntimeError("no figure")
'''
ENTRIES = ("faulty", "syntax", "exits", "absent", "ets")


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    info = tmp_path / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    lines = "".join(f"{name} = {name.replace('ets', 'another_ets')}\n" for name in ENTRIES)
    (info / "entry_points.txt").write_text(f"[rooflab.papers]\n{lines}")
    for name, code in (("faulty", FAULTY), ("syntax", "def ("), ("exits", "raise SystemExit(4)"), ("another_ets", "")):
        (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / f"{name}.yaml").write_text(shelf.FACTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    refresh()
    yield tmp_path
    monkeypatch.undo()
    refresh()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "faulty.faulty fails: ValueError: the matrix is singular (in faulty.py:16)"),
        ("ends", "faulty.faulty fails: SystemExit: 3 (in faulty.py:18)"),
        ("nothing", "gives NoneType in the place of an Outcome"),
        ("cell", "faulty.faulty fails: ZeroDivisionError: division by zero (in faulty.py:22)"),
        ("text", "its figure 'x' is no number"),
    ],
)
def test_a_method_that_fails_is_told_in_a_line(
    faulty: Path, capsys: pytest.CaptureFixture[str], how: str, said: str
) -> None:
    assert run(["papers", "run", "faulty", "--method", "faulty", "--set", f"how={how}"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert err.count("\n") == 1


def test_a_technique_that_fails_is_told_in_a_line(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", "llama-3.1-8b", "--hardware", "h100-sxm"]
    assert run(["papers", "run", "faulty", "--method", "breaks", *given]) == 2
    assert "faulty.breaks fails: AttributeError" in capsys.readouterr().err


def test_python_gets_the_cause(faulty: Path) -> None:
    with pytest.raises(Fault, match="singular") as caught:
        papers.run("faulty", method="faulty", terms=Terms(keep=False))
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_cannot_be_loaded_is_left_out_by_name(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"faulty", "syntax", "exits", "absent", "ets"} <= set(keys())
    assert run(["papers", "list", "--json"]) == 0
    out, err = capsys.readouterr()
    assert {e["key"] for e in json.loads(out)} >= {"faulty", "syntax", "exits", "absent", "splitwise"}
    assert "left out: another_ets: there is a paper called 'ets' already" in err
    assert excluded()["another_ets"]
    assert run(["papers", "run", "absent"]) == 2
    assert "absent: cannot be loaded (ModuleNotFoundError" in capsys.readouterr().err
    gone: list[str] = []
    rows = check(["faulty", "syntax", "exits"], engines=engines(), left_out=lambda name, error: gone.append(name))
    assert sorted(gone) == ["exits", "syntax"]
    assert (rows[0].paper, rows[0].status) == ("faulty", "failing")
    with pytest.raises(InputError, match="SyntaxError"):
        check(["syntax"], engines=engines())


def test_a_check_goes_on_and_says_no(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["papers", "check", "faulty", "syntax", "--json", "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["paper"] == "faulty"
    assert err == "left out: syntax: cannot be loaded (SyntaxError: invalid syntax (syntax.py, line 1))\n"
    assert run(["papers", "check", "syntax", "exits", "--workers", "1"]) == 2


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"budget_s": -1}, "budget_s: -1 is no time"), ({"budget_s": float("nan")}, "budget_s: nan"),
        ({"seeds": 0}, "seeds: 0"), ({"seeds": True}, "seeds: True"), ({"seed": -1}, "seed: -1"),
    ],
)  # fmt: skip
def test_terms_that_cannot_be_kept(terms: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Terms(**terms)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["splitwise", "azure-code", "--method", "size_pools", "--set", "rate=1000000"], 1, "if nothing waited"),
        (["splitwise", "azure-code", "--method", "size_pools", "--set", "machines=100000"], 2, "at most 1000"),
        (["splitwise", "azure-code", "--method", "size_pools", "--set", "token=[a]"], 2, "is no text"),
        (["splitwise", "--method", "budgets", "--set", "hosts=100000000"], 2, "at most 1000"),
        (["kinetics", "--method", "scaling_law", "--set", "trials=1e9"], 2, "at most 100000"),
        (["kinetics", "--method", "scaling_law", "--set", "mean_tokens=1e300"], 1, "ends within"),
        (["ets", "game-of-24", "--set", "width=1e300"], 2, "more than can be counted"),
        (["polca", "--method", "power_row", "--set", "servers=1"], 2, "at least 2"),
        (
            [
                "fastswitch",
                "--isl",
                "1000000000",
                "--osl",
                "1000000000",
                "--rate",
                "1/s",
                "--model",
                "llama-3.1-8b",
                "--hardware",
                "h100-sxm",
            ],
            1,
            "does not fit",
        ),
        (["kinetics", "--method", "scaling_law", "--set", "budget="], 2, "scaling_law.budget: has no value"),
        (["kinetics", "--method", "scaling_law", "--set", "arithmetic="], 2, "has no value"),
    ],
)
def test_settings_that_never_end_or_are_none(
    capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert run(["papers", "run", *words]) == status
    assert said in capsys.readouterr().err


def test_whole_numbers_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "whole.npz", w=np.arange(4096).reshape(64, 64))
    assert run(["papers", "run", "qserve", str(tmp_path / "whole.npz")]) == 1
    assert "w holds int64" in capsys.readouterr().err

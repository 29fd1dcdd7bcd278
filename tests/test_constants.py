"""Numbers of papers' code: what each stands for, and their sources in KEY.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rooflab.errors import InputError
from rooflab.evidence.claims.code import Code, scaled
from rooflab.evidence.claims.literals import literals
from rooflab.papers.facts import read_facts
from rooflab.papers.paper import Paper
from rooflab.papers.registry import keys, paper


@pytest.mark.parametrize("key", keys())
def test_no_number_is_without_a_source(key: str) -> None:
    bare = Code(paper(key)).unsourced()
    assert not bare, (
        "name them in KEY.yaml (constants) with their source, or hand them over (lab.data, lab.assume): "
        + ", ".join(map(str, bare))
    )


@pytest.mark.parametrize("key", keys())
def test_constants_are_there(key: str) -> None:
    """Each names a number of the code, or a datum that the code asks its lab for; and both say the same number."""
    code = Code(paper(key))
    text = "\n".join(path.read_text("utf-8") for path in code.files)
    for name in paper(key).constants:
        assert code.constant(name) or f'"{name}"' in text, f"{name} stands nowhere"
    assert code.misstated({}) == ""


CODE = '''
"""A module of 77 things."""

__all__ = ["a"]

RATE = 19.5
TABLE = {"a": (98, 0.25), 3: [4]}
HALF, WIDE = 0.5, 12


class Growth:
    """Grows by 9."""

    noise: float = 1.7
    pages: int = 1024


class Kept(Technique):
    bits: PositiveInt = 4


def policy(low, gap=0.05, *, most=7):
    """Two of 3."""
    days = 42.0
    return days * 100 * 8 / 3600 + low[5] + TABLE["a"][1:3] + round(gap, 3)


@paper.claim("c")
def figure(lab):
    size = 33
    source = f"of {7} rows"
    lab.scenario(isl=512, osl=[64, 32])
    x = lab.data("size", size) + lab.assume("rate", RATE, low=10.5, high=20.5, source="x")
    return lab.cached(("k", 11), lambda: 13 * x) if x == 6 else 14


@paper.draws
def plot(lab):
    return 55
'''


def owners(folder: Path, role: str, **options: Any) -> dict[str, list[Any]]:
    path = folder / "code.py"
    path.write_text(CODE)
    found: dict[str, list[Any]] = {}
    for x in literals([path], **options):
        if x.role == role and x.is_number:
            found.setdefault(x.owner, []).append(x.value)
    return found


def test_what_numbers_stand_for(tmp_path: Path) -> None:
    assert owners(tmp_path, "") == {
        "TABLE": [3, 98, 0.25, 4], "WIDE": [12], "Growth.noise": [1.7], "policy.gap": [0.05], "policy.most": [7],
        "policy.days": [42.0], "figure.source": [7], "figure": [6, 13, 14],
    }  # fmt: skip
    assert owners(tmp_path, "handed over") == {
        "RATE": [19.5], "figure.size": [33], "figure": [11], "figure.x": [10.5, 20.5],
    }  # fmt: skip
    assert owners(tmp_path, "set-up") == {"figure": [512, 64, 32]}
    assert owners(tmp_path, "setting") == {"Kept.bits": [4]}
    assert owners(tmp_path, "structure") == {"HALF": [0.5], "Growth.pages": [1024], "policy": [100, 8, 3600]}
    assert owners(tmp_path, "index") == {"policy": [5, 1, 3]}
    assert owners(tmp_path, "digits") == {"policy": [3]}
    assert owners(tmp_path, "plot") == {"plot": [55]}


def test_constants_are_found_by_name(tmp_path: Path) -> None:
    named = ("TABLE", "Growth.noise", "policy")
    found = {n: len(owners(tmp_path, f"named: {n}", named=named)) for n in named}
    assert found == {"TABLE": 1, "Growth.noise": 1, "policy": 4}
    assert "policy.gap" in owners(tmp_path, "named: policy", named=named)
    assert owners(tmp_path, "stated", allowed=[98.0, 13.0]) == {"TABLE": [98], "figure": [13]}


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("a, b, c = 3, 40, 3.0\n")
    numbers = literals([path])
    assert list(scaled(numbers, 1.07).values()) == [4, 43, pytest.approx(3.21)]
    assert list(scaled(numbers, 1 / 1.07).values()) == [2, 37, pytest.approx(3 / 1.07)]


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ([{"name": "A"}], "needs its source"),
        ([{"source": "x"}], "has a name"),
        ([{"name": "A", "source": "x", "value": "3"}], "'3' is not a number"),
        ([{"name": "A", "source": "x", "valu": 3}], "Did you mean value"),
        ([{"name": "A", "source": "x"}, {"name": "A", "source": "y"}], "two constants are called 'A'"),
        ({"A": 3}, "constants is a list"),
    ],
)
def test_constants_that_cannot_be_read(tmp_path: Path, constants: Any, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"constants": constants}))
    with pytest.raises(InputError, match=said):
        read_facts(path)


def test_a_constant_is_what_the_code_says(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("RATE = 19.5\n")
    (tmp_path / "code.yaml").write_text(
        yaml.safe_dump({"title": "t", "constants": [{"name": "RATE", "value": 19.0, "source": "x"}]})
    )
    found = Code(Paper.beside(tmp_path / "code.py")).misstated({})
    assert found == "KEY.yaml says that RATE is 19, the code 19.5"

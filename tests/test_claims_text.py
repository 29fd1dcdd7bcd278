"""Claims of papers on screens of any width, and as the records that others rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rooflab.cli.main import run
from rooflab.evidence.claims.row import Row
from rooflab.report.text.claims import show_claims
from rooflab.report.text.columns import Column, Line, show_columns

LONG = "a claim of many words that no narrow screen can hold beside its figures, wherever they may stand"


def row(claim: str, **changed: object) -> Row:
    fields: dict[str, object] = {
        "paper": "one", "seed": 1, "claim": claim, "role": "detail", "group": claim, "text": LONG, "expected": 1.8,
        "unit": "x", "first": 1.7061, "revised": 0, "got": 1.7061, "error": -0.052, "tolerance": 0.15,
        "status": "reproduced", "kind": "executed", "audited": True, "source": "table 1", "reason": "",
    }  # fmt: skip
    return Row(**(fields | changed))


ASSUMED = {"name": "share of rows", "value": 0.5, "low": 0.1, "high": 1.0, "source": "nobody says"}
ROWS = [
    row("plain"),
    row("long-name-of-a-claim-as-some-have", role="headline", expected={"at least": 60.0}, unit="% of provisioned"),
    row("range", status="failing", expected=[59.0, 72.0], got=[32.77, 71.8], unit="percent", reason="the gap. " * 12),
    row("turns", status="depends", assumptions=(ASSUMED,), flips=("share of rows",), reason="the verdict turns"),
    row("seconds", expected=16.0, got=0.0131, first=13.2, unit="s", revised=2),
    row("left", status="not-modelled", first=None, got=None, error=None, tolerance=None, kind="", reason="why not"),
    row("other", paper="two", expected=16384, unit="tokens", got=16384.0, first=16384.0, error=0.0),
]


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, rows: list[Row]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    show_claims(rows)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_claim_is_a_line_on_every_screen(capsys, monkeypatch, width: int) -> None:
    out = shown(capsys, monkeypatch, width, ROWS)
    assert max(map(len, out.splitlines())) <= width
    lines = [line.split() for line in out.splitlines()]
    for r in ROWS:
        first = next(words for words in lines if words and words[0][:5] == r.claim[:5])
        assert r.role in first
        assert r.status in first
        assert "…" not in first[0]


def test_what_fails_or_turns_is_explained_beneath(capsys, monkeypatch) -> None:
    out = shown(capsys, monkeypatch, 80, ROWS)
    text = " ".join(out.split())
    assert text.count(LONG) == 2
    assert "the gap. the gap." in text
    assert "turned by an end of: share of rows 0.5 (0.1 to 1)" in text
    assert "why not" not in text
    assert "two 1 of 1 reproduced" in text


def test_no_digits_are_shown_that_were_not_published(capsys, monkeypatch) -> None:
    lines = shown(capsys, monkeypatch, 160, ROWS).splitlines()
    said = {line.split()[0]: line for line in lines if line.strip()}
    assert "1.8 x 1.706 1.706 -5.2 %" in " ".join(said["plain"].split())
    assert "16,384 tokens 16,384 16,384 +0.0 %" in " ".join(said["other"].split())
    assert "16 s 13.20 s" in " ".join(said["seconds"].split())
    assert "13.10 ms" in said["seconds"]
    assert "2 x" in said["seconds"]
    assert "59 – 72 percent" in said["range"]
    assert "≥ 60 % of provisioned" in said["long-name-of-a-claim-as-some-have"]


def test_what_is_too_long_for_its_column_stands_beneath(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    columns = (
        Column(name="a"),
        Column(name="b", right=True, least=6),
        Column(name="c", least=4, cut=True, needed=False),
    )
    show_columns(columns, [Line(("x" * 12, "1234567890", "not shown"), below=("more words",))])
    out = capsys.readouterr().out
    assert out.splitlines() == ["a                      b", "xxxxxxxxxxxx  1234567890", "    more words"]
    monkeypatch.setenv("COLUMNS", "20")
    show_columns(columns, [Line(("x" * 12, "1234567890", ""))])
    assert capsys.readouterr().out.splitlines()[1:] == ["xxxxxxxxxxxx       ↓", "    b: 1234567890"]
    show_columns(columns, [])
    assert capsys.readouterr().out == ""


@pytest.fixture
def cli(shelf: Path, capsys: pytest.CaptureFixture[str]):
    def call(*words: str) -> tuple[int, str]:
        status = run(["papers", *words])
        return status, capsys.readouterr().out

    return call


def test_records_have_the_fields_that_others_rely_on(cli) -> None:
    fields = {
        "paper", "seed", "claim", "role", "group", "expected", "unit", "first", "got", "error", "tolerance", "status",
        "kind", "assumptions", "audited",
    }  # fmt: skip
    share, speed = json.loads(cli("check", "cellular", "--json")[1])
    for record in (share, speed):
        assert fields <= set(record)
    assert (share["claim"], share["role"], share["group"], share["kind"]) == ("share", "headline", "share", "derived")
    # no ledger knows the paper: there is no first value
    assert (share["expected"], share["unit"], share["first"], share["got"]) == (0.5, "of all", None, 0.5)
    assert (share["error"], share["tolerance"]) == (0.0, 0.15)
    assert share["assumptions"] == [ASSUMED]
    assert share["flips"] == ["share of rows"]
    assert (speed["status"], speed["got"], speed["assumptions"], speed["flips"]) == ("not-modelled", None, [], [])


def test_a_paper_is_shown_with_what_can_be_set(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        status, out = cli("show", "cellular")
        assert status == 0
        assert max(map(len, out.splitlines())) <= width
        for said in ("sums, method on vectors", "small, technique on a scenario", "whole number, at least 0"):
            assert said in out
    (method,) = json.loads(cli("show", "cellular", "--json")[1])["methods"]
    assert method["parameters"]["draws"] == {"name": "draws", "allowed": "true or false", "usual": "true"}

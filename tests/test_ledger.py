"""The ledger of claims: the first value of each, every later change with its reason, and nothing taken out."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from rooflab.errors import InputError
from rooflab.evidence.claims.ledger import HEAD, NAME, Entry, History, Ledger, changed, moved
from rooflab.evidence.claims.record import record
from rooflab.papers.registry import keys, paper

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "src" / "rooflab" / "library" / NAME


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger(LEDGER)


def test_every_claim_has_a_first_value(ledger: Ledger) -> None:
    known = {(key, c.id) for key in keys() for c in paper(key).claims}
    first = {(e.paper, e.claim) for e in ledger.entries if e.event == "first"}
    assert not known - first, "rooflab papers check KEY --record 'before anything was tuned'"
    for key, id in known:
        entries = ledger.history(key, id).entries
        assert [e.event for e in entries].index("first") == 0
        assert [e.event for e in entries].count("first") == 1
        assert all(e.reason for e in entries)
        assert [e.date for e in entries] == sorted(e.date for e in entries)


@pytest.mark.parametrize("key", keys())
def test_present_values_are_those_last_written_down(key: str, ledger: Ledger, checked) -> None:
    for row in checked(key):
        if row.got is None or row.tolerance is None:
            continue
        last = ledger.history(key, row.claim).entries[-1]
        what = changed(last, row.got, row.expected, row.tolerance)
        assert what is None, (
            f"{key}.{row.claim}: its {what} is no longer that of the ledger ({last.value} -> {row.got}); "
            f"rooflab papers check {key} --record 'why' [--event setup] [--independent SOURCE]"
        )


def test_the_ledger_is_only_added_to() -> None:
    """Through all history: a ledger whose lines were chained anew, or whose last was cut, reads without complaint."""
    name, now = LEDGER.relative_to(ROOT).as_posix(), LEDGER.read_bytes()
    log = subprocess.run(["git", "log", "--format=%H", "--", name], cwd=ROOT, capture_output=True, check=False)
    commits = log.stdout.decode().split()
    if not commits:
        pytest.skip("no git, or no ledger in it yet")
    asked = "".join(f"{commit}:{name}\n" for commit in commits).encode()
    held = subprocess.run(["git", "cat-file", "--batch"], cwd=ROOT, input=asked, capture_output=True, check=True).stdout
    for commit in commits:
        header, _, held = held.partition(b"\n")
        size = int(header.split()[-1])
        assert now.startswith(held[:size]), f"the ledger of {commit[:9]} is not the beginning of the present one"
        held = held[size + 1 :]


ENTRY = Entry(
    date="2026-01-01", version="1", paper="p", claim="c", event="first", value=1.0, expected=2.0, tolerance=0.15
)


def test_lines_follow_from_each_other(tmp_path: Path) -> None:
    path = tmp_path / NAME
    made = Ledger(path)
    made.append([ENTRY, replace(ENTRY, event="setup", value=2.0, reason="why")])
    made.append([replace(ENTRY, claim="d")])
    lines = path.read_text().splitlines()
    assert [e.value for e in Ledger(path).history("p", "c").entries] == [1.0, 2.0]
    for damaged in (
        [lines[0].replace("1.0", "1.9"), *lines[1:]], lines[1:], [lines[0], lines[2]], [lines[1], lines[0], lines[2]],
    ):  # fmt: skip
        path.write_text("".join(f"{line}\n" for line in damaged))
        with pytest.raises(InputError, match="only added to"):
            Ledger(path)
    path.write_text(lines[0] + "\n{}\n")
    with pytest.raises(InputError, match=rf"{NAME}:2: is no entry"):
        Ledger(path)


def test_the_last_line_is_held_beside(tmp_path: Path) -> None:
    """Nothing follows on it: one that was changed, cut off or added by hand, and a head that is gone, are noticed."""
    path, head = tmp_path / NAME, tmp_path / HEAD
    made = Ledger(path)
    made.append([ENTRY])
    made.append([replace(ENTRY, claim="d")])
    text, held = path.read_text(), head.read_text()
    lines = text.splitlines()
    by_hand = {**json.loads(lines[0]), "claim": "e", "before": held.split()[1]}
    for damaged in (
        [lines[0], lines[1].replace("1.0", "1.9")], lines[:1], [], [*lines, json.dumps(by_hand)],
    ):  # fmt: skip
        path.write_text("".join(f"{line}\n" for line in damaged))
        with pytest.raises(InputError, match="written last"):
            Ledger(path)
    path.write_text(text)
    assert len(Ledger(path).entries) == 2
    head.unlink()
    with pytest.raises(InputError, match="says nothing"):
        Ledger(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event": "bogus"}, "no event"),
        ({"event": "first"}, "first value already"),
        ({"reason": " "}, "without a reason"),
        ({"date": "1999-01-01"}, "before its last entry"),
        ({"value": "many"}, "no entry of a ledger"),
        ({"claim": "another"}, "no first value before"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """Also where its lines follow from each other."""
    lines: list[str] = []
    changed_to: dict[str, Any] = {"event": "value", "reason": "why"} | changes
    for entry in (ENTRY, replace(ENTRY, **changed_to)):
        before = hashlib.sha256(lines[-1].encode()).hexdigest()[:16] if lines else ""
        lines.append(json.dumps(asdict(entry) | {"before": before}))
    (tmp_path / NAME).write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(InputError, match=said):
        Ledger(tmp_path / NAME)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (1.0, 1.019, False), (1.0, 1.03, True), ([1.0, 2.0], [1.0, 2.1], True), ([1.0], [1.0, 1.0], True),
        ({"a": 1.0}, {"a": 1.0}, False), (0.0, 0.0, False), (0.0, 1e-9, True), (1.5, [1.5, 1.6], True),
    ],
)  # fmt: skip
def test_what_counts_as_moved(then: object, now: object, said: bool) -> None:
    assert moved(then, now) == said


def test_a_verdict_that_was_turned_needs_an_independent_source() -> None:
    def selected(*steps: tuple[float, str]) -> bool:
        entries = [replace(ENTRY, value=v, event="setup", independent=source) for v, source in steps]
        return History((replace(ENTRY, value=1.0), *entries)).selected(lambda v: abs(v - 2.0) < 0.3)

    assert selected((2.0, ""))
    assert not selected((2.0, "a datasheet"))
    assert not selected((1.2, ""), (2.0, "a datasheet"))
    assert selected((2.0, "a datasheet"), (1.0, ""), (2.0, ""))
    assert selected((1.2, "")), "it holds now, and nothing that was written down made it"
    withdrawn = replace(ENTRY, value=2.0, event="withdrawn", reason="it is the claim's own figure")
    turned = (replace(ENTRY, value=1.0), replace(ENTRY, value=2.0, event="setup", independent="a datasheet"))
    assert History(turned).justified
    assert not History((*turned, withdrawn)).justified
    assert History((*turned, withdrawn)).selected(lambda v: abs(v - 2.0) < 0.3)
    assert History((*turned, withdrawn)).revisions == 1
    held = History((replace(ENTRY, value=2.0), replace(ENTRY, value=2.1, event="setup")))
    assert not held.selected(lambda v: abs(v - 2.0) < 0.3)


def test_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked) -> None:
    rows = checked("kinetics")
    p = replace(paper("kinetics"), file=tmp_path / "kinetics.py")
    monkeypatch.setattr("rooflab.evidence.claims.record.paper", lambda key: p)
    first = record(rows, reason="", version="1")
    assert {e.event for e in first} == {"first"}
    assert record(rows, reason="", version="1") == []
    moved_on = [replace(r, got=2 * r.got) if r.claim == "39-low" else r for r in rows]
    with pytest.raises(InputError, match="say why"):
        record(moved_on, reason=" ", version="1")
    with pytest.raises(InputError, match="Did you mean setup"):
        record(moved_on, reason="so", version="1", event="set-up")
    with pytest.raises(InputError, match="one first value"):
        record(moved_on, reason="so", version="1", event="first")
    (entry,) = record(moved_on, reason="another", version="2", event="setup", independent="a datasheet")
    assert (entry.event, entry.value, entry.independent) == ("setup", 2 * rows[0].got, "a datasheet")
    (other,) = record(
        [replace(r, tolerance=0.1) if r.claim == "39-3x" else r for r in moved_on], reason="x", version="3"
    )
    assert other.event == "tolerance"
    with pytest.raises(InputError, match="no source that could be withdrawn"):
        record(moved_on, reason="so", version="3", event="withdrawn", claims=["39-3x"])
    with pytest.raises(InputError, match="no claim called"):
        record(moved_on, reason="so", version="3", event="withdrawn", claims=["39-lo"])
    (back,) = record(moved_on, reason="of this paper", version="3", event="withdrawn", claims=["39-low"])
    assert (back.event, back.value) == ("withdrawn", entry.value)
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    assert len(lines) == len(first) + 3

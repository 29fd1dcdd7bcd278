"""Rows of papers kept by content: when they are taken, when they are not, and files that are damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rooflab.api import engines
from rooflab.evidence.claims.check import check
from rooflab.evidence.claims.kept import Kept
from rooflab.evidence.claims.reach import digest
from rooflab.evidence.claims.row import Row
from rooflab.papers.reach import own_files
from rooflab.papers.registry import module_of

PAPER = "llm_viewer"


@pytest.fixture(scope="module")
def rows(checked) -> list[Row]:
    return checked(PAPER)


def test_kept_rows_are_the_rows(tmp_path: Path, rows: list[Row]) -> None:
    kept = Kept(tmp_path / "not" / "yet" / "there")
    assert kept.get(PAPER) is None
    kept.put(PAPER, rows)
    assert repr(kept.get(PAPER)) == repr(rows)
    assert kept.seconds(PAPER) == sum(r.seconds for r in rows)
    assert kept.get("kinetics") is None
    assert kept.seconds("kinetics") == float("inf")


def test_ranges_and_unknown_figures_survive(tmp_path: Path, rows: list[Row]) -> None:
    from dataclasses import replace

    odd = [replace(rows[0], expected=[0.1, 1 / 3], got=None, error=None), replace(rows[0], expected=None, moved_by=())]
    Kept(tmp_path).put(PAPER, odd)
    assert Kept(tmp_path).get(PAPER) == odd


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"rows": 3, "sum": ""}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, rows: list[Row], damage: bytes) -> None:
    kept = Kept(tmp_path)
    kept.put(PAPER, rows)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert kept.get(PAPER) is None
    assert kept.seconds(PAPER) == float("inf")
    kept.put(PAPER, rows)
    assert kept.get(PAPER) == rows


def test_a_figure_changed_by_hand_is_not_believed(tmp_path: Path, rows: list[Row]) -> None:
    kept = Kept(tmp_path)
    kept.put(PAPER, rows)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"failing"', '"reproduced"').replace('"audited": true', '"audited": 1'))
    assert kept.get(PAPER) is None


def test_a_folder_that_cannot_be_made_is_not_missed(tmp_path: Path, rows: list[Row]) -> None:
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / "file" / "claims")
    kept.put(PAPER, rows)
    assert kept.get(PAPER) is None


def test_states_of_long_ago_are_forgotten(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        monkeypatch.setattr("rooflab.evidence.claims.kept.digest", lambda paper, i=i: f"{i:064x}"[::-1])
        Kept(tmp_path).put(PAPER, rows)
        Kept(tmp_path).put("other", rows)
    assert len(list(tmp_path.glob(f"{PAPER}-*"))) == len(list(tmp_path.glob("other-*"))) == 8


def test_the_cache_is_where_users_keep_theirs(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROOFLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Kept().put(PAPER, rows)
    assert [p.parent for p in tmp_path.rglob("*.json")] == [tmp_path / "rooflab" / "claims"]


def test_a_check_computes_once(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, bool]] = []
    computed: list[str] = []
    monkeypatch.setattr(
        "rooflab.evidence.claims.check.check_paper", lambda name, *_, **__: computed.append(name) or rows
    )
    first, again = (
        check([PAPER], engines=engines(), kept=Kept(tmp_path), each=lambda name, rows, kept: told.append((name, kept)))
        for _ in range(2)
    )
    assert (told, computed) == ([(PAPER, False), (PAPER, True)], [PAPER])
    assert repr(again) == repr(first)
    monkeypatch.setattr("rooflab.evidence.claims.kept.digest", lambda paper: "0" * 64)
    check([PAPER], engines=engines(), kept=Kept(tmp_path), each=lambda name, rows, kept: told.append((name, kept)))
    assert told[-1] == (PAPER, False)
    assert computed == [PAPER, PAPER]


def test_one_process_says_what_several_say(tmp_path: Path) -> None:
    def plain(found: list[Row]) -> list[dict[str, object]]:
        return [{k: v for k, v in r.record().items() if k != "seconds"} for r in found]

    names = [PAPER, "kinetics"]
    assert plain(check(names, engines=engines(), workers=2)) == plain(check(names, engines=engines(), workers=1))


def test_a_paper_is_its_module_its_own_modules_and_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {p.name for p in own_files(module_of("ets"))} >= {"paper.py", "trees.py"}
    package = tmp_path / "their_papers"
    (package / "tables").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "_shared.py").write_text("import numpy\n")
    (package / "first.py").write_text("from rooflab.papers import Lab\nfrom . import _shared\n")
    (package / "first.yaml").write_text("claims: []\n")
    (package / "second.py").write_text("import json\n")
    (package / "tables" / "paper.py").write_text("from their_papers.first import Lab\n")
    (package / "tables" / "rows.csv").write_text("1,2\n")
    (tmp_path / "alone.py").write_text("import beside\nimport numpy.typing\n")
    (tmp_path / "beside.py").write_text("raise SystemExit('is not imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def names(module: str) -> list[str]:
        return sorted(str(p.relative_to(tmp_path)) for p in own_files(module))

    first = ("__init__.py", "_shared.py", "first.py", "first.yaml")
    assert names("their_papers.first") == [f"their_papers/{n}" for n in first]
    assert names("their_papers.second") == ["their_papers/second.py"]
    assert "their_papers/tables/rows.csv" in names("their_papers.tables.paper")
    assert "their_papers/_shared.py" in names("their_papers.tables.paper")
    assert names("alone") == ["alone.py", "beside.py"]


def test_a_digest_follows_the_papers_own_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "other"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("rooflab.papers.reach.module_of", lambda paper: paper)
    seen = {digest("mine")}
    (tmp_path / "other.py").write_text("X = 2\n")
    assert {digest("mine")} == seen
    for path, text in (("mine.py", "X = 2\n"), ("mine.yaml", "x: 1\n"), ("mine.yaml", "x: 2\n")):
        (tmp_path / path).write_text(text)
        assert digest("mine") not in seen
        seen.add(digest("mine"))


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")
def test_an_interruption_is_quiet_and_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rooflab", "papers", "check", PAPER, "flover", "polca", "--workers", "2"]
    process = subprocess.Popen(
        command, env={**os.environ, "ROOFLAB_CACHE": str(tmp_path)}, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(tmp_path.rglob(f"{PAPER}-*.json")) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted")
    assert time.monotonic() - started < 5
    assert [p.name.partition("-")[0] for p in tmp_path.rglob("*.json")] == [PAPER]

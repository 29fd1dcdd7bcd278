"""Two hundred papers of other packages: listing and searching import none of them, and are quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from many_papers import COUNT, NAMES, install

ROOT = Path(__file__).parents[1]
RUN = """
import json, os, sys
from rooflab.cli.main import run
status = run(["papers", *sys.argv[1:]])
used = os.times()
papers = [m for m in sys.modules if "many_" in m]
heavy = [m for m in ("numba", "scipy", "rooflab.simulator", "rooflab.library.serving.ets") if m in sys.modules]
said = {"status": status, "papers": papers, "heavy": heavy, "cpu_s": used.user + used.system}
print(json.dumps(said), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    install(folder / "site")
    return folder


def papers(shelf: Path, *words: str) -> tuple[str, dict[str, object]]:
    """What a command prints, and what it imported and used, in a process of its own."""
    path = os.pathsep.join([str(ROOT / "src"), str(shelf / "site")])
    env = os.environ | {"PYTHONPATH": path, "ROOFLAB_CACHE": str(shelf / "cache")}
    done = subprocess.run([sys.executable, "-c", RUN, *words], env=env, capture_output=True, text=True, check=True)
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


def test_listing_imports_no_paper_and_is_quick(shelf: Path) -> None:
    out, first = papers(shelf, "list", "--json")
    listed = {e["key"]: e for e in json.loads(out)}
    assert len(listed) >= COUNT + 94
    assert listed[NAMES[3]]["title"] == "Paper 303 of many: caches that hold more"
    assert listed[NAMES[3]]["status"] == "runnable"
    assert first["papers"] == []
    again, second = papers(shelf, "list", "--json")
    assert again == out, "taken from the index"
    assert second["papers"] == second["heavy"] == []
    assert second["cpu_s"] < 1.0, "0.3 s on an idle core"


def test_searching_imports_no_paper_and_is_quick(shelf: Path) -> None:
    papers(shelf, "list")
    out, used = papers(shelf, "search", "paper", "317", "-n", "3", "--json")
    assert json.loads(out)[0]["key"] == NAMES[17]
    assert used["papers"] == used["heavy"] == []
    assert used["cpu_s"] < 1.0


def test_the_index_follows_the_files(shelf: Path) -> None:
    facts = shelf / "site" / f"{NAMES[0]}.yaml"
    before = facts.read_text()
    papers(shelf, "list")
    facts.write_text(before.replace("Paper 300 of many", "Another title"))
    try:
        listed = {e["key"]: e for e in json.loads(papers(shelf, "list", "--json")[0])}
        assert listed[NAMES[0]]["title"].startswith("Another title")
    finally:
        facts.write_text(before)


def test_a_damaged_index_is_made_again(shelf: Path) -> None:
    out = papers(shelf, "list", "--json")[0]
    for path in (shelf / "cache").rglob("*.json"):
        path.write_text('{"value": {"x": 3}, "sum": ""}')
    assert papers(shelf, "list", "--json")[0] == out


@pytest.mark.parametrize(
    ("file", "text"), [("yaml", "title: [a"), ("yaml", "titel: x"), ("yaml", "name: x"), ("py", "import none")]
)
def test_one_paper_that_cannot_be_read_is_not_the_end_of_a_listing(tmp_path: Path, file: str, text: str) -> None:
    install(tmp_path / "site", 3)
    if file == "py":
        (tmp_path / "site" / f"{NAMES[0]}.yaml").unlink()
    (tmp_path / "site" / f"{NAMES[0]}.{file}").write_text(text)
    listed = {e["key"]: e for e in json.loads(papers(tmp_path, "list", "--json")[0])}
    assert listed[NAMES[0]]["title"].startswith("cannot be read: ")
    assert listed[NAMES[0]]["status"] == "not runnable yet"
    assert listed[NAMES[2]]["status"] == "runnable"


def test_a_day_without_quotes_is_a_day(tmp_path: Path) -> None:
    install(tmp_path / "site", 1)
    (tmp_path / "site" / f"{NAMES[0]}.yaml").write_text("title: x\ndate: 2026-01-31\nsaves: [memory]\nkind: serving\n")
    listed = {e["key"]: e for e in json.loads(papers(tmp_path, "list", "--json")[0])}
    assert listed[NAMES[0]]["date"] == "2026-01-31"


def test_a_technique_costs_the_import_of_its_own_paper(shelf: Path) -> None:
    """Also one that is not called as its paper."""
    code = (
        "import sys; from rooflab.papers.registry import techniques; assert techniques()['weight_bits']; "
        "assert not [m for m in sys.modules if m.startswith('many_')], 'imports papers that do not spell its name'"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(shelf / "site")])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ | {"PYTHONPATH": path})

"""The docs are true: reference pages match the code, commands and code in them run, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from rooflab.cli.main import COMMANDS, run
from rooflab.cli.reference import pages, stale
from rooflab.inputs.kinds import KINDS
from rooflab.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = re.compile(r"<!-- run(?:: (\d))? -->\n```sh\n(.*?)\n```", re.DOTALL)
PYTHON = re.compile(r"<!-- python -->\n```python\n(.*?)\n```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """Exit status and command line of every marked line of a page, in order."""
    for status, block in SHELL.findall(page.read_text("utf-8")):
        for line in block.splitlines():
            yield int(status or 0), line


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples in it, which commands may write into."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reference_is_what_the_code_says() -> None:
    assert stale(ROOT / "docs" / "reference") == [], "run python -m rooflab.cli.reference"


def test_every_command_and_metric_is_in_the_reference() -> None:
    found = pages()
    for command in COMMANDS:
        assert f"## `rooflab {command}`" in found["commands.md"]
    for metric in METRICS:
        assert f"`{metric}`" in found["metrics.md"]
    for kind in KINDS:
        assert f"## {kind}\n" in found["inputs.md"]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if SHELL.search(page.read_text("utf-8"))], ids=lambda p: p.name
)
def test_commands_in_the_docs_run(page: Path, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of one page share a folder: a later one may read what an earlier one wrote."""
    for status, line in commands(page):
        words = shlex.split(line)
        assert words[0] == "rooflab", line
        assert run(words[1:]) == status, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("code", [code for page in PAGES for code in PYTHON.findall(page.read_text("utf-8"))])
def test_python_in_the_docs_runs(code: str, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "docs", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_setup_is_two_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"<!-- setup: \d -->\n```sh\n(.*?)\n```", readme, re.DOTALL)
    assert len(commands) == 2
    assert commands[0].endswith("rooflab plan examples/chat-70b.yaml")
    assert "pytest" in commands[1]

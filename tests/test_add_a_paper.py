"""docs/how-to/add-a-paper.md, followed to the letter: a paper from another package is listed, checked, tested and
used."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "how-to" / "add-a-paper.md"


class Shell:
    """Runs the guide's commands in a folder; `pip install -e` writes the metadata that pip would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "ROOFLAB_CACHE": str(folder / "cache")}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line)
        if words[:3] == ["pip", "install", "-e"]:
            return self._install(words[3])
        program = {"rooflab": ["-m", "rooflab"], "pytest": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}[words[0]]
        return subprocess.run(
            [sys.executable, *program, *words[1:]],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def _install(self, name: str) -> subprocess.CompletedProcess[str]:
        import tomllib

        root = self.folder / name
        project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
        info = root / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        points = "\n".join(f"{key} = {value}" for key, value in project["entry-points"]["rooflab.papers"].items())
        (info / "entry_points.txt").write_text(f"[rooflab.papers]\n{points}\n")
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        return subprocess.CompletedProcess([], 0, "", "")


def _commands(text: str) -> list[str]:
    return [line[2:] for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, dict[str, subprocess.CompletedProcess[str]]]:
    text = GUIDE.read_text(encoding="utf-8")
    shell = Shell(tmp_path_factory.mktemp("guide"))
    done = {}
    first, *rest = _commands(text)
    done[first] = shell.run(first)
    package = shell.folder / "rooflab-kivi" / "rooflab_kivi"
    for language, name in (("python", "kivi.py"), ("yaml", "kivi.yaml")):
        (content,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        (package / name).write_text(content)
    for line in rest:
        done[line] = shell.run(line)
    return shell, done


def test_every_command_of_the_guide_succeeds(followed) -> None:
    _, done = followed
    assert len(done) == 7
    for line, result in done.items():
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"


def test_the_paper_is_listed_and_checked(followed) -> None:
    shell, _ = followed
    listed = {e["key"]: e for e in json.loads(shell.run("rooflab papers list --json").stdout)}
    assert listed["kivi"]["status"] == "runnable"
    assert listed["kivi"]["seed"] == 0
    assert len(listed) == 95
    rows = json.loads(shell.run("rooflab papers check kivi --json").stdout)
    assert [(r["claim"], r["status"], r["audited"]) for r in rows] == [
        ("batch", "reproduced", True), ("memory", "not-modelled", False), ("throughput", "not-modelled", False),
    ]  # fmt: skip
    assert rows[0]["got"] > 4


def test_it_refuses_politely_and_takes_settings(followed) -> None:
    shell, _ = followed
    scenario = "--model meta-llama/Llama-3.1-8B --hardware l40s --isl 4096 --osl 512 --concurrency 8"
    again = shell.run(f"rooflab papers run kivi {scenario} --kv fp8")
    assert again.returncode == 1
    assert again.stderr.strip() == "the cache is in fp8 already"
    wrong = shell.run(f"rooflab papers run kivi {scenario} --set bit=2")
    assert wrong.returncode == 2
    assert "Did you mean bits?" in wrong.stderr
    chosen = json.loads(shell.run(f"rooflab papers run kivi {scenario} --set bits=4 --json").stdout)
    assert chosen[0]["parameters"] == {"bits": 4}
    assert chosen[0]["quality"]["status"] == "unknown"


@pytest.mark.parametrize("kind", ["scenario", "vectors"])
def test_the_scaffold_is_a_working_paper_before_anything_is_changed(tmp_path: Path, kind: str) -> None:
    shell = Shell(tmp_path)
    for line in (
        f"rooflab papers new my_paper --kind {kind}",
        "pip install -e rooflab-my-paper",
        "pytest rooflab-my-paper/test_my_paper.py",
    ):
        result = shell.run(line)
        assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads(shell.run("rooflab papers check my_paper --json").stdout)
    assert rows[0]["audited"], rows[0]["reason"]
    other = shell.run("rooflab papers new your_paper --kind vector")
    assert other.returncode == 2
    assert "Did you mean vectors?" in other.stderr
    taken = shell.run("rooflab papers new my_paper")
    assert taken.returncode == 2
    assert "already" in taken.stderr

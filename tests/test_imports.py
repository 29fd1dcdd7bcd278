"""Imports are late: what is cheap to ask must not pay for what is not needed, and rooms import only downwards."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from rooflab.errors import InputError
from rooflab.extras import REQUIREMENTS, needed

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("numpy", "numba", "rich", "yaml", "scipy", "pyarrow", "pandas", "jinja2")


def imported(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` has run in a process of its own."""
    ask = f"{code}\nimport sys; print('|'.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split("|"))


@pytest.mark.parametrize(
    "code",
    [
        "import rooflab",
        "import rooflab; rooflab.InputError; dir(rooflab)",
        "import rooflab.cli.main as m; m.run(['--help'])",
        "import rooflab.cli.main as m; m.run(['--version'])",
        "import rooflab.cli.main as m; m.run(['plan', '--help'])",
        "import rooflab.cli.main as m; m.run(['estimate', '--help'])",
        "import rooflab.cli.main as m; m.run(['catalogue', '--help'])",
    ],
)
def test_light_things_import_nothing_heavy(code: str) -> None:
    assert not imported(code) & set(HEAVY)


@pytest.mark.parametrize(
    "code", ["import rooflab.scenario.scenario", "import rooflab.catalogue.models, rooflab.catalogue.hardware"]
)
def test_reading_needs_no_arrays(code: str) -> None:
    assert not imported(code) & {"numpy", "numba", "rich"}


def test_closed_form_does_not_start_the_compiler() -> None:
    plan = "rooflab.plan('examples/chat-70b.yaml', top=1, prove=False)"
    code = f"import rooflab; {plan}; rooflab.estimate('examples/vit.yaml')"
    assert "numba" not in imported(code)


def test_import_and_help_are_fast() -> None:
    def best(*arguments: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return min(times)

    bare = best("-c", "pass")
    assert best("-c", "import rooflab") - bare < 0.15
    assert best("-m", "rooflab", "--help") < 0.3 + bare


def test_rooms_import_only_downwards() -> None:
    pytest.importorskip("importlinter")
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True) == 0


def test_missing_libraries_are_named_with_the_versions_of_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = {requirement for group in project["optional-dependencies"].values() for requirement in group}
    assert set(REQUIREMENTS.values()) <= optional
    hint = "ets: solving needs scipy: pip install 'scipy>="
    with pytest.raises(InputError, match=hint), needed("scipy", "solving", "ets"):
        raise ImportError

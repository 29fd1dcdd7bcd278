"""Settings that all tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from shelf import install

from rooflab import api
from rooflab.catalogue.hardware import hardware
from rooflab.evidence.claims.check import check
from rooflab.evidence.claims.kept import Kept
from rooflab.evidence.claims.row import Row
from rooflab.papers import registry
from rooflab.scenario.hardware import Hardware

# a suite that a shell started in the background ignores interrupts, and so would the processes that it interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)

# random runs use every feature sooner or later: one loop with all of them is compiled
os.environ.setdefault("ROOFLAB_WHOLE_SIMULATOR", "1")

settings.register_profile(
    "rooflab",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
settings.load_profile("rooflab")


@pytest.fixture
def hardware_of() -> Hardware:
    """Eight H100s on one board."""
    return hardware("8 x h100-sxm")


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Row]]:
    """Rows of a paper's check; each paper is checked once in a session, whichever process of it asks first."""
    root = tmp_path_factory.getbasetemp()
    kept = Kept((root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "checked")
    return lambda key: check([key], engines=api.engines(), kept=kept)


@pytest.fixture
def shared() -> Path:
    """The folder of shared data beside the checkout; tests that want it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "truth").is_dir():
        pytest.skip("no shared data beside this checkout")
    return folder


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installed package with a paper, `cellular` (shelf.py), beside a cache folder of its own."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("ROOFLAB_CACHE", str(tmp_path / "cache"))
    registry.refresh()
    yield tmp_path / "site"
    sys.modules.pop("cellular", None)
    registry.refresh()

"""Papers of another package: found by their entry point, held to the same contract, with a ledger of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rooflab import api
from rooflab.evidence.claims.check import check
from rooflab.evidence.claims.kept import Kept
from rooflab.evidence.claims.ledger import NAME, Ledger, changed
from rooflab.papers.execute import kind_read
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.registry import keys, module_of, paper, refresh
from rooflab.testing.methods import MethodConformance
from rooflab.testing.papers import PaperConformance
from rooflab.testing.readers import ReaderConformance, undeclared
from rooflab.testing.techniques import TechniqueConformance

OUTSIDE = Path(__file__).parent / "outside"
KEYS = ("sign_bits", "weight_only")


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    sys.path.insert(0, str(OUTSIDE))
    refresh()
    yield
    sys.path.remove(str(OUTSIDE))
    for name in [n for n in sys.modules if n.partition(".")[0] == "outside_papers"]:
        del sys.modules[name]
    refresh()


def held(suite: object) -> None:
    for name in dir(suite):
        if name.startswith("test_"):
            getattr(suite, name)()


def test_they_are_found() -> None:
    assert set(KEYS) <= set(keys())
    assert module_of("sign_bits") == "outside_papers.sign_bits"


@pytest.mark.parametrize("key", KEYS)
def test_they_conform(key: str) -> None:
    suite = PaperConformance()
    suite.paper = paper(key)
    held(suite)


def test_a_method_inherits_its_tests() -> None:
    suite = MethodConformance()
    suite.method = paper("sign_bits").methods["sign_bits"](bits=64)
    held(suite)
    read = kind_read(type(suite.method))
    assert read is not None
    assert read.name == "vectors"


def test_a_technique_inherits_its_tests() -> None:
    suite = TechniqueConformance()
    suite.technique = paper("weight_only").techniques["weight_only"]()
    held(suite)


def test_a_ledger_of_their_own(tmp_path: Path) -> None:
    ledger = Ledger(OUTSIDE / "outside_papers" / NAME)
    for key in KEYS:
        for row in check([key], engines=api.engines(), kept=Kept(tmp_path)):
            if row.got is not None:
                last = ledger.history(key, row.claim).entries[-1]
                assert row.tolerance is not None
                assert changed(last, row.got, row.expected, row.tolerance) is None, row.claim
    (angle,) = (r for r in check(["sign_bits"], engines=api.engines()) if r.claim == "angle")
    assert (angle.status, angle.revised, angle.audited) == ("reproduced", 1, True)
    assert angle.first != angle.got


def test_what_a_reader_runs() -> None:
    p = paper("sign_bits")
    assert list(undeclared(p)) == ["error"]
    suite = ReaderConformance()
    suite.paper = p
    held(suite)


def test_a_reader_who_gets_another_figure_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    p = paper("sign_bits")
    claim = p.find("angle")
    off = type(claim)(**{f: getattr(claim, f) for f in claim.__slots__} | {"function": wrong})
    suite = ReaderConformance()
    suite.paper = Paper(key=p.key, title=p.title, methods=p.methods, claims=[off])
    with pytest.raises(AssertionError, match=r"angle: a reader gets 0\.78\d+, the claim's code 0\.9"):
        suite.test_a_reader_gets_what_the_claim_says()


def wrong(lab: Lab) -> dict[str, float]:
    """What no reader gets."""
    return {"bits": 0.9, "angles": 0.9}


def test_they_run_from_the_command_line(tmp_path: Path) -> None:
    """On a file of the reader's, with a setting."""
    import numpy as np

    rng = np.random.default_rng(5)
    base = rng.standard_normal((300, 12)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", base=base, queries=base[:20], neighbours=np.arange(20)[:, None])
    ran = papers_run("sign_bits", str(tmp_path / "mine.npz"), "--set", "bits=64", "--json")
    (found,) = json.loads(ran.stdout)
    figures = {f["name"]: f["value"] for f in found["figures"]}
    assert figures["bits equal to a neighbour's"] == 1.0
    assert figures["neighbours among ten times as many"] == 1.0
    assert figures["size"] == 8.0
    np.savez(tmp_path / "bare.npz", base=base)
    refused = papers_run("sign_bits", str(tmp_path / "bare.npz"))
    assert refused.returncode == 1
    assert "nothing says what ought to be found" in refused.stdout + refused.stderr


def papers_run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(OUTSIDE), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "rooflab", "papers", "run", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

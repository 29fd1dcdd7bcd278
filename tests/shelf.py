"""A paper of another package, `cellular`: a method on vectors that works through cells, and a technique."""

from __future__ import annotations

from pathlib import Path

PAPER = '''
from pathlib import Path
from rooflab.inputs.vectors import Vectors
from rooflab.papers import Count, Figure, Lab, Method, Outcome, Paper, Technique
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)
LOG = Path(__file__).with_name("log")
STOP = Path(__file__).with_name("stop")


@paper.method
class Sums(Method[Vectors]):
    """Sums of rows in random order."""

    rows: Count = 8
    draws: bool = True
    files: bool = True

    def run(self, lab: Lab, given: Vectors) -> Outcome:
        def one(i: int) -> float:
            with LOG.open("a") as file:
                file.write(f"{i} ")
            if STOP.exists() and STOP.read_text() == str(i):
                raise KeyboardInterrupt
            choice = lab.assume("share of rows", 0.5, low=0.1, high=1.0, source="nobody says")
            drawn = float(lab.rng(f"row {i}").random()) if self.draws else choice
            return drawn + float(given.base[i].sum())

        found = lab.cells("rows", range(self.rows), one, least=2)
        figures = (Figure.mean("mean sum", list(found.values()), over="rows", how="executed", better="higher"),)
        files = {"sums.csv": b"sum\\n1\\n", "more/notes.txt": b"none"} if self.files else {}
        return Outcome(figures, f"{len(found)} rows were summed", files)


@paper.claim("share")
def share(lab: Lab) -> float:
    """The share that was assumed."""
    return lab.assume("share of rows", 0.5, low=0.1, high=1.0, source="nobody says")


@paper.technique
class Small(Technique):
    """A smaller cache."""

    def apply(self, scenario: Scenario) -> Scenario:
        require(scenario.model.kind == "decoder", "only decoders have a cache")
        return scenario.with_deployment(kv="fp8")
'''
FACTS = """
title: A paper of cells
url: https://example.org
date: '2026-01-31'
kind: serving
saves: [memory]
does: Sums rows.
executed: sums.
modelled: nothing.
assumed: the share.
claims:
- {id: share, text: half of the rows, expect: 0.5, unit: of all, source: abstract, role: headline, kind: derived}
not modelled:
- {id: speed, text: twice as fast, expect: 2, unit: x, reason: nothing is said of when}
"""


def install(folder: Path) -> None:
    """The package in `folder`, as pip would leave it."""
    info = folder / "cellular-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cellular\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rooflab.papers]\ncellular = cellular\n")
    (folder / "cellular.py").write_text(PAPER)
    (folder / "cellular.yaml").write_text(FACTS)


def computed(shelf: Path) -> list[int]:
    """Items that were computed since this was asked last."""
    log = shelf / "log"
    done = [int(i) for i in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return done

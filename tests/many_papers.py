"""A shelf of many papers of other packages, as pip would leave them: techniques, and methods that read a scenario."""

from __future__ import annotations

from pathlib import Path

COUNT = 200
NAMES = tuple(f"many_{i:03d}" for i in range(COUNT))

_TECHNIQUE = '''
from rooflab.papers import Paper, PositiveInt, Technique
from rooflab.papers.technique import require

paper = Paper.beside(__file__)


@paper.technique
class {name}(Technique):
    """A cache that holds a little more."""

    more: PositiveInt = {more}

    def apply(self, scenario):
        require(scenario.model.kind == "decoder", "only decoders have a cache")
        return scenario.with_deployment(kv="fp8", max_num_seqs=self.more)
'''
_METHOD = '''
from rooflab.papers import Figure, Method, Outcome, Paper
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)


@paper.method
class {name}(Method[Scenario]):
    """How many devices there are."""

    def run(self, lab, given):
        figures = (Figure(name="devices", value=given.hardware.count + {more}, how="modelled", better="higher"),)
        return Outcome(figures, "they were counted")
'''
_FACTS = """
title: 'Paper {more} of many: caches that hold more'
url: https://example.org/{name}
date: '2025-{month:02d}-{day:02d}'
kind: serving
saves: [memory]
does: Holds {more} sequences more in a cache of its own.
executed: nothing.
modelled: everything.
assumed: nothing.
claims:
"""
_CLAIM = """
- id: gain-{i}
  text: holds more than before, setting {i}
  expect: {{at least: 1}}
  unit: x
  source: table {i}
  group: table {i}
  moves: {{memory capacity: 1}}
  without: {{by: technique, value: 1}}
"""


def install(folder: Path, count: int = COUNT) -> None:
    """Packages in `folder`: one in two is a module, the others a package with the paper inside; one in ten holds a
    method."""
    for i, name in enumerate(NAMES[:count]):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        inside = i % 2 == 1
        module = f"lib_{name}.{name}" if inside else name
        (info / "entry_points.txt").write_text(f"[rooflab.papers]\n{name} = {module}\n")
        place = folder / f"lib_{name}" if inside else folder
        place.mkdir(exist_ok=True)
        if inside:
            (place / "__init__.py").write_text("")
        words = {"name": "".join(part.capitalize() for part in name.split("_")), "more": 300 + i}
        (place / f"{name}.py").write_text((_METHOD if i % 10 == 9 else _TECHNIQUE).format(**words))
        facts = _FACTS.format(name=name, more=300 + i, month=1 + i % 12, day=1 + i % 28)
        (place / f"{name}.yaml").write_text(facts + "".join(_CLAIM.format(i=k) for k in range(12)))

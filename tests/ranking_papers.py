"""Papers of another package for a ranking: one saves power, one gains at unknown cost, one takes long, one fails."""

from __future__ import annotations

from pathlib import Path

_HEAD = """
import time
from dataclasses import replace
from rooflab.papers import Figure, Method, Outcome, Paper, PositiveInt, Technique
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)

"""
PAPERS = {
    "rk_power": '''
@paper.technique
class RkPower(Technique):
    """A lower clock."""

    saves = "power_w"

    def apply(self, scenario):
        return replace(scenario, hardware=replace(scenario.hardware, clock=0.6))
''',
    "rk_cheap": '''
@paper.technique
class RkCheap(Technique):
    """A smaller cache whose cost in quality nobody published."""

    changes_outputs = True

    def apply(self, scenario):
        return scenario.with_deployment(kv="int4")
''',
    "rk_two": '''
@paper.technique
class RkTwo(Technique):
    """Two settings: published for one of them."""

    changes_outputs = True
    bits: PositiveInt = 8

    def apply(self, scenario):
        return scenario.with_deployment(weights=f"int{self.bits}")

    @classmethod
    def variants(cls, scenario):
        return [cls(bits=8), cls(bits=4), cls(bits=2)]
''',
    "rk_none": '''
@paper.technique
class RkNone(Technique):
    """Refuses."""

    def apply(self, scenario):
        require(False, "this never applies to anything at all")
        return scenario
''',
    "rk_wrong": '''
@paper.technique
class RkWrong(Technique):
    """A mistake."""

    def apply(self, scenario):
        return scenario.no_such_field
''',
    "rk_slow": '''
@paper.technique
class RkSlow(Technique):
    """Takes long."""

    def apply(self, scenario):
        time.sleep(60)
        return scenario
''',
    "rk_slow_method": '''
@paper.method
class RkSlowMethod(Method[Scenario]):
    """Takes long, cell by cell."""

    headline = "cells"

    def run(self, lab, given):
        done = lab.cells("cells", range(200), lambda i: time.sleep(0.25) or float(i), least=1)
        named = {"other": 1.0, "cells": len(done)}
        figures = tuple(Figure(name=name, value=value, how="executed") for name, value in named.items())
        return Outcome(figures, "they were counted")
''',
    "rk_sim": '''
@paper.technique
class RkSim(Technique):
    """Fewer tokens a step, which a simulation sees."""

    engine = "simulate"
    saves = "tpot_s_p99"
    tokens: PositiveInt = 256

    def apply(self, scenario):
        return scenario.with_deployment(max_num_batched_tokens=self.tokens)

    @classmethod
    def variants(cls, scenario):
        return [cls(tokens=t) for t in (256, 512, 1024, 4096)]
''',
}  # fmt: skip
_FACTS = """
title: Paper {key}
url: https://example.org/{key}
date: '2026-01-31'
kind: serving
saves: [memory]
does: Does one thing.
executed: nothing.
modelled: everything.
assumed: nothing.
"""
_QUALITY = """
quality:
- {model: meta-llama/Llama-3.1-8B, task: WikiText-2, delta: 0.1, unit: ppl, source: table 1, when: {bits: 8}}
"""


def install(folder: Path, *keys: str) -> None:
    """The papers `keys` (all) in `folder`, as pip would leave them."""
    for key in keys or PAPERS:
        info = folder / f"{key}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {key}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rooflab.papers]\n{key} = {key}\n")
        (folder / f"{key}.py").write_text(_HEAD + PAPERS[key])
        (folder / f"{key}.yaml").write_text(_FACTS.format(key=key) + (_QUALITY if key == "rk_two" else ""))

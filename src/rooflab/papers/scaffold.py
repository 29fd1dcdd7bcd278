"""`papers new`: a package with one paper in it, ready to be filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rooflab.errors import InputError, unknown
from rooflab.files import write_text

__all__ = ["scaffold"]

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "rooflab-{dashed}"
version = "0.1.0"
dependencies = ["rooflab"]

[project.entry-points."rooflab.papers"]
{key} = "rooflab_{key}.{key}"

[tool.hatch.build.targets.wheel]
packages = ["rooflab_{key}"]
"""

_PACKAGE = '''\
"""A paper that runs in Rooflab."""
'''

_CARD = """\
title: The title of the paper
name: {name}
url: https://arxiv.org/abs/0000.00000
date: '2026-01-31'
kind: serving
saves: [memory]
does: One sentence of your own about what it does.

"""

_TECHNIQUE_FACTS = """\
executed: what really runs.
modelled: what the engine predicts.
assumed: what the paper does not say.

claims:
- id: throughput
  text: 1.3 times the throughput
  expect: 1.3
  unit: x
  source: abstract
  role: headline
  moves: {{answer length: 1}}
  without: {{by: technique, value: 1}}

not modelled:
- id: memory
  text: half the memory
  expect: 2
  unit: x
  reason: the abstract does not say of which part.

quality:
- model: meta-llama/Llama-3.1-8B
  task: WikiText-2 perplexity
  delta: 0.01
  unit: ppl
  source: table 1 of the paper
"""

_TECHNIQUE = '''\
"""{name}: what the paper does, in one line."""

from __future__ import annotations

from rooflab.papers import Fraction, Lab, Paper, Technique
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)


@paper.technique
class {name}(Technique):
    """Half the cache, by an 8-bit format: change this into what the paper proposes."""

    changes_outputs = True
    memory: Fraction = 0.9

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses a cache that has no 16 bits."""
        given = scenario.deployment.formats.kv
        require(given in (None, "bf16", "fp16"), f"the cache is {{given}} already")
        return scenario.with_deployment(kv="fp8", gpu_memory_utilization=self.memory)


@paper.setup("evaluation")
def evaluation(lab: Lab) -> Scenario:
    """The scenario of the paper's own evaluation."""
    return lab.scenario(
        model="meta-llama/Llama-3.1-8B",
        hardware="a100-80gb-sxm",
        workload={{"isl": 1024, "osl": 512, "scenario": "max-throughput"}},
    )


@paper.claim("throughput")
def throughput(lab: Lab) -> float:
    """Tokens a second with the technique over without."""
    base = evaluation(lab)
    return lab.estimate(base, {name}()).output_tokens_per_s / lab.estimate(base).output_tokens_per_s
'''

_METHOD_FACTS = """\
executed: what really runs.
modelled: 'nothing.'
assumed: what the paper does not say.

constants:
- {{name: bits, value: 4, source: table 1 of the paper}}

claims:
- id: recall
  text: 4 bits a number find nine in ten neighbours
  expect: {{at least: 0.9}}
  source: abstract
  role: headline
  kind: executed
  without: {{by: ablation}}
  run: {{method: codes, sample: digits, figure: neighbours found, set: {{bits: 4}}}}

not modelled:
- id: time
  text: twice as fast
  expect: 2
  unit: x
  reason: the abstract does not say on which machine.
"""

_METHOD = '''\
"""{name}: what the paper does, in one line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rooflab.inputs.vectors import Vectors
from rooflab.papers import Figure, Lab, Method, Outcome, Paper, PositiveInt
from rooflab.papers.technique import require

paper = Paper.beside(__file__)


@paper.method
class Codes(Method[Vectors]):
    """Round every number to `bits` bits and search what is left: change this into what the paper proposes.

    `rounded` False draws the codes instead, which is the method without its idea.
    """

    bits: PositiveInt = 4
    rounded: bool = True

    def run(self, lab: Lab, given: Vectors) -> Outcome:
        """Code the vectors, search the codes, count what ought to be found. Refuses vectors without neighbours."""
        queries, wanted = given.queries, given.neighbours
        require(queries is not None and wanted is not None, "nothing says what ought to be found")
        assert queries is not None and wanted is not None
        codes = self._codes(lab, given.base.astype(np.float64))
        apart = ((queries[:, None, :] - codes[None, :, :]) ** 2).sum(axis=2)
        found = np.argsort(apart, axis=1, kind="stable")[:, : wanted.shape[1]]
        hit = (found[:, :, None] == wanted[:, None, :]).any(axis=1)[wanted >= 0]
        plain = 4.0 * given.dimensions
        figures = (
            Figure(name="neighbours found", value=float(hit.mean()), how="executed", better="higher", baseline=1.0),
            Figure(name="size", value=plain * self.bits / 32, unit="B", how="executed", better="lower", baseline=plain),
        )
        return Outcome(figures, f"a number keeps {{2**self.bits}} values of its own dimension")

    def _codes(self, lab: Lab, base: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        low, high = base.min(axis=0), base.max(axis=0)
        steps = np.where(high > low, (high - low) / (2**self.bits - 1), 1.0)
        if not self.rounded:
            return low + steps * lab.rng("codes").integers(0, 2**self.bits, base.shape)
        return low + steps * np.round((base - low) / steps)

    def ablated(self, seed: int) -> Codes:
        """Codes that are drawn."""
        return Codes(bits=self.bits, rounded=False)


@paper.claim("recall")
def recall(lab: Lab) -> float:
    """The share of neighbours that the codes find."""
    return lab.run(Codes(bits=lab.data("bits", 4)), lab.sample(Vectors, "digits"))["neighbours found"]
'''

_TEST = '''\
"""What every paper must hold, and what this one does."""

from rooflab_{key}.{key} import paper

from rooflab.testing.papers import PaperConformance


class Test{name}(PaperConformance):
    paper = paper
'''


_KINDS: Final = {"scenario": (_TECHNIQUE_FACTS, _TECHNIQUE), "vectors": (_METHOD_FACTS, _METHOD)}
"""What a paper may read to begin with: its facts and its code."""


def scaffold(key: str, folder: str | Path = ".", kind: str = "scenario") -> list[Path]:
    """Write ``rooflab-KEY/`` with pyproject.toml, a package of the paper's module and its KEY.yaml, and a test; the
    paths written.

    `kind` "scenario" begins with a technique, "vectors" with a method on vectors (any other kind of input is read in
    the same way). Raises InputError for a key that is no Python name, or is taken, for another kind, and where a file
    exists already.
    """
    from rooflab.papers.cards import cards
    from rooflab.papers.registry import keys

    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise InputError(f"{key!r} is not a key such as my_paper (lower-case letters, digits, _)")
    if key in keys():
        raise InputError(f"there is a paper called {key!r} already")
    if kind not in _KINDS:
        raise unknown("kind to begin with", kind, _KINDS)
    root = Path(folder) / f"rooflab-{key.replace('_', '-')}"
    name = "".join(part.capitalize() for part in key.split("_"))
    listed = any(c.key == key for c in cards())  # what the card says need not be said again
    package = f"rooflab_{key}"
    facts, code = _KINDS[kind]
    texts = {
        "pyproject.toml": _PROJECT, f"{package}/__init__.py": _PACKAGE, f"{package}/{key}.py": code,
        f"{package}/{key}.yaml": facts if listed else _CARD + facts, f"test_{key}.py": _TEST,
    }  # fmt: skip
    paths = [root / file for file in texts]
    for path in paths:
        if path.exists():
            raise InputError("exists already", str(path))
    (root / package).mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text.format(key=key, name=name, dashed=key.replace("_", "-")))
    return paths

"""`papers new`: a package with one paper in it, ready to be filled in."""

from __future__ import annotations

import re
from pathlib import Path

from rooflab.errors import InputError
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

_FACTS = """\
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

_PAPER = '''\
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

_TEST = '''\
"""What every paper must hold, and what this one does."""

from rooflab_{key}.{key} import paper

from rooflab.testing.papers import PaperConformance


class Test{name}(PaperConformance):
    paper = paper
'''


def scaffold(key: str, folder: str | Path = ".") -> list[Path]:
    """Write ``rooflab-KEY/`` with pyproject.toml, a package of the paper's module and its KEY.yaml, and a test; the
    paths written.

    Raises InputError for a key that is no Python name, or is taken, and where a file exists already.
    """
    from rooflab.papers.cards import cards
    from rooflab.papers.registry import keys

    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise InputError(f"{key!r} is not a key such as my_paper (lower-case letters, digits, _)")
    if key in keys():
        raise InputError(f"there is a paper called {key!r} already")
    root = Path(folder) / f"rooflab-{key.replace('_', '-')}"
    name = "".join(part.capitalize() for part in key.split("_"))
    listed = any(c.key == key for c in cards())  # what the card says need not be said again
    package = f"rooflab_{key}"
    texts = {
        "pyproject.toml": _PROJECT, f"{package}/__init__.py": _PACKAGE, f"{package}/{key}.py": _PAPER,
        f"{package}/{key}.yaml": _FACTS if listed else _CARD + _FACTS, f"test_{key}.py": _TEST,
    }  # fmt: skip
    paths = [root / file for file in texts]
    for path in paths:
        if path.exists():
            raise InputError("exists already", str(path))
    (root / package).mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text.format(key=key, name=name, dashed=key.replace("_", "-")))
    return paths

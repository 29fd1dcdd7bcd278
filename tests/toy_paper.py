"""Papers of one claim, written on the spot: what tests of the audit share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import yaml

from rooflab import api
from rooflab.evidence.claims import folded, literals, printed, reloaded
from rooflab.evidence.claims.audit import Audit, audit
from rooflab.evidence.claims.code import Code
from rooflab.evidence.claims.figures import Labs
from rooflab.evidence.claims.opened import watching
from rooflab.papers.paper import Paper

HEAD = """\
import numpy as np

from rooflab.inputs.vectors import Vectors
from rooflab.papers import Figure, Method, Outcome, Paper, Technique
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)


def served(lab, **load):
    return lab.scenario(
        model="meta-llama/Llama-3.1-8B", hardware="h100-sxm",
        workload={"isl": 512, "osl": 256, "scenario": "max-throughput"} | load,
    )


def bandwidth(lab):
    return lab.hardware("h100-sxm").device.memory_bytes_per_s


def nearly_one(lab):
    full = lab.estimate(served(lab)).output_tokens_per_s
    return full / lab.estimate(served(lab, osl=255)).output_tokens_per_s


"""
"""What toy papers share: 3.35 TB/s, an engine to ask, and a ratio of its answers that is next to one."""


def toy(folder: Path, code: str, constants: list[dict[str, Any]] | None = None, **stated: Any) -> Paper:
    """The paper of `code` with one claim called "c", loaded from its files; `stated` is what KEY.yaml says of it."""
    claim = {"id": "c", "text": "a figure", "expect": 77.77, "source": "abstract"} | stated
    facts = {"title": "A toy", "url": "https://example.org", "date": "2026-01-01", "claims": [claim]}
    facts["constants"] = constants or []
    (folder / "toy.yaml").write_text(yaml.safe_dump(facts))
    (folder / "toy.py").write_text(HEAD + code)
    return loaded(folder / "toy.py")


def loaded(file: Path) -> Paper:
    """The paper of a module, whatever was there before under its name."""
    forget()
    spec = importlib.util.spec_from_file_location("toy", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.paper
    assert isinstance(found, Paper)
    return found


def verdict(paper: Paper) -> Audit:
    """What the audit says of the claim."""
    claim, labs, code = paper.find("c"), Labs(api.engines()), Code(paper)
    lab = labs.get()
    with watching(code.files) as opened:
        got = claim.function(lab)
    claim.error(got)
    return audit(claim, got, lab, labs=labs, code=code, opened=opened)


def forget() -> None:
    """Files of papers are parsed once a process; those of tests change."""
    for module in (folded, printed, literals, reloaded):
        for kept in vars(module).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()

"""Techniques as dimensions of a plan: applied, bounded by quality, ordered by the objective."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rooflab import api
from rooflab.cli.main import run
from rooflab.papers.registry import techniques
from rooflab.planner.techniques import plan_with_techniques

FULL = {
    "model": "meta-llama/Llama-2-7b-hf", "hardware": "l40s",
    "workload": {"isl": 1024, "osl": 512, "scenario": "max-throughput"},
    "deployment": {"weights": "fp16"},
}  # fmt: skip


def test_options_are_ordered_and_techniques_are_in_their_deployments() -> None:
    options = plan_with_techniques(api.read(FULL), maximise="output_tokens_per_s_per_gpu", limit=300)
    best = [o.plan.best.metrics["output_tokens_per_s_per_gpu"] for o in options]
    assert best == sorted(best, reverse=True)
    by_name = {str(o): o for o in options}
    assert by_name["none"].gain == 1.0
    assert by_name["qserve(unpack_ops=9.5)"].gain > 1.5, "a quarter of the weights and of the cache on a small card"
    assert by_name["qserve(unpack_ops=9.5)"].plan.best.deployment.formats.kv == "int4"
    assert max(len(o.techniques) for o in options) == 2


def test_quality_bound_leaves_out_what_costs_more_or_is_unknown() -> None:
    def names(bound: float) -> set[str]:
        options = plan_with_techniques(api.read(FULL), max_quality_loss=bound, limit=100)
        return {t.key for o in options for t in o.techniques}

    assert "qserve" in names(0.3), "0.23 ppl are published for this model"
    assert "qserve" not in names(0.1)
    assert "sparse_attention" not in names(100.0), "its cost is unknown"


def test_plan_command_takes_a_bound(capsys: pytest.CaptureFixture[str]) -> None:
    chat = str(Path(__file__).parents[1] / "examples" / "chat-70b.yaml")
    assert run(["plan", chat, "--max-quality-loss", "0", "--limit", "200", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["techniques"]
    used = {key for o in listed for t in o["techniques"] for key in t}
    assert "nanoflow" in used
    assert not any(techniques()[key].changes_outputs for key in used)
    assert listed[0]["gain"] >= 1

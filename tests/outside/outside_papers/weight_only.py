"""Weight-only quantisation: 4-bit weights, 16-bit activations."""

from __future__ import annotations

from rooflab.papers import Lab, Paper, Technique
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

paper = Paper.beside(__file__)


@paper.technique
class WeightOnly(Technique):
    """Store weights in 4 bits, in groups with a scale each (section 3)."""

    changes_outputs = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses weights that are no 16-bit numbers."""
        stored = scenario.deployment.formats.weights or scenario.model.dtype
        require(stored in ("bf16", "fp16"), f"{scenario.model.name} is stored in {stored} already")
        return scenario.with_deployment(weights="int4", activations=None, experts=None)


@paper.setup("Llama-2-7B on a desktop GPU")
def evaluation(lab: Lab) -> Scenario:
    """One sequence."""
    return lab.scenario(
        model="meta-llama/Llama-2-7b-hf", hardware="rtx-4090", workload={"isl": 64, "osl": 200, "batch": 1},
        deployment={"engine": "pytorch", "tp": 1, "weights": "fp16"},
    )  # fmt: skip


@paper.claim("speed")
def speed(lab: Lab) -> float:
    """Tokens a second with 4 bits over 16."""
    s = evaluation(lab)
    return lab.estimate(s, WeightOnly()).output_tokens_per_s / lab.estimate(s).output_tokens_per_s

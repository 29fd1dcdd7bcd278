"""Tokens that a deployment serves when it is never idle, with nano-batches and without, and its optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rooflab.library.serving.nanoflow.prices import layer_profile
from rooflab.library.serving.nanoflow.profile import Profile
from rooflab.library.serving.nanoflow.search import Found, search, whole_s
from rooflab.library.serving.nanoflow.technique import MOST, NanoFlow
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

__all__ = ["OPTIMUM", "TOKENS", "OfflineThroughput", "layer", "optimum"]

TOKENS: Final = "prompt and generated tokens a second and device"
OPTIMUM: Final = "optimum"
_METRIC: Final = "total_tokens_per_s_per_gpu"


class OfflineThroughput(Method[Scenario]):
    """Keep a deployment full, cut its dense batches where that shortens a layer, and hold what it serves against the
    optimum: what its products reach, over two FLOPs a parameter and token (section 3, equation 9).

    `batch`: tokens of a dense batch where the scenario does not say how many a step holds.
    """

    key = "offline_throughput"
    batch: PositiveInt = 2048
    cut: bool = True

    def ablated(self, seed: int) -> OfflineThroughput:
        """Without nano-batches."""
        return replace(self, cut=False)

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Estimate both, and price the products."""
        require(given.model.kind == "decoder", f"{given.model.name} is no decoder: it serves no tokens")
        tokens = given.deployment.limits.max_num_batched_tokens or self.batch
        full = given.with_workload(
            rate=None, concurrency=None, batch=None, burst=None, trace=None, scenario="max-throughput"
        ).with_deployment(max_num_batched_tokens=tokens)
        plain = float(lab.estimate(full).metrics[_METRIC])
        given_layer = layer(lab, full)
        found = _pipeline(lab, given_layer)
        pays = self.cut and found.period_s < whole_s(given_layer)
        with_s = float(lab.estimate(full, NanoFlow(batch=tokens)).metrics[_METRIC]) if pays else plain
        best = optimum(lab, full, tokens)
        figures = (
            Figure(
                name=TOKENS, value=with_s, unit="tokens/s", how="modelled", baseline=plain, better="higher",
            ),
            Figure(name=OPTIMUM, value=best, unit="tokens/s", how="modelled"),
            Figure(
                name="share of the optimum", value=100 * with_s / best, unit="percent", how="modelled",
                baseline=100 * plain / best, better="higher",
            ),
        )  # fmt: skip
        return Outcome(figures, self._because(given_layer, found, pays))

    def _because(self, given: Profile, found: Found, pays: bool) -> str:
        if not self.cut:
            return "a dense batch in one piece, one operation after the other"
        said = (
            f"a layer of {given.batch:,.0f} tokens takes {found.period_s * 1e3:.3f} ms in {len(found.parts)} "
            f"nano-batches that overlap and {whole_s(given) * 1e3:.3f} ms in one piece"
        )
        return said if pays else f"{said}, so it stays in one piece"


def layer(lab: Lab, scenario: Scenario) -> Profile:
    """The profile of a layer of `scenario` in its dense step, at the lab's prices."""
    s = lab.priced_as(scenario)
    tokens = s.deployment.limits.max_num_batched_tokens
    assert tokens is not None
    return layer_profile(s, tokens)


def _pipeline(lab: Lab, given: Profile) -> Found:
    """What the search finds for a layer."""
    return lab.cached(("nanoflow: pipeline", given), lambda: search(given, MOST))


def optimum(lab: Lab, scenario: Scenario, tokens: int) -> float:
    """Rate of the products of a dense step over two FLOPs a parameter."""
    rows = lab.operators(scenario, "dense", n_prefill=1, prefill_tokens=tokens)
    products = [r for r in rows if r.group in ("attention", "ffn", "experts") and r.flops]
    rate = sum(r.flops for r in products) / sum(r.seconds for r in products)
    return rate / (2 * scenario.model.active_parameters)

"""What a request that is alone loses where its cache changes machines: the second token comes later."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Count
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.scenario import Scenario

__all__ = ["AFTER", "BEHIND", "Handover"]

BEHIND: Final = "second token later, layer by layer"
AFTER: Final = "second token later, after the prompt"


class Handover(Method[Scenario]):
    """How much later the second token of a request comes that is alone, where its cache moves to a second machine layer
    by layer or after the prompt (section 6.1).

    Of the scenario count model, engine and formats. `machine` is one of the two (empty: a host of the scenario's, or as
    many devices as it has), on which one engine runs; `prompt` is the request's (0: the scenario's mean).
    """

    headline = BEHIND

    prompt: Count = 0
    machine: str = ""

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader's. Raises Infeasible where the phases cannot be split."""
        have = given.hardware
        one = lab.hardware(self.machine or f"{min(have.count, have.devices_per_host)} x {have.device.key}")
        prompt = float(self.prompt or max(round(given.workload.mean_prompt_tokens), 1))
        two = replace(given, hardware=replace(one, count=2 * one.count)).with_deployment(tp=one.count, replicas=2)
        alone = two.with_workload(
            isl=_fixed(given.workload.isl, prompt), osl=_fixed(given.workload.osl, 2.0), correlation=0.0, requests=1,
            rate=1.0, concurrency=None, batch=None, burst=None, scenario=None, trace=None,
        )  # fmt: skip
        plain = float(lab.simulate(alone).metrics["tpot_s_mean"])
        later = {
            name: float(lab.simulate(alone, Splitwise(layerwise=layers)).metrics["tpot_s_mean"])
            for name, layers in ((BEHIND, True), (AFTER, False))
        }
        figures = [
            Figure(name=name, value=100.0 * (s / plain - 1.0), unit="%", how="modelled", better="lower")
            for name, s in later.items()
        ]
        figures.append(Figure(name="second token on one machine", value=plain, unit="s", how="modelled"))
        told = f"the second token of a prompt of {prompt:,.0f} tokens comes {1e3 * (later[AFTER] - plain):.3g} ms later"
        if later[BEHIND] == later[AFTER]:
            return Outcome(
                tuple(figures),
                f"{told}: so short a cache goes at once, since sending it layer by layer would take longer",
            )
        return Outcome(
            tuple(figures),
            f"{told} where the cache follows it, {1e3 * (later[BEHIND] - plain):.3g} ms where it follows each layer",
        )


def _fixed(lengths: Lengths, tokens: float) -> Lengths:
    return replace(lengths, kind="fixed", mean=tokens, cv=0.0, low=tokens, high=tokens, table=())

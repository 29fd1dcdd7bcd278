"""What the fused batch gives on a scenario, simulated: over what it replaces, and its memory shuffle."""

from __future__ import annotations

from typing import Any

from rooflab.library.serving.flover.technique import Flover
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Count, PositiveInt
from rooflab.scenario.scenario import Scenario

__all__ = ["Fusion", "Shuffle"]


class Fusion(Method[Scenario]):
    """Requests in one running batch over what the scenario does with them: from the first arrival to the last token.

    `requests`: so many instead of the scenario's (0); 500 where it says nothing.
    """

    requests: Count = 0

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Simulate both. Raises Infeasible where the fusion does not apply."""
        s = scenario.with_workload(requests=self.requests or scenario.workload.requests or 500)
        own, fused = lab.simulate(s), lab.simulate(s, Flover())
        alone = lab.simulate(s.with_workload(requests=1), Flover())
        mean_s, alone_s = (float(r.metrics["e2e_s_mean"]) for r in (fused, alone))
        overall = Figure(
            name="overall latency", value=span_s(fused), baseline=span_s(own), unit="s", better="lower", how="modelled"
        )
        mean = Figure(
            name="mean latency", value=mean_s, baseline=float(own.metrics["e2e_s_mean"]), unit="s", better="lower",
            how="modelled",
        )  # fmt: skip
        stretched = Figure(name="mean latency over one alone", value=mean_s / alone_s, unit="x", how="modelled")
        return Outcome(
            (overall, mean, stretched),
            f"weights are read once a step for all requests in flight, so that each takes {mean_s / alone_s:.3g} times "
            f"what it takes alone",
        )


class Shuffle(Method[Scenario]):
    """The memory shuffle on the reader's scenario: contiguous caches that are compacted as answers end, and such that
    are held."""

    requests: PositiveInt = 500

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Simulate both. Raises Infeasible where the fusion does not apply."""
        fused = scenario.with_workload(requests=scenario.workload.requests or self.requests) | Flover()
        held = lab.simulate(fused.with_deployment(buffers="held"))
        dense = lab.simulate(fused)
        per_token = float(lab.engine(fused).memory.kv_bytes_per_token[0])
        moved_gb = dense.metrics["moved_tokens"] * per_token / 1e9
        figures = [
            Figure(name=name, value=of(dense), baseline=of(held), unit=unit, better="lower", how="modelled")
            for name, of, unit in (
                ("overall latency", span_s, "s"),
                ("mean latency", lambda r: float(r.metrics["e2e_s_mean"]), "s"),
                ("memory held", lambda r: 100 * float(r.metrics["kv_occupancy_mean"]), "percent"),
            )
        ]
        figures.append(Figure(name="caches moved", value=moved_gb, baseline=0.0, unit="GB", how="modelled"))
        gain = figures[0].gain
        return Outcome(
            tuple(figures),
            f"{moved_gb:.3g} GB of caches move as answers end, and the batch and its memory hold nobody who has "
            f"finished: all is done {gain:.3g} times as fast as when holes stay until the batch's edge reaches them",
        )


def span_s(result: Any) -> float:
    """From the first arrival to the last token."""
    return float(result.run.records.last_token_s.max() - result.requests.arrival_s.min())

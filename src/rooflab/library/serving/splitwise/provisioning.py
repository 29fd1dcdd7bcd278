"""The provisioning sweep on a reader's scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from rooflab.deploy.complete import complete
from rooflab.errors import RooflabError
from rooflab.library.serving.splitwise.rates import LIMITS
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

__all__ = ["Provisioning"]

_MIXED: Final = "all engines mixed"


def _idle(scenario: Scenario) -> Scenario:
    """A few requests, each alone."""
    return scenario.with_workload(
        rate=0.01, concurrency=None, batch=None, burst=None, trace=None, scenario=None, requests=200, arrivals="poisson"
    )


def _slo_of(alone: Mapping[str, float]) -> SLO:
    """The paper's slow-downs as limits, from latencies of requests that are alone."""
    stats = ("p50", "p90", "p99")
    return SLO(
        tuple(
            (f"{name}_{stat}", factor * alone[f"{name}_s_{stat}"])
            for name, factors in (("e2e", LIMITS["e2e"]), ("tpot", LIMITS["tbt"]), ("ttft", LIMITS["ttft"]))
            for stat, factor in zip(stats, factors, strict=True)
        )
    )


def _designs(scenario: Scenario) -> Iterator[tuple[str, Technique]]:
    """Splits of the scenario's engines, with the token machines' devices at full and at half power, which is 70 % of
    the machine's (section 4.4)."""
    for t in Splitwise.variants(scenario):
        p, q = t.parameters()["prefill"], t.parameters()["decode"]
        for power in (1.0, 0.5):
            yield (
                f"{p} prefill + {q} decode" + (f" at {power:.0%} power" if power < 1 else ""),
                Splitwise(p, q, decode_power=power),
            )


class Provisioning(Method[Scenario]):
    """The provisioning sweep on the scenario: the highest rate that each split sustains within its service levels, and
    watts."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        from rooflab.papers.compare import settled
        from rooflab.simulator.serving.scenario import saturation

        base = complete(settled(scenario)).with_workload(requests=1000)
        if not base.slo:
            base = replace(base, slo=_slo_of(lab.simulate(_idle(base)).metrics))
        tried: dict[str, Scenario] = {_MIXED: base}
        refused = ""
        for name, technique in _designs(base):
            try:
                tried[name] = base | technique
            except RooflabError as error:
                refused = str(error)

        def highest(name: str) -> list[float]:
            rate, run = saturation(tried[name], rounds=7)
            return [rate, run.metrics["power_w"] if run else 0.0]

        found = lab.cells("designs", tried, highest, least=2)
        rates = {name: rate for name, (rate, _) in found.items()}
        figures = [(f"{name}: highest rate", rate, "requests/s") for name, rate in rates.items()]
        figures += [(f"{name}: power at it", watts, "W") for name, (rate, watts) in found.items() if rate > 0]
        best = max((name for name in rates if name != _MIXED), key=lambda name: rates[name], default=_MIXED)
        goal = "within the service levels" if scenario.slo else "within the paper's slow-downs of an idle cluster"
        verdict = "pays" if rates[best] > rates[_MIXED] else "does not raise the rate"
        text = (
            f"splitting {verdict}: {best} sustains {rates[best]:.2f} requests/s {goal}, {_MIXED} {rates[_MIXED]:.2f}."
        )
        return Outcome(
            as_figures("modelled", figures), text + (f" Some splits do not apply: {refused}." if refused else "")
        )

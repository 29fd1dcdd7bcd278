"""Trying what papers offer on one scenario: settings weighed against the scenario as it is, methods asked."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rooflab.errors import Fault, RooflabError
from rooflab.papers.compare import Measured, explained, measure, weigh, with_requests
from rooflab.papers.deadline import Alarm, deadline
from rooflab.papers.holding import Holding
from rooflab.papers.lab import Engines
from rooflab.papers.method import Method
from rooflab.papers.ranked import advice_of, ranked_of
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Trials"]


@dataclass(slots=True, kw_only=True)
class Trials:
    """Trials on `scenario`, whose open choices were settled in `base`; what is measured is measured once.

    `plain_s`: seconds of a simulation of `requests` requests of the scenario as it is, NaN until one was run.
    """

    scenario: Scenario
    base: Scenario
    engines: Engines
    requests: int
    keeps: bool
    plain_s: float = math.nan
    measured: dict[tuple[Scenario, str], Measured] = field(default_factory=dict)
    warmed: set[str] = field(default_factory=set)

    def closed_form(self, cls: type[Technique], holding: Holding) -> None:
        """All settings of a technique, with reasons for those that are shown."""
        for variant in self.variants(cls, holding):
            if str(variant) not in holding.tried:
                holding.tried[str(variant)] = self._weighed(self.base, variant, holding)
        for shown in holding.shown():
            if not shown.because:
                holding.tried[shown.called] = self._weighed(self.base, cls(**shown.parameters), holding, why=True)

    def simulated(self, variant: Technique, requests: int, holding: Holding) -> dict[str, Any]:
        """One setting by simulation, with its reasons."""
        return self._weighed(with_requests(self.base, requests), variant, holding, requests=requests, why=True)

    def variants(self, cls: type[Technique], holding: Holding) -> list[Technique]:
        """Settings worth trying, counted; none, with the reason, where the technique knows of none."""
        try:
            found = list(cls.variants(self.scenario))
            refused = "" if found else "no setting of it is known to suit this scenario"
        except RooflabError as error:
            found, refused = [], str(error)
        except Exception as error:
            found, refused = [], _mistake(error, holding)
        holding.offered, holding.refused = len(found), refused
        return found

    def _weighed(
        self, base: Scenario, variant: Technique, holding: Holding, *, requests: int = 0, why: bool = False
    ) -> dict[str, Any]:
        """A setting as a record, or why there is none."""
        began = time.monotonic()
        try:
            c = weigh(base, variant, self._measure)
            c = explained(c, base) if why else c
        except RooflabError as error:
            return {"refused": str(error)}
        except Exception as error:  # a mistake in one paper is told, and is not the end of a ranking
            return {"refused": _mistake(error, holding)}
        return ranked_of(c, requests=requests, seconds=time.monotonic() - began).record()

    def ask(self, cls: type[Method[Any]], holding: Holding, seconds: float) -> None:
        """What a method makes of the scenario, within so many seconds."""
        from rooflab.papers.reader import Terms, run_input

        began = time.monotonic()
        terms = Terms(budget_s=seconds, keep=self.keeps)
        p = paper(cls.paper)
        try:
            ran = run_input(p, "your scenario", self.scenario, {}, terms, engines=self.engines, method=cls.key)
            holding.advice = advice_of(cls, ran.method, ran.outcome, time.monotonic() - began).record()
        except Fault as error:
            holding.failed, holding.refused = True, str(error)
        except RooflabError as error:
            holding.refused = str(error)
        except Exception as error:
            holding.refused = _mistake(error, holding)

    def _measure(self, s: Scenario, engine: str) -> Measured:
        """What `measure` gives, once a scenario."""
        if (s, engine) not in self.measured:
            self.measured[s, engine] = measure(s, engine)
        return self.measured[s, engine]

    def warm(self, variant: Technique, seconds: float, alarm: Alarm) -> None:
        """Compile what simulations need, however long it takes, and time the scenario as it is, within so many
        seconds."""
        if math.isnan(self.plain_s):
            _simulate(with_requests(self.base, 1))
            began = time.monotonic()
            with deadline(seconds, alarm), suppress(RooflabError):  # told when a technique is tried
                self._measure(with_requests(self.base, self.requests), "simulate")
            self.plain_s = max(time.monotonic() - began, 1e-3)
        if variant.key not in self.warmed:
            self.warmed.add(variant.key)
            _simulate(with_requests(self.base, 1), variant)


def _simulate(s: Scenario, variant: Technique | None = None) -> None:
    try:
        measure(s if variant is None else s | variant, "simulate")
    except Exception:  # told when it is tried
        return


def _mistake(error: Exception, holding: Holding) -> str:
    holding.failed = True
    return f"fails with {type(error).__name__}: {error}"

"""What papers would do for a scenario: every technique that applies, by what it gains in what it is about, and advice.

Techniques of the closed form come first, then one setting of each that a simulation has to see, then methods that read
a scenario, then further settings, then the best ones again with more requests, for as long as there is time. Within a
step the quickest goes first, by what it took on this machine before. What was found is kept: the next ranking of the
same scenario goes on from there, and imports no paper whose results it has.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rooflab.papers.budget import Budget
from rooflab.papers.compare import settled
from rooflab.papers.deadline import Alarm, can_end, deadline
from rooflab.papers.holding import Holding, held, hold
from rooflab.papers.lab import Engines
from rooflab.papers.offers import Offer, Offers, offers
from rooflab.papers.ranked import SECTIONS, Advice, Ranked, Ranking, Refused, Untried
from rooflab.papers.registry import keys
from rooflab.papers.technique import Technique
from rooflab.papers.took import Took
from rooflab.papers.trial import Trials
from rooflab.scenario.scenario import Scenario

__all__ = ["Stage", "Told", "rank"]

_FIRST: Final = 500
"""Requests of a simulation in a ranking: enough for a mean, few for a tail."""
_MORE: Final = 2000
"""Requests when a technique's best setting is simulated again: p99 rests on twenty of them."""
_USUAL_S: Final = {"estimate": 0.2, "simulate": 2.0, "method": 3.0}
"""Seconds that a technique or a method, or the first simulation, is taken to need until one was seen."""
_USUAL_TIMES: Final = 1.5
"""How many times the simulation of the scenario as it is one with a technique takes, until one was seen."""
_LEAST_S: Final = 0.3
"""Seconds in which it is worth beginning what nobody knows the cost of."""
_REQUEST: Final = "simulation of a request"


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a ranking is: things done and known of, what is next, and the seconds that are left."""

    done: int
    wanted: int
    what: str
    left_s: float


Told = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class _Task:
    """One thing to do: a technique of the closed form or a method, or one setting by simulation of `requests`."""

    offer: Offer
    variant: Technique | None = None
    requests: int = 0

    @property
    def what(self) -> str:
        """In words."""
        if self.variant is None:
            return self.offer.name
        return f"{self.variant} with {self.requests:,} requests" if self.requests == _MORE else str(self.variant)


def rank(
    scenario: Scenario, budget_s: float = 10.0, *, engines: Engines | None = None, told: Told | None = None,
    keeps: bool = True,
) -> Ranking:  # fmt: skip
    """What papers would do for `scenario`, found in about `budget_s` seconds; what simulations need is compiled on
    their first use, whatever the time.

    Results are kept, and taken from earlier rankings, unless `keeps` is off. `told` hears of every step. Ctrl-C raises
    KeyboardInterrupt and leaves what was kept.
    """
    if engines is None:
        from rooflab.papers.engines import engines as below

        engines = below()
    budget = Budget(budget_s)
    found = offers(keys(), keeps=keeps)
    trials = Trials(scenario=scenario, base=settled(scenario), engines=engines, requests=_FIRST, keeps=keeps)
    known = {o: held(o, scenario) if keeps else Holding() for o in found.every}
    run = _Run(trials=trials, known=known, budget=budget, told=told, took=Took())
    try:
        for step in (run.in_closed_form, run.first_settings, run.methods, run.other_settings, run.best_again):
            run.through(sorted(step(), key=run.expected_s))
    finally:
        if keeps:
            run.took.keep()
    return _ranking(found, known, run.untried, budget)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One ranking on its way."""

    trials: Trials
    known: dict[Offer, Holding]
    budget: Budget
    told: Told | None
    took: Took
    untried: list[Untried] = field(default_factory=list)
    done: int = 0

    def in_closed_form(self) -> Iterator[_Task]:
        """Techniques that the closed form sees."""
        return (_Task(o) for o, h in self.known.items() if o.sort == "estimate" and not h.all_tried)

    def methods(self) -> Iterator[_Task]:
        """Methods that read a scenario; those that were interrupted are asked again."""
        for offer, h in self.known.items():
            if offer.sort == "method" and (not h.all_tried or _begun(h)):
                yield _Task(offer)

    def first_settings(self) -> Iterator[_Task]:
        """One setting of each technique that needs a simulation."""
        return (task for tasks in self._settings() for task in tasks[:1] if not self.known[task.offer].tried)

    def other_settings(self) -> Iterator[_Task]:
        """The settings that were not tried yet."""
        return (task for tasks in self._settings() for task in tasks)

    def _settings(self) -> Iterator[list[_Task]]:
        """Open settings of each technique that needs a simulation."""
        for offer, h in self.known.items():
            if offer.sort == "simulate" and not h.all_tried:
                variants = self.trials.variants(offer.technique(), h)
                yield [_Task(offer, v, _FIRST) for v in variants if str(v) not in h.tried]

    def best_again(self) -> Iterator[_Task]:
        """What is shown of each technique that was simulated, with more requests."""
        for offer, h in self.known.items():
            for best in h.shown() if offer.sort == "simulate" else ():
                if best.called not in h.again:
                    yield _Task(offer, offer.technique()(**best.parameters), _MORE)

    def expected_s(self, task: _Task) -> float:
        """Seconds that a task takes, by what is known."""
        offer = task.offer
        if not task.requests:
            return self.took.expected(offer.name, offer.takes_s or _USUAL_S[offer.sort])
        plain_s, before_s = self.trials.plain_s, 0.0
        if math.isnan(plain_s):
            plain_s = before_s = _FIRST * self.took.expected(_REQUEST, _USUAL_S["simulate"] / _FIRST)
        times = task.requests / _FIRST
        return before_s + plain_s * times * self.took.expected(offer.name, _USUAL_TIMES)

    def through(self, tasks: Iterable[_Task]) -> None:
        """Do the tasks that there is time for, and note the others."""
        tasks = list(tasks)
        for i, task in enumerate(tasks):
            expected_s = self.expected_s(task)
            if not self._fits(task, expected_s):
                self.untried.append(Untried(task.offer.key, task.offer.paper, task.what, expected_s))
                continue
            if self.told is not None:
                self.told(Stage(self.done, self.done + len(tasks) - i, task.what, self.budget.left_s))
            self.done += 1
            self._do(task)

    def _fits(self, task: _Task, expected_s: float) -> bool:
        """Whether there is time: what nobody knows the cost of is begun, since it can be ended, and what was cut before
        goes on."""
        if self.budget.affords(expected_s):
            return True
        unknown = math.isnan(self.took.known(task.offer.name)) and not task.offer.takes_s
        return (unknown or _begun(self.known[task.offer])) and can_end() and self.budget.left_s > _LEAST_S

    def _do(self, task: _Task) -> None:
        """Do a task until its time is up, learn what it took, keep what came out."""
        offer, holding = task.offer, self.known[task.offer]
        began, alarm = time.monotonic(), Alarm()
        try:
            if task.variant is not None:
                self._warm(task.variant, alarm)
                began = time.monotonic()
            with deadline(self.budget.left_s, alarm):
                self._try(task, holding)
            self._learn(task, time.monotonic() - began)
        except KeyboardInterrupt:
            if not alarm.up:
                raise
            self.untried.append(Untried(offer.key, offer.paper, task.what, math.nan))
            self._learn(task, 2 * (time.monotonic() - began))
        if self.trials.keeps:
            hold(offer, self.trials.scenario, holding)

    def _warm(self, variant: Technique, alarm: Alarm) -> None:
        """Simulate the scenario as it is, once, and learn what that takes."""
        first = math.isnan(self.trials.plain_s)
        self.trials.warm(variant, self.budget.left_s, alarm)
        if first:
            self.took.learn(_REQUEST, self.trials.plain_s / _FIRST)

    def _try(self, task: _Task, holding: Holding) -> None:
        if task.variant is not None:
            record = self.trials.simulated(task.variant, task.requests, holding)
            (holding.again if task.requests == _MORE else holding.tried)[str(task.variant)] = record
        elif task.offer.sort == "method":
            self.trials.ask(task.offer.method(), holding, self.budget.left_s)
        else:
            self.trials.closed_form(task.offer.technique(), holding)

    def _learn(self, task: _Task, seconds: float) -> None:
        """Seconds of a technique or method; of a simulation how many times those of the scenario as it is."""
        if _begun(self.known[task.offer]):
            return
        plain_s = self.trials.plain_s * task.requests / _FIRST
        cost = seconds / plain_s if task.requests else seconds
        self.took.learn(task.offer.name, cost)


def _begun(holding: Holding) -> bool:
    """Whether a method was cut by the time, and keeps what it finished."""
    return holding.advice is not None and bool(holding.advice["partial"])


def _ranking(found: Offers, known: dict[Offer, Holding], untried: list[Untried], budget: Budget) -> Ranking:
    """What is known now."""
    ranked: list[Ranked] = []
    advice: list[Advice] = []
    refused = [Refused(key, key, reason) for key, reason in found.broken.items()]
    for offer, holding in known.items():
        shown = holding.shown()
        ranked += shown
        if holding.advice is not None:
            advice.append(Advice(**holding.advice))
        elif not shown and holding.reason() and holding.all_tried:
            refused.append(Refused(offer.key, offer.paper, holding.reason()))
    once = tuple({(u.key, u.what): u for u in untried}.values())  # asked for again in a later round, and late again
    return Ranking(
        ranked=tuple(sorted(ranked, key=_order)), advice=tuple(advice), refused=tuple(refused), untried=once,
        budget_s=budget.seconds, took_s=budget.elapsed_s,
    )  # fmt: skip


def _order(r: Ranked) -> tuple[Any, ...]:
    """By section; throughput before latencies and the rest; the highest gain first."""
    gain = 0.0 if math.isnan(r.gain) else r.gain
    return SECTIONS.index(r.section), "throughput" not in r.of, r.of, -gain, r.called

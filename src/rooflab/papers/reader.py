"""`papers run`: a paper on inputs of a reader's, over seeds, within a budget, going on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.files import user_cache
from rooflab.inputs.content import digest
from rooflab.inputs.convert import opened
from rooflab.papers.budget import Budget
from rooflab.papers.condition import Condition
from rooflab.papers.execute import YOURS, Chosen, Ran, choose, own_inputs, reads, run_on
from rooflab.papers.lab import Engines, Lab
from rooflab.papers.outcome import Account, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.reach import sources
from rooflab.papers.registry import keys, paper
from rooflab.papers.seeds import over_seeds, same_figures
from rooflab.papers.technique import Technique
from rooflab.papers.work import Step, Work
from rooflab.scenario.scenario import Scenario

__all__ = ["Terms", "read_input", "run", "run_input"]

_RUNS: Final = 64
"""Runs of a paper whose finished cells are kept, those that were last added to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a run for a reader goes.

    `seed` is the first of `seeds` that are tried (None: the scenario's own, 0 for other data); `budget_s` seconds are
    shared by all inputs and seeds. Finished cells are kept in `folder` (default: ``runs`` in the user's cache folder)
    unless `keep` is off. `told` hears the input's name and how far it is.
    """

    seed: int | None = None
    seeds: int = 1
    budget_s: float = math.inf
    keep: bool = True
    folder: Path | None = None
    told: Callable[[str, Step], None] | None = None

    def __post_init__(self) -> None:
        whole = isinstance(self.seeds, int) and not isinstance(self.seeds, bool)
        if not whole or self.seeds < 1:
            raise InputError(f"{self.seeds!r} is not a whole number from 1 on", "seeds")
        if self.seed is not None and not (isinstance(self.seed, int) and self.seed >= 0):
            raise InputError(f"{self.seed!r} is not a whole number from 0 on", "seed")
        if not self.budget_s > 0:
            raise InputError(f"{self.budget_s!r} is no time above 0 s", "budget_s")


def run(key: str, given: Any = None, *, method: str = "", terms: Terms | None = None, **settings: Any) -> Outcome:
    """Run a paper on `given`: data of a kind, a path, the name of a sample, or None for a sample or setup of its own.

    `settings` are parameters of the method. What takes long is kept as it is finished: the same call goes on where an
    interrupted one stopped; after Ctrl-C figures are of what is finished, and its account says `partial`. Raises
    InputError for what cannot be read, Infeasible where it does not apply.
    """
    from rooflab.papers.engines import engines

    p, terms = paper(key), terms or Terms()
    chosen = choose(p, method, given if isinstance(given, (str, Path)) else "")
    if given is None:
        name, data = next(iter(own_inputs(p, chosen, Lab(engines())).items()))
    else:
        name, data = YOURS, read_input(chosen, given) if isinstance(given, (str, Path)) else given
    return run_input(p, name, data, settings, terms, engines=engines(), method=chosen.key).outcome


def read_input(chosen: Chosen, source: str | Path) -> Any:
    """A file, or the name of a sample, as the input that a technique or method reads."""
    if issubclass(chosen, Technique):
        from rooflab.papers.apply import load

        return load(source)
    return opened(source, reads(chosen))


def run_input(
    p: Paper, name: str, data: Any, settings: Mapping[str, Any], terms: Terms, *, engines: Engines, method: str = "",
    budget_s: float = math.inf,
) -> Ran:  # fmt: skip
    """One technique or method of a paper on one input, which is called `name`, within `budget_s` of the terms' time.

    Raises KeyboardInterrupt when it comes before there is a figure, Infeasible where it does not apply.
    """
    job = _Job(p, choose(p, method), settings, terms, engines)
    return job.over_seeds(name, data, min(budget_s, terms.budget_s))


@dataclass(frozen=True, slots=True)
class _Job:
    """One technique or method on one input."""

    paper: Paper
    chosen: Chosen
    settings: Mapping[str, Any]
    terms: Terms
    engines: Engines

    def over_seeds(self, name: str, data: Any, budget_s: float) -> Ran:
        """One seed after the other, as one: fewer where Ctrl-C comes, the budget ends or nothing is drawn."""
        seeds, budget, notes = self.terms.seeds, Budget(budget_s, self.terms.budget_s), list[str]()
        done: list[Ran] = []
        stopped = False
        settings = self.settings
        while len(done) < seeds and not stopped:
            if done and not budget.affords(budget.elapsed_s / len(done)):
                budget.shrunk("seeds", len(done), seeds)
                break
            share_s = budget.left_s / (seeds - len(done))
            try:
                ran, drew = replace(self, settings=settings)._once(name, data, len(done), share_s)
            except KeyboardInterrupt:
                if not done:
                    raise
                stopped = True
                break
            stopped = ran.outcome.account.partial
            if not (stopped and done):  # whole seeds are worth more than a part of another
                done.append(ran)
            if ran.comparison is not None:  # what is best may differ by seed; the figures are of one setting
                settings = ran.comparison.technique.parameters()
            if not (drew or stopped) and _settled(data, done):
                notes = ["nothing in it is drawn: every seed gives the same figures"] if seeds > 1 else []
                done = done[:1]
                break
        if stopped and not done[0].outcome.account.partial:
            notes.append(f"interrupted after {len(done)} of {seeds} seeds")
        return self._told(done, [*notes, *budget.notes], stopped=stopped, budget=budget, first=self._seed(data, 0))

    def _told(self, done: Sequence[Ran], notes: Sequence[str], *, stopped: bool, budget: Budget, first: int) -> Ran:
        """What the seeds gave as one, with what there is to say of how it came about."""
        outcome = over_seeds([ran.outcome for ran in done], first)
        budget.overrun()
        notes = (*outcome.notes, *dict.fromkeys([*notes, *budget.notes]))
        figures = tuple(replace(f, partial=f.partial or stopped) for f in outcome.figures)
        outcome = replace(outcome, notes=notes, figures=figures, account=replace(outcome.account, partial=stopped))
        return replace(done[0], outcome=outcome, seeds=tuple(range(first, first + len(done))))

    def _once(self, name: str, data: Any, k: int, budget_s: float) -> tuple[Ran, bool]:
        """The run of the k-th seed, and whether it drew at random."""
        seed = self._seed(data, k)
        given = data.with_workload(seed=seed) if isinstance(data, Scenario) else data
        lab = Lab(self.engines, Condition(seed=seed))
        budget, told = Budget(budget_s, self.terms.budget_s), self._tell(name)
        lab.work = work = Work(place=self._place(given, seed), budget=budget, partial=True, told=told)
        try:
            ran = run_on(self.chosen, given, self.settings, lab, name=name)
        except Exception as error:
            if work.interrupted:  # what is finished was too little for figures after all
                raise KeyboardInterrupt from error
            raise
        said = [
            f"interrupted after {c.done:,} of {c.wanted:,} {c.name}" for c in work.cells.values() if c.done < c.wanted
        ]
        notes = (*ran.outcome.notes, *work.budget.notes, *(said if work.interrupted else ()))
        account = Account(tuple(work.cells.values()), tuple(lab.assumed.values()), work.interrupted)
        outcome = replace(ran.outcome, notes=notes, account=account)
        return replace(ran, outcome=outcome), lab.drew

    def _seed(self, data: Any, k: int) -> int:
        own = data.workload.seed if isinstance(data, Scenario) else 0
        return (own if self.terms.seed is None else self.terms.seed) + k

    def _tell(self, name: str) -> Callable[[Step], None] | None:
        told = self.terms.told
        return None if told is None else lambda step: told(name, step)

    def _place(self, given: Any, seed: int) -> Path | None:
        """The folder of this run's cells; None where nothing is to be kept, or nothing says what code it is."""
        from rooflab.costs.engine_constants import active

        p, chosen = self.paper, self.chosen
        if not self.terms.keep or p.key not in keys() or paper(p.key) is not p:
            return None
        named = f"{chosen.__qualname__} {sorted(self.settings.items())}"
        try:
            code = sources(p.key)
        except (OSError, ValueError, SyntaxError):  # a paper that came without its sources
            return None
        parts = (code, named, digest(given), digest(active()), str(seed))
        folder = self.terms.folder or user_cache("runs")
        _forget(folder, p.key)
        return folder / f"{p.key}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:32]}"


def _settled(data: Any, done: Sequence[Ran]) -> bool:
    """Whether no other seed can give other figures, of runs that did not ask their lab for one: data have none of their
    own, and a scenario's, with which its requests are drawn, makes no difference."""
    if not isinstance(data, Scenario):
        return True
    return len(done) > 1 and same_figures(done[0].outcome, done[1].outcome)


def _forget(folder: Path, key: str) -> None:
    """Delete cells of runs of long ago."""
    try:
        old = sorted(folder.glob(f"{key}-*"), key=lambda path: -path.stat().st_mtime)[_RUNS:]
    except OSError:
        return
    for path in old:
        shutil.rmtree(path, ignore_errors=True)

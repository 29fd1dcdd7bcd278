"""What is computed for a page: a scenario's text in, a page and its record out. Runs in workers only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.web.given import fields_of

__all__ = ["TEMPLATES", "WORK", "warm"]

TEMPLATES: Final = Path(__file__).with_name("templates")
_RANK_S: Final = 8.0
"""Seconds in which techniques that run are tried on a reader's scenario."""
Tell = Callable[..., None]


def warm() -> None:
    """Import and compile what work needs before the process is closed, so that the first question is quick, too."""
    from rooflab.api import load, plan
    from rooflab.inputs.kinds import kind_of
    from rooflab.scenario.scenario import Scenario

    plan(load(kind_of(Scenario).samples[0].path()), top=1)


def _plan(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    from rooflab.api import plan
    from rooflab.report.pages.plan import plan_page
    from rooflab.report.pages.render import dressed

    scenario = _scenario(given)
    tell(0.0, "searching deployments, then simulating the first ones")
    found = plan(scenario)
    with dressed(TEMPLATES):
        return {"html": plan_page(found), "record": found.file(scenario)}


def _estimate(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    from rooflab.api import estimate
    from rooflab.evidence.intervals.intervals import intervals
    from rooflab.report.pages.estimate import estimate_page
    from rooflab.report.pages.render import dressed

    found = estimate(_scenario(given))
    record = {"metrics": found.record(), "intervals": {n: i.record() for n, i in intervals(found).items()}}
    with dressed(TEMPLATES):
        return {"html": estimate_page(found), "record": record}


def _simulate(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    from rooflab.api import simulate
    from rooflab.report.pages.render import dressed
    from rooflab.report.pages.simulation import simulation_page
    from rooflab.report.text.headline import load_words, title
    from rooflab.units import format_seconds

    scenario = _scenario(given)
    found = simulate(scenario, progress=lambda done, now_s: tell(done, f"{format_seconds(now_s)} simulated"))
    with dressed(TEMPLATES):
        html = simulation_page(found, title=title(scenario), subtitle=load_words(scenario.workload, scenario.model))
    return {"html": html, "record": found.record()}


def _ceiling(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    from rooflab.api import ceiling
    from rooflab.report.pages.ceiling import ceiling_page
    from rooflab.report.pages.render import dressed

    scenario = _scenario(given)
    tell(0.0, "asking the engine again with each kind of work free, and halved")
    found = ceiling(scenario)
    with dressed(TEMPLATES):
        return {"html": ceiling_page(found), "record": found.record()}


def _gains(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """The feed for a scenario: ceilings, and what those give that run, as far as there is time."""
    from rooflab.api import ceiling, engines
    from rooflab.feed.at_most import at_most
    from rooflab.feed.listing import entries
    from rooflab.papers.rank import rank
    from rooflab.report.pages.at_most import at_most_page
    from rooflab.report.pages.render import dressed

    scenario = _scenario(given)
    tell(0.0, "asking the engine again with each kind of work free, and halved")
    top = ceiling(scenario)
    ranked = rank(
        scenario,
        _RANK_S,
        engines=engines(),
        told=lambda stage: tell((stage.done + 1) / (stage.wanted + 1), f"trying {stage.what}"),
        keeps=False,
    ).ranked
    papers = at_most(entries(), top, ranked)
    with dressed(TEMPLATES):
        return {"html": at_most_page(papers, top), "record": [a.record() for a in papers]}


def _check(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """What a scenario says, in words."""
    from rooflab.report.text.headline import load_words, targets_words, title

    s = _scenario(given)
    wanted = targets_words(s)
    return {"title": title(s), "load": load_words(s.workload, s.model), "wanted": wanted}


def _paper(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """A paper on a scenario, or on a sample of its own."""
    from rooflab.api import engines
    from rooflab.errors import Infeasible
    from rooflab.feed.listing import entry
    from rooflab.papers.execute import YOURS, Refused, choose, kind_read, own_inputs
    from rooflab.papers.lab import Lab
    from rooflab.papers.reader import Terms, run_input
    from rooflab.papers.registry import paper
    from rooflab.report.pages.paper import paper_page
    from rooflab.report.pages.render import dressed

    card = entry(given["key"])
    if not card.runnable:
        raise InputError(f"{card.name} is not runnable yet", "paper")
    p = paper(card.key)
    chosen = choose(p, given.get("method", ""))
    text = given.get("yaml", "")
    if text and kind_read(chosen) is not None:
        raise InputError(f"reads {kind_read(chosen)}, not a scenario", f"{p.key}.{chosen.key}")
    inputs = {YOURS: _scenario(given)} if text else own_inputs(p, chosen, Lab(engines()))
    terms = Terms(
        keep=False,
        budget_s=given["budget_s"],
        told=lambda name, step: tell(
            step.cells.done / max(step.cells.wanted, 1),
            f"{name}: {step.cells.done} of {step.cells.wanted} {step.cells.name}",
        ),
    )
    ran, refused = [], []
    for name, data in list(inputs.items())[: 1 if text else 2]:
        try:
            ran.append(run_input(p, name, data, given.get("settings", {}), terms, engines=engines(), method=chosen.key))
        except Infeasible as error:
            refused.append(Refused(name, str(error)))
    with dressed(TEMPLATES):
        html = paper_page(card, ran, refused)
    return {"html": html, "record": [*(r.record() for r in ran), *(r.record() for r in refused)]}


def _scenario(given: Mapping[str, Any]) -> Any:
    from rooflab.papers.apply import read

    return read(fields_of(given["yaml"]))


WORK: Final[Mapping[str, Callable[[Mapping[str, Any], Tell], dict[str, Any]]]] = {
    "plan": _plan,
    "estimate": _estimate,
    "simulate": _simulate,
    "ceiling": _ceiling,
    "gains": _gains,
    "check": _check,
    "paper": _paper,
}

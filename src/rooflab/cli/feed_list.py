"""`rooflab feed list`: the papers of the feed, by day or by what they could give a scenario."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rooflab.cli.scenario_options import Given
from rooflab.cli.status_line import StatusLine, budget_seconds

if TYPE_CHECKING:
    from rooflab.papers.cards import Card
    from rooflab.papers.rank import Stage

__all__ = ["list_by_day", "list_for"]


def list_by_day(found: Sequence[Card], *, as_json: bool, quiet: bool) -> int:
    """The papers by day, newest first; the exit status."""
    if as_json:
        click.echo(json.dumps([e.record() for e in found], ensure_ascii=False, allow_nan=False))
        return 0
    from rooflab.report.text.papers import show_list

    show_list(found, quiet=quiet)
    return 0 if found else 1


def list_for(
    found: Sequence[Card], path: str, objective: str, budget: str, limit: int, *, as_json: bool, quiet: bool
) -> int:
    """The papers by what they could give the scenario of a file at the most; the exit status."""
    from rooflab.api import ceiling, engines
    from rooflab.feed.at_most import at_most
    from rooflab.papers.rank import rank

    given = Given(path, {})
    scenario, began = given.scenario(), time.monotonic()
    line = StatusLine(not quiet and sys.stderr.isatty())

    def told(stage: Stage) -> None:
        line.say(f"{stage.done + 1} of {stage.wanted}: {stage.what}", time.monotonic() - began)

    with given.located():
        top = ceiling(scenario, objective)
        seconds = budget_seconds(budget)
        ranked = rank(scenario, seconds, engines=engines(), told=told).ranked if any(c.runnable for c in found) else ()
    papers = at_most(found, top, ranked)
    line.clear()
    if as_json:
        click.echo(json.dumps([a.record() for a in papers], ensure_ascii=False, allow_nan=False))
        return 0
    from rooflab.report.text.at_most import show_at_most

    show_at_most(papers, top, path, limit, quiet=quiet)
    return 0 if papers else 1

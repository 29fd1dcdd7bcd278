"""`rooflab papers rank`: the ranking of one scenario, with progress."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from rooflab.cli.scenario_options import Given
from rooflab.cli.status_line import StatusLine, budget_seconds

if TYPE_CHECKING:
    from rooflab.papers.rank import Stage

__all__ = ["rank_papers_on"]


def rank_papers_on(given: Given, budget: str, *, keeps: bool, as_json: bool, quiet: bool) -> int:
    """Rank papers on a scenario; the exit status."""
    from rooflab.api import engines
    from rooflab.papers.rank import rank
    from rooflab.units import format_seconds

    scenario, began = given.scenario(), time.monotonic()
    line = StatusLine(not quiet and sys.stderr.isatty())

    def told(stage: Stage) -> None:
        left = f", {format_seconds(stage.left_s, 2)} left" if stage.left_s < float("inf") else ""
        line.say(f"{stage.done + 1} of {stage.wanted}: {stage.what}{left}", time.monotonic() - began)

    try:
        with given.located():
            found = rank(scenario, budget_seconds(budget), engines=engines(), told=told, keeps=keeps)
    except KeyboardInterrupt:
        line.clear()
        said = "interrupted: what was found is kept; the same command goes on there" if keeps else "interrupted"
        click.echo(said, err=True)
        return 130
    line.clear()
    if as_json:
        click.echo(json.dumps(found.record(), ensure_ascii=False, allow_nan=False))
        return 0
    from rooflab.report.text.rank import show_rank

    show_rank(scenario, found, given.path, quiet=quiet)
    return 0

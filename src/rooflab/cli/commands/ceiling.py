"""`rooflab ceiling`: what any paper could give a scenario at the most."""

from __future__ import annotations

import json

import click

from rooflab.cli.scenario_options import Given, ScenarioCommand, output_options, scenario_options

__all__ = ["command"]


@click.command("ceiling", cls=ScenarioCommand)
@scenario_options()
@click.option(
    "--objective",
    default="",
    metavar="NAME",
    help="cost (default, where a price is known), throughput, ttft, tpot, joules, grams, or a metric of plans.",
)
@click.option("--simulate", "simulated", is_flag=True, help="Event by event instead of in closed form (not for cost).")
@click.option("--html", metavar="FILE", help="Also write one page with a chart.")
@output_options
def command(*, given: Given, objective: str, simulated: bool, html: str | None, as_json: bool, quiet: bool) -> int:
    """What SCENARIO could gain at the most if one kind of work were free, or halved: reads of weights and cache,
    arithmetic, communication, the host, memory, waiting.

    Cost is planned anew for each; other objectives are of the deployment as it stands. Exit status 1 when the scenario
    cannot be done now.
    """
    from rooflab.api import ceiling

    scenario = given.scenario()
    with given.located():
        found = ceiling(scenario, objective, simulated=simulated)
    if html is not None:
        from rooflab.report.pages.ceiling import write_ceiling_page

        write_ceiling_page(found, html)
    if as_json:
        click.echo(json.dumps(found.record(), allow_nan=False))
    else:
        from rooflab.report.text.ceiling import show_ceiling

        show_ceiling(found, given.path, quiet=quiet)
    return 1 if found.why else 0

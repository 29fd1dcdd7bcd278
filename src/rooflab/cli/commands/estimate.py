"""`rooflab estimate`: closed-form metrics of scenarios, or of a file of them."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from rooflab.cli.saving import Saver, save_options
from rooflab.cli.scenario_options import Given, ScenarioCommand, output_options, scenario_options

if TYPE_CHECKING:
    from rooflab.estimator.serving.answer import Estimate

__all__ = ["command"]


@click.command("estimate", cls=ScenarioCommand)
@save_options
@scenario_options(many=True)
@click.option("--breakdown", is_flag=True, help="Where a step's time goes, operator by operator.")
@click.option(
    "--batch",
    metavar="FILE.jsonl",
    help="Scenarios as JSON lines ('-' for stdin); JSON lines out, an error per line that fails.",
)
@output_options
def command(*, given: list[Given], saver: Saver, breakdown: bool, batch: str | None, as_json: bool, quiet: bool) -> int:
    """Closed-form metrics of each SCENARIO: throughput, latency, memory, cost, energy, and the physical limit.

    Exit status 1 when a scenario does not fit or misses its service levels.
    """
    if batch is not None or len(given) > 1:
        saver.refuse("it takes one scenario")
    if batch is not None:
        from rooflab.cli.batch import estimate_file

        return estimate_file(batch, given, quiet=quiet)
    status = 0
    for i, one in enumerate(given):
        estimate, engine = _solve(one, saver)
        status = max(status, int(bool(estimate.meets()) or estimate.saturated))
        if as_json:
            click.echo(json.dumps(_record(estimate, engine, breakdown), allow_nan=False))
        else:
            _show(estimate, engine, breakdown, first=i == 0)
        saver.end(partial(_record, estimate, engine, breakdown), status)
    return status


def _solve(one: Given, saver: Saver) -> tuple[Estimate, str]:
    """The estimate, and the engine that was asked for ("" where none was)."""
    from rooflab.api import estimate

    scenario = one.scenario()
    saver.begin("estimate", scenario)
    with one.located():
        return estimate(scenario), scenario.deployment.runtime.engine


def _record(estimate: Estimate, engine: str, breakdown: bool) -> dict[str, object]:
    from rooflab.cli.records import deployment_record

    out: dict[str, object] = {
        "name": estimate.scenario.name,
        "model": estimate.scenario.model.served_name,
        "hardware": f"{estimate.scenario.hardware.count} x {estimate.scenario.hardware.device.key}",
        "deployment": deployment_record(estimate.scenario.deployment),
        "engine_given": bool(engine),
        "metrics": estimate.record(),
        "missed": [
            {"target": key, "got_s": got if got < float("inf") else None, "limit_s": limit}
            for key, got, limit in estimate.meets()
        ],
    }
    from rooflab.deploy.simulated import simulated_only
    from rooflab.evidence.intervals.intervals import intervals

    out["simulated_only"] = list(simulated_only(estimate.scenario))
    out["intervals"] = {name: one.record() for name, one in intervals(estimate).items()}
    if breakdown:
        from dataclasses import asdict

        from rooflab.estimator.serving.breakdown import breakdown as operators

        out["operators"] = [asdict(row) for row in operators(estimate)]
    return out


def _show(estimate: Estimate, engine: str, breakdown: bool, *, first: bool) -> None:
    from rooflab.report.text.console import console
    from rooflab.report.text.estimate import show_breakdown, show_estimate

    out = console()
    if not first:
        out.rule(style="dim")
    show_estimate(estimate, out, engine_given=bool(engine))
    if breakdown:
        from rooflab.estimator.serving.breakdown import breakdown as operators

        show_breakdown(operators(estimate), out)

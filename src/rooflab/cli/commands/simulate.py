"""`rooflab simulate`: a scenario event by event."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from rooflab.cli.saving import Saver, save_options
from rooflab.cli.scenario_options import Given, ScenarioCommand, output_options, scenario_options
from rooflab.errors import InputError

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario
    from rooflab.simulator.results.serving import ServingResult

__all__ = ["command"]


@click.command("simulate", cls=ScenarioCommand)
@save_options
@scenario_options()
@click.option(
    "--saturation",
    is_flag=True,
    help="The highest rate that holds every service level in the steady state, with its interval.",
)
@click.option("--records", metavar="FILE", help="One row a request: .csv, .jsonl or .parquet.")
@click.option("--timeline", metavar="FILE.json", help="A trace of the run for Perfetto or chrome://tracing.")
@click.option("--html", metavar="FILE", help="A page with latency distributions, load over time and the batch.")
@output_options
def command(
    *,
    given: Given,
    saver: Saver,
    saturation: bool,
    records: str | None,
    timeline: str | None,
    html: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """SCENARIO event by event: every request through the engine's own batching rules, at the prices that `estimate`
    uses.

    How many requests: --requests (10,000 in an open loop). Ctrl-C keeps what is done and says so, exit status 130.
    Exit status 1 when a service level is missed, or when requests would wait for ever.
    """
    scenario = given.scenario()
    saver.begin("saturation" if saturation else "simulation", scenario)
    if saturation:
        return _saturation(given, scenario, saver, as_json=as_json, quiet=quiet)
    from rooflab.api import simulate

    with given.located():
        result = simulate(scenario, progress=_progress(quiet), tell=_tell(quiet), log_steps=20_000 if timeline else 0)
    _clear(quiet)
    _write(scenario, result, records, timeline, html)
    if as_json:
        click.echo(json.dumps(_record(result), allow_nan=False))
    else:
        _show(scenario, result)
    if result.run.stranded:
        if as_json:
            print(result.stuck(), file=sys.stderr)
        return 1
    if not result.run.complete:
        return 130
    return saver.end(lambda: _record(result), int(bool(result.broken())))


def _record(result: ServingResult) -> dict[str, object]:
    return {"metrics": result.record(), "missed": _missed(result)}


def _saturation(given: Given, scenario: Scenario, saver: Saver, *, as_json: bool, quiet: bool) -> int:
    from rooflab.simulator.serving.capacity import capacity
    from rooflab.units import significant

    def show(rate: float, held: bool) -> None:
        if not quiet and sys.stderr.isatty():
            print(f"{significant(rate)} requests/s {'holds' if held else 'is too much'}", file=sys.stderr)

    with given.located():
        found = capacity(scenario, progress=show, tell=_tell(quiet))
    if as_json:
        click.echo(json.dumps(found.record(), allow_nan=False))
        return saver.end(found.record, int(found.result is None))
    if found.result is None:
        click.echo("no rate will do: not even 0.01 requests/s meets every target (rooflab simulate shows which)")
        return saver.end(found.record, 1)
    click.echo(
        f"{significant(found.rate)} requests/s is the highest rate at which "
        f"{'every target holds' if scenario.slo else 'it keeps up'} in the steady state "
        f"(95 % interval {significant(found.low)} to {significant(found.high)}; {found.streams} streams, runs of "
        f"{found.requests:,} requests)"
    )
    for line in found.warnings:
        click.echo(f"! {line}")
    _show(
        scenario.with_workload(rate=found.rate, concurrency=None, batch=None, burst=None, scenario=None), found.result
    )
    return saver.end(found.record, 0)


def _tell(quiet: bool) -> Callable[[str], None] | None:
    """Show a line that says why this run takes longer."""
    return None if quiet else lambda line: print(line, file=sys.stderr, flush=True)


def _progress(quiet: bool) -> Callable[[float, float], None] | None:
    if quiet or not sys.stderr.isatty():
        return None

    def show(done: float, now_s: float) -> None:
        from rooflab.units import format_seconds

        print(
            f"\r{100 * done:.0f} % of requests, {format_seconds(now_s)} simulated \x1b[K",
            end="",
            file=sys.stderr,
            flush=True,
        )

    return show


def _clear(quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)


def _missed(result: ServingResult) -> list[dict[str, object]]:
    return [
        {"target": key, "got_s": got if got < float("inf") else None, "limit_s": limit}
        for key, got, limit in result.broken()
    ]


def _write(
    scenario: Scenario, result: ServingResult, records: str | None, timeline: str | None, html: str | None
) -> None:
    """Write the files that were asked for."""
    if records is not None:
        from rooflab.simulator.results.records import write_records

        write_records(result, records)
    if timeline is not None:
        if not timeline.endswith(".json"):
            raise InputError("a timeline is written as .json", "--timeline")
        from rooflab.simulator.results.perfetto import write_perfetto

        write_perfetto(result, timeline)
    if html is not None:
        from rooflab.report.pages.simulation import write_simulation_page
        from rooflab.report.text.headline import load_words, title

        write_simulation_page(
            result, html, title=title(scenario), subtitle=load_words(scenario.workload, scenario.model)
        )


def _show(scenario: Scenario, result: ServingResult) -> None:
    from rooflab.report.text.console import console
    from rooflab.report.text.simulation import show_simulation

    show_simulation(scenario, result, console())

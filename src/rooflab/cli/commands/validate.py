"""`rooflab validate`: predicted against measured."""

from __future__ import annotations

import json

import click

from rooflab.cli.scenario_options import output_options

__all__ = ["command"]


@click.command("validate")
@click.argument("file", metavar="[FILE.csv]", required=False)
@click.option(
    "--rows", is_flag=True, help="With --json: one record a row, and the reason of each row without a prediction."
)
@click.option("--all", "everything", is_flag=True, help="Every group, and the ids of suspect rows.")
@click.option(
    "--worst", default=10, show_default=True, metavar="N", help="How many of the rows that are furthest off to show."
)
@click.option("--html", metavar="PAGE.html", help="Draw predicted against measured, by source, on one page.")
@click.option("--calibration", metavar="FILE", help="Constants of your own (rooflab calibrate) over the shipped ones.")
@click.option(
    "--check", is_flag=True, help="Compare with the recorded bounds; exit status 1 when a group has got worse."
)
@output_options
def command(
    *,
    file: str | None,
    rows: bool,
    everything: bool,
    worst: int,
    html: str | None,
    calibration: str | None,
    check: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Predict the rows of FILE.csv and compare with what was measured; without a file, the measurements that ship.

    FILE.csv has one metric value a row: at least model, gpu, metric and value, and for serving also engine, num_gpus,
    tp, batch_or_concurrency, isl, osl and scenario. Rows that cannot be modelled are counted with the reason.
    """
    from rooflab.errors import InputError

    if check and file:
        raise InputError("bounds are recorded for the shipped rows only: leave out FILE.csv", "--check")
    if worst < 0:
        raise InputError(f"cannot be {worst}; 0 or more", "--worst")
    from rooflab.cli.calibration_option import calibrated
    from rooflab.evidence.score.validate import validate

    with calibrated(calibration):
        found = validate(file)
    if html:
        from rooflab.report.pages.validate import write_validation_page

        write_validation_page(found, html)
    broken = []
    if check:
        from rooflab.evidence.publish.bounds import breaches, read_bounds

        bounds = read_bounds()
        broken = breaches(found, bounds)
    if as_json:
        record = found.record(rows=rows)
        if check:
            record["breaches"] = [
                {"grouping": b.grouping, "name": b.name, "figure": b.figure, "got": b.got, "bound": b.bound}
                for b in broken
            ]
        click.echo(json.dumps(record, allow_nan=False))
        return int(bool(broken))
    from rooflab.report.text.console import console
    from rooflab.report.text.validate import show_breaches, show_validation

    out = console()
    if not (quiet and check):
        show_validation(found, out, everything=everything, worst=worst)
    if check:
        show_breaches(broken, sum(len(named) for named in bounds.values()), out)
    if html and not quiet:
        click.echo(f"wrote {html}", err=True)
    return int(bool(broken))

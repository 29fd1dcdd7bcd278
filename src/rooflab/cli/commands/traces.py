"""`rooflab traces`: public request traces, and the fit of a user's own."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

__all__ = ["command"]


@click.group("traces")
def command() -> None:
    """Public request traces: list them, download them with a checksum, fit your own."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
def list_command(as_json: bool, quiet: bool) -> int:
    """Traces that `rooflab traces get` can download."""
    from rooflab.catalogue.traces import list_traces

    traces = list_traces()
    if as_json:
        click.echo(json.dumps([asdict(t) for t in traces], indent=1))
    elif quiet:
        click.echo("\n".join(t.key for t in traces))
    else:
        from rooflab.report.text.catalogue import show_rows
        from rooflab.report.text.console import console
        from rooflab.units import format_quantity

        rows = [
            {
                "trace": t.key,
                "title": t.title,
                "rows": f"{t.rows:,}" if t.rows else "",
                "size": format_quantity(t.size_bytes, "B") if t.size_bytes else "",
                "licence": t.licence,
            }
            for t in traces
        ]
        show_rows(
            ("trace", "title", "rows", "size", "licence"),
            rows,
            console(),
            numeric=frozenset({"rows", "size"}),
            sources=False,
        )
    return 0


@command.command("get")
@click.argument("name")
@click.option(
    "--folder", metavar="DIR", help="Where to put it (default: the cache folder, where `trace: NAME` finds it)."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def get_command(name: str, folder: str | None, as_json: bool, quiet: bool) -> int:
    """Download the trace NAME, check it, and print its path."""
    from rooflab.catalogue.traces import get
    from rooflab.units import format_quantity

    shown = not quiet and sys.stderr.isatty()

    def progress(done: int, total: int | None) -> None:
        of = f" of {format_quantity(total, 'B')}" if total else ""
        print(f"\r{format_quantity(done, 'B')}{of}   ", end="", file=sys.stderr, flush=True)

    path = get(name, folder, progress if shown else None)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr)
    click.echo(json.dumps({"trace": name, "path": str(path)}) if as_json else str(path))
    return 0


@command.command("fit")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="The whole fit: quantiles, correlation, sessions.")
@click.option("-q", "--quiet", is_flag=True, help="Only the answer.")
def fit_command(file: str, as_json: bool, quiet: bool) -> int:
    """Fit length and arrival distributions to a trace FILE (CSV or JSONL)."""
    from rooflab.catalogue.trace_fit import fit_trace
    from rooflab.units import significant

    entry = fit_trace(file)
    if as_json:
        click.echo(json.dumps(entry.as_json()))
        return 0
    rate = f"{significant(entry.rate)} requests/s" if entry.rate else "no clock"
    click.echo(
        f"{entry.rows:,} requests, {rate}"
        + (f", gaps with cv {significant(entry.arrivals_cv)}" if entry.arrivals_cv else "")
    )
    for name, lengths in (("in", entry.isl), ("out", entry.osl)):
        click.echo(f"{name}: mean {lengths.mean:,.0f}, cv {significant(lengths.cv)}, largest {lengths.high:,.0f}")
    click.echo(f"rank correlation of the two {entry.correlation:.2f}")
    if entry.reused_fraction is not None:
        click.echo(f"{100 * entry.reused_fraction:.0f} % of prompt tokens were seen before")
    if not quiet:
        click.echo(f"use it: workload: {{trace: {file}}}")
    return 0

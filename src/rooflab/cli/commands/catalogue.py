"""`rooflab catalogue`: the facts that ship, with their sources."""

from __future__ import annotations

import json

import click

__all__ = ["KINDS", "command"]

KINDS = ("models", "hardware", "links", "hosts", "prices", "grid", "pue", "workloads", "engines", "metrics")


@click.command("catalogue")
@click.argument("kind", metavar="KIND")
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.option("--sources", is_flag=True, help="Where each figure comes from.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table; sources included.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
def command(kind: str, words: tuple[str, ...], sources: bool, as_json: bool, quiet: bool) -> int:
    """List one KIND of facts: models, hardware, links, hosts, prices, grid, pue, workloads, engines or metrics.

    WORDs keep the rows that contain all of them; one that is a path to a config.json, its folder or a .gguf file shows
    that model. Exit status 1 when none is left.
    """
    from rooflab.errors import unknown
    from rooflab.report.listings import LISTINGS, matches

    listing = LISTINGS.get(kind)
    if listing is None:
        raise unknown("kind of facts", kind, LISTINGS)
    rows = (_file(words[0]) if kind == "models" and len(words) == 1 else None) or [
        row for row in listing.rows() if matches(row, words)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif quiet:
        for row in rows:
            click.echo(next(iter(listing.cells(row).values())))
    elif rows:
        from rooflab.report.text.catalogue import show_rows
        from rooflab.report.text.console import console

        show_rows(
            tuple(listing.columns),
            [listing.cells(row) for row in rows],
            console(),
            numeric=listing.numeric,
            sources=sources,
        )
    if not rows:
        click.echo(f"no {kind} with {' '.join(words)}", err=True)
    return 0 if rows else 1


def _file(label: str) -> list[dict[str, object]] | None:
    from rooflab.catalogue.models import list_file

    return list_file(label)

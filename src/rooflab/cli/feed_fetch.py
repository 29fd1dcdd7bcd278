"""`rooflab feed fetch`: sources read, waits told, what came of each."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from rooflab.errors import InputError

if TYPE_CHECKING:
    from rooflab.feed.fetch import Fetched

__all__ = ["fetch_papers"]

_FEW: Final = 5
"""Broken entries of a source that are shown; --json has them all."""


def fetch_papers(words: Sequence[str], *, limit: int, store: str | None, as_json: bool, quiet: bool) -> int:
    """Fetch the sources that `words` name; the exit status."""
    from rooflab import __version__
    from rooflab.cli.feed_papers import classifier
    from rooflab.feed.download import Downloader
    from rooflab.feed.fetch import fetch_all
    from rooflab.feed.sources import USUAL, read_sources
    from rooflab.store.opening import Store
    from rooflab.store.papers import count_papers

    sources = read_sources(words or USUAL)

    def told(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    rules = classifier()
    with Store.open(store) as held, Downloader(agent=f"rooflab/{__version__}", told=told) as downloader:
        found = fetch_all(held, sources, downloader, rules.prepared, limit=limit)
        total = count_papers(held)
    if not any(one.reached for one in found):
        hosts = "; ".join(f"{one.source}: {one.error}" for one in found)
        raise InputError(f"no source can be reached ({hosts}): offline? The {total:,} papers that are kept stay")
    for one in found:
        _complain(one)
    if as_json:
        click.echo(json.dumps([one.record() for one in found], ensure_ascii=False))
    elif not quiet:
        for one in found:
            click.echo(_line(one))
        click.echo(f"{total:,} papers are kept")
    return int(any(one.error for one in found))


def _line(one: Fetched) -> str:
    if one.unchanged:
        return f"{one.source}: unchanged since it was last fetched"
    k = one.kept
    counts = f"{k.new:,} new, {k.updated:,} updated, {k.same:,} known"
    broken = f", {len(one.broken):,} broken" if one.broken else ""
    return f"{one.source}: {counts}{broken}{' before it failed' if one.error else ''}"


def _complain(one: Fetched) -> None:
    for line in one.broken[:_FEW]:
        click.echo(f"{one.source}: {line}", err=True)
    if len(one.broken) > _FEW:
        click.echo(f"{one.source}: and {len(one.broken) - _FEW:,} more broken", err=True)
    if one.error:
        click.echo(f"{one.source}: {one.error}", err=True)

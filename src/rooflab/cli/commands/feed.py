"""`rooflab feed`: papers of the day, fetched into the store and classified."""

from __future__ import annotations

import click

from rooflab.cli.saving import store_option
from rooflab.cli.scenario_options import output_options

__all__ = ["command"]


@click.group("feed")
def command() -> None:
    """New papers: fetch them into the store, say what they are about."""


@command.command("fetch")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "--limit", default=500, show_default=True, metavar="N", type=click.IntRange(1), help="Of a long answer, so many."
)
@store_option
@output_options
def fetch(*, sources: tuple[str, ...], limit: int, store: str | None, as_json: bool, quiet: bool) -> int:
    """Fetch papers of each SOURCE: the daily papers of Hugging Face and arXiv's on AI systems where none is named.

    \b
    arxiv:cs.DC,cs.LG                 papers of any of these categories
    arxiv:cs.LG/speculative decoding  those that have these words, too
    huggingface:2026-11-30            daily papers of a day (without: of today)
    https://...                       an RSS or Atom feed, or such a JSON
    FILE                              a saved document, or a list of sources

    New versions update, a paper of several sources is one, a broken entry is named and left out. Killed, it goes on
    where it was. Exit status 1 when a source failed, 2 when none could be reached.
    """
    from rooflab.cli.feed_fetch import fetch_papers

    return fetch_papers(sources, limit=limit, store=store, as_json=as_json, quiet=quiet)

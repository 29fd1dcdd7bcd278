"""`rooflab feed`: papers of the day, fetched into the store and classified."""

from __future__ import annotations

import click

from rooflab.cli.paper_filters import filters
from rooflab.cli.saving import store_option
from rooflab.cli.scenario_options import output_options

__all__ = ["command"]


@click.group("feed")
def command() -> None:
    """Papers by day, or by what they could give you; fetch new ones into the store."""


@command.command("list")
@click.option("--for", "scenario", default="", metavar="SCENARIO", help="By what each could give this at the most.")
@click.option(
    "--objective", default="", metavar="NAME", help="With --for: cost, throughput, ttft, tpot, joules, grams."
)
@click.option("--budget", default="5s", show_default=True, metavar="TIME", help="With --for: to try those that run.")
@click.option("-n", "limit", default=25, show_default=True, type=click.IntRange(1), help="With --for: at most so many.")
@filters
@output_options
def list_papers(
    *, scenario: str, objective: str, budget: str, limit: int, kind: str, saves: str, day: str, runnable: bool,
    as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """All papers by day, newest first; with --for by what they could give SCENARIO.

    At most is the ceiling of what a paper spares (rooflab ceiling), all of it free. Beside it stands what the technique
    gives where it runs, and what the abstract says, with a sentence where that is more than you could get.
    """
    from rooflab.cli.feed_list import list_by_day, list_for
    from rooflab.feed.listing import entries, select

    found = select(entries(), kind=kind, saves=saves, day=day, runnable=runnable)
    if not scenario:
        return list_by_day(found, as_json=as_json, quiet=quiet)
    return list_for(found, scenario, objective, budget, limit, as_json=as_json, quiet=quiet)


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


@command.command("search")
@click.argument("words", nargs=-1)
@click.option("--kind", default="", metavar="KIND", help="Of a kind: serving, quantization, training, ...")
@click.option("--saves", default="", metavar="RESOURCE", help="That save a resource: memory, energy, money, ...")
@click.option("--day", default="", metavar="DATE", help="Of a day, or the beginning of one: 2026-11.")
@click.option("--all", "everything", is_flag=True, help="Also papers that are not about efficiency.")
@click.option("-n", "limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@store_option
@output_options
def search(
    *, words: tuple[str, ...], kind: str, saves: str, day: str, everything: bool, limit: int, store: str | None,
    as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Papers that were fetched, about WORDS, best match first; without words the newest.

    Exit status 1 when there are none.
    """
    from rooflab.cli.feed_papers import search_kept

    asked = {"kind": kind, "saves": saves, "day": day, "limit": limit, "everything": everything}
    return search_kept(" ".join(words), asked, store=store, as_json=as_json, quiet=quiet)


@command.command("show")
@click.argument("paper")
@store_option
@output_options
def show(paper: str, store: str | None, as_json: bool, quiet: bool) -> int:
    """A PAPER that was fetched (2408.12757, or its address): what it is about, what it claims, what runs near it."""
    from rooflab.cli.feed_papers import show_kept

    return show_kept(paper, store=store, as_json=as_json)


@command.command("classify")
@click.option("--all", "everything", is_flag=True, help="Also papers that these rules have classified before.")
@store_option
@output_options
def classify(*, everything: bool, store: str | None, as_json: bool, quiet: bool) -> int:
    """Classify papers that were fetched under other rules: kind, resources, figures, nearest papers, relevance."""
    from rooflab.cli.feed_papers import classify_kept

    return classify_kept(everything=everything, store=store, as_json=as_json, quiet=quiet)


@command.command("evaluate")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@output_options
def evaluate(folder: str, as_json: bool, quiet: bool) -> int:
    """How good the classification is, over a FOLDER of labelled abstracts, each as if its card did not exist.

    The folder holds a YAML file a paper: n (the number of its card), title, abstract, claims (value, source).
    """
    from rooflab.cli.feed_papers import evaluate_folder

    return evaluate_folder(folder, as_json=as_json, quiet=quiet)

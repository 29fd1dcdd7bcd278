"""`rooflab papers`: the feed, its techniques on a scenario, and its evidence."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from rooflab.cli.paper_filters import filters
from rooflab.cli.saving import Saver, save_options
from rooflab.cli.scenario_options import Given, ScenarioCommand, output_options, scenario_options

if TYPE_CHECKING:
    from rooflab.errors import RooflabError
    from rooflab.evidence.claims.row import Row
    from rooflab.papers.cards import Card

__all__ = ["command"]


@click.group("papers")
def command() -> None:
    """Papers about efficiency, as things you can run: list them, try one on your scenario, recompute what it claims."""


@command.command("list")
@filters
@output_options
def list_papers(*, kind: str, saves: str, day: str, runnable: bool, as_json: bool, quiet: bool) -> int:
    """All papers by day, newest first."""
    from rooflab.feed.listing import entries, select
    from rooflab.papers.registry import excluded

    found = select(entries(), kind=kind, saves=saves, day=day, runnable=runnable)
    for module, why in excluded().items():
        click.echo(f"left out: {module}: {why}", err=True)
    if as_json:
        return _json([e.record() for e in found])
    from rooflab.report.text.papers import show_list

    show_list(found, quiet=quiet)
    return 0 if found else 1


@command.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "limit", default=10, show_default=True, help="At most so many.")
@filters
@output_options
def search_papers(
    *, words: tuple[str, ...], limit: int, kind: str, saves: str, day: str, runnable: bool, as_json: bool, quiet: bool
) -> int:
    """Papers about WORDS, best match first."""
    from rooflab.feed.listing import entries, select
    from rooflab.feed.search import search

    found = search(" ".join(words), select(entries(), kind=kind, saves=saves, day=day, runnable=runnable), limit)
    if as_json:
        return _json([e.record() | {"score": round(score, 3)} for score, e in found])
    from rooflab.report.text.papers import show_found

    show_found([e for _, e in found], " ".join(words), quiet=quiet)
    return 0 if found else 1


@command.command("show")
@click.argument("key")
@output_options
def show(key: str, as_json: bool, quiet: bool) -> int:
    """What a paper does, what is executed, modelled and assumed, its techniques, and its claims.

    Claims are those of the last check where that was of the present code; else values of the ledger, which no audit
    backs.
    """
    from rooflab.feed.listing import entry

    found = entry(key)
    if not found.runnable:
        return _show_card(found, as_json)
    from rooflab.evidence.claims.check import known
    from rooflab.papers.parameters import described
    from rooflab.papers.registry import paper

    rows = known(found.key)
    p = paper(found.key)
    if as_json:
        offered: dict[str, Any] = {
            name: [{"key": key, "parameters": {d.name: asdict(d) for d in described(cls)}} for key, cls in of]
            for name, of in (("techniques", p.techniques.items()), ("methods", p.methods.items()))
        }
        texts = {"executed": p.executed, "modelled": p.modelled, "assumed": p.assumed} | offered
        return _json(found.record() | texts | {"claims": [r.record() for r in rows]})
    from rooflab.report.text.papers import show_paper

    show_paper(found, p, rows)
    if not quiet:
        checked = not any(r.status == "unaudited" for r in rows)
        does = "shows why those fail that do" if checked else "computes and audits these figures"
        click.echo(f"\nNext    rooflab papers check {found.key} {does}")
        click.echo(f"        rooflab papers run {found.key} INPUT")
    return 0


def _show_card(found: Card, as_json: bool) -> int:
    if as_json:
        return _json(found.record() | {"claims": []})
    from rooflab.report.text.papers import show_card

    show_card(found)
    return 0


@command.command("run", cls=ScenarioCommand)
@save_options
@click.argument("key")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the method; repeatable.")
@click.option("--method", default="", metavar="NAME", help="Which technique or method, where a paper has several.")
@click.option("--budget", default="", metavar="TIME", help="Take about so long (3m): fewer samples, wider intervals.")
@click.option("--seeds", type=click.IntRange(1), default=1, metavar="N", help="Run N seeds, and show the spread.")
@click.option("--no-cache", is_flag=True, help="Compute what an earlier run finished, too.")
@click.option("--out", default="", metavar="DIR", help="Write the files that the method makes into a new folder.")
@click.option("--html", default="", metavar="FILE", help="Also write one page with figures, reasons and the plot.")
@scenario_options(many=True, metavar="INPUT")
@output_options
def run(
    *, key: str, settings: tuple[str, ...], method: str, budget: str, seeds: int, no_cache: bool, out: str, html: str,
    given: list[Given], saver: Saver, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """A paper's technique or method on inputs of yours, or on a sample or setup of its own: before, after, and why.

    An INPUT is a SCENARIO (a file or flags) for techniques; a file or the name of a sample (rooflab inputs) for
    methods that read another kind of data. What takes long is kept as it is finished: after Ctrl-C (exit status 130)
    the figures are of what is there, and the same command goes on. Exit status 1 when it does not apply or does not
    fit, with the reason.
    """
    from rooflab.cli.papers_run import Wish, run_paper_on

    wish = Wish(
        settings=settings, method=method, budget=budget, seeds=seeds, keep=not no_cache, out=out, html=html,
        as_json=as_json, quiet=quiet,
    )  # fmt: skip
    return run_paper_on(key, given, wish, saver)


@command.command("check")
@save_options
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--workers", type=click.IntRange(1), default=None, help="Processes (default: one a core).")
@click.option("--no-cache", is_flag=True, help="Compute what was computed from the same sources before, too.")
@click.option(
    "--record",
    "reason",
    default=None,
    metavar="REASON",
    help="Add to the ledger what is new, or has changed by more than 2 %, and why.",
)
@click.option(
    "--event",
    default="value",
    show_default=True,
    metavar="EVENT",
    help="With --record, what made a value change: value (of itself), setup, seed, length, reading; or withdrawn.",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="CLAIM",
    help="With --event withdrawn, a claim whose independent source justifies nothing after all; repeatable.",
)
@click.option(
    "--independent",
    default="",
    metavar="SOURCE",
    help="With --record, a source that justifies the change and has nothing to do with the claim.",
)
@output_options
def check_claims(
    *,
    keys: tuple[str, ...],
    saver: Saver,
    workers: int | None,
    no_cache: bool,
    reason: str | None,
    event: str,
    independent: str,
    claims: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Recompute and audit every claim of the papers KEY (all).

    What was computed before from the same sources (of the paper, of Rooflab, versions of NumPy and others) is taken
    from the user's cache folder. A paper that cannot be loaded is left out, and named. Exit status 1 when a claim fails
    or a paper is left out. With --record the ledger of claims gets their first
    values, and changes with their reason.
    """
    from rooflab.api import engines
    from rooflab.evidence.claims.check import check
    from rooflab.evidence.claims.kept import Kept
    from rooflab.papers.registry import keys as every

    saver.begin("check", papers=sorted(set(keys)))
    shown, n = not quiet and sys.stderr.isatty(), len(set(keys)) or len(every())
    done = count(1)

    def said(name: str, rows: list[Row], kept: bool) -> None:
        if shown:
            took = "as before" if kept else f"{sum(r.seconds for r in rows):.1f} s"
            held = sum(r.status == "reproduced" for r in rows)
            click.echo(f"{next(done):>3} of {n}  {name}: {held} of {len(rows)} reproduced, {took}", err=True)

    missing: list[str] = []

    def left_out(name: str, error: RooflabError) -> None:
        missing.append(name)
        click.echo(f"left out: {error}", err=True)

    kept = None if no_cache else Kept()
    rows = check(keys, engines=engines(), workers=workers, each=said, kept=kept, left_out=left_out)
    if missing and not rows:
        return 2
    if reason is not None:
        _record(rows, reason, event, independent, claims)
    failed = int(any(r.status == "failing" for r in rows) or bool(missing))
    if as_json:
        _json([r.record() for r in rows])
    else:
        from rooflab.report.text.claims import show_claims

        show_claims(rows)
    return saver.end(lambda: [r.record() for r in rows], failed)


def _record(rows: list[Row], reason: str, event: str, independent: str, claims: tuple[str, ...]) -> None:
    from rooflab import __version__
    from rooflab.evidence.claims.record import record

    for e in record(rows, reason=reason, version=__version__, event=event, independent=independent, claims=claims):
        click.echo(f"recorded {e.paper}.{e.claim}: {e.event} {e.value}", err=True)


@command.command("rank", cls=ScenarioCommand)
@click.option("--budget", default="10s", show_default=True, metavar="TIME", help="Try what there is time for: 30s, 5m.")
@click.option("--no-cache", is_flag=True, help="Compute what an earlier ranking found, too.")
@scenario_options()
@output_options
def rank_papers(*, given: Given, budget: str, no_cache: bool, as_json: bool, quiet: bool) -> int:
    """Which papers would help SCENARIO most, by how much, at what cost in quality, and why.

    Techniques are ranked by what they are about (tokens a second, latency, power), those whose cost in quality nobody
    published apart. Methods that read a scenario give advice. What is found is kept: the same command goes on with what
    there was no time for.
    """
    from rooflab.cli.papers_rank import rank_papers_on

    return rank_papers_on(given, budget, keeps=not no_cache, as_json=as_json, quiet=quiet)


@command.command("new")
@click.argument("key")
@click.argument("folder", required=False, default=".", type=click.Path(file_okay=False))
@click.option(
    "--kind",
    default="scenario",
    show_default=True,
    metavar="KIND",
    help="What it reads: scenario (begins with a technique) or vectors (with a method).",
)
@output_options
def new(*, key: str, folder: str, kind: str, as_json: bool, quiet: bool) -> int:
    """Start a paper of your own: a package with its entry point, its file and its tests, under FOLDER."""
    from rooflab.papers.scaffold import scaffold

    written = scaffold(key, folder, kind)
    if as_json:
        return _json([str(p) for p in written])
    for path in written:
        click.echo(str(path))
    if not quiet:
        click.echo(f"next: pip install -e {written[0].parent}, then rooflab papers check {key}")
    return 0


def _json(value: Any) -> int:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return 0

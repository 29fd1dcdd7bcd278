"""`rooflab runs`: what was kept with --save: list it, show it, compare two, hand one on, forget it."""

from __future__ import annotations

import json
from typing import Any

import click

from rooflab.cli.saving import store_option
from rooflab.cli.scenario_options import output_options
from rooflab.errors import InputError

__all__ = ["command"]


@click.group("runs")
def command() -> None:
    """Answers that were kept with --save NAME: list them, show one, compare two, export, remove.

    They stand in one SQLite file: --store FILE, else $ROOFLAB_STORE, else rooflab/store.sqlite3 in the user's data
    folder.
    """


@command.command("list")
@click.option("--kind", default="", metavar="KIND", help="plan, estimate, simulation, saturation, paper or check.")
@store_option
@output_options
def list_runs(*, kind: str, store: str | None, as_json: bool, quiet: bool) -> int:
    """All runs that are kept, the newest first. Exit status 1 when there are none."""
    from rooflab.store.differ import headline
    from rooflab.store.opening import Store
    from rooflab.store.runs import runs

    with Store.open(store) as held:
        found = runs(held, kind=kind)
    if as_json:
        _json([{k: v for k, v in r.record().items() if k != "result"} | {"headline": headline(r)} for r in found])
    elif quiet:
        click.echo("\n".join(r.name for r in found), nl=bool(found))
    else:
        from rooflab.report.text.runs import show_runs

        show_runs(found)
    return 0 if found else 1


@command.command("show")
@click.argument("name")
@store_option
@output_options
def show_one(name: str, store: str | None, as_json: bool, quiet: bool) -> int:
    """What a run was asked, by which code, and what came out. --json gives all of it."""
    from rooflab.store.opening import Store
    from rooflab.store.runs import run

    with Store.open(store) as held:
        found = run(held, name)
    if as_json:
        return _json(found.record())
    from rooflab.report.text.runs import show_kept

    show_kept(found, quiet=quiet)
    return 0


@command.command("diff")
@click.argument("before")
@click.argument("after")
@store_option
@output_options
def diff(*, before: str, after: str, store: str | None, as_json: bool, quiet: bool) -> int:
    """What differs between two runs of a kind: inputs, code, results; and, between two estimates of several inputs,
    how far each input alone takes the figures. Exit status 1 when something differs."""
    from rooflab.store.differ import differ
    from rooflab.store.opening import Store
    from rooflab.store.runs import run

    with Store.open(store) as held:
        found = differ(run(held, before), run(held, after))
    from rooflab.planner.shares import shares

    alone = shares(found)
    if as_json:
        _json(found.record() | {"alone": [one.record() for one in alone]})
    else:
        from rooflab.report.text.runs import show_difference

        show_difference(found, alone, quiet=quiet)
    return int(bool(found.inputs or found.code or found.results))


@command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@store_option
@output_options
def remove(*, names: tuple[str, ...], store: str | None, as_json: bool, quiet: bool) -> int:
    """Forget runs, all of those named or none."""
    from rooflab.store.opening import Store
    from rooflab.store.runs import remove_runs

    with Store.open(store) as held:
        remove_runs(held, list(dict.fromkeys(names)))
    if as_json:
        return _json({"removed": list(dict.fromkeys(names))})
    return 0


_WHATS = ("run", "result", "scenario")


@command.command("export")
@click.argument("name")
@click.option(
    "--what",
    default="run",
    show_default=True,
    metavar="PART",
    help="run (all of it), result (what --json printed: of a plan, a file that every command reads), or scenario.",
)
@click.option("--out", default="", metavar="FILE", help="Write a file, whole or not at all; a scenario as .yaml, too.")
@store_option
@output_options
def export(*, name: str, what: str, out: str, store: str | None, as_json: bool, quiet: bool) -> int:
    """Hand a run on: all of it, its result, or the scenario that it was asked, as JSON to stdout or into a file."""
    from rooflab.errors import unknown
    from rooflab.files import write_text
    from rooflab.store.opening import Store
    from rooflab.store.runs import run

    if what not in _WHATS:
        raise unknown("part of a run", what, _WHATS, "--what")
    with Store.open(store) as held:
        found = run(held, name)
    if what == "scenario" and found.asked.scenario is None:
        raise InputError(f"is a run of the kind {found.asked.kind}, which keeps no scenario", name)
    content: Any = {"run": found.record(), "result": found.result, "scenario": found.asked.scenario}[what]
    if not out:
        return _json(content)
    if out.endswith((".yaml", ".yml")):
        import yaml

        write_text(out, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
    else:
        write_text(out, json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    return 0


def _json(value: Any) -> int:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
    return 0

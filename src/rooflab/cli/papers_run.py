"""`rooflab papers run`: inputs read, progress shown, files and the page written, and what an interruption says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rooflab.cli.saving import Saver
from rooflab.cli.scenario_options import Given
from rooflab.cli.status_line import StatusLine, budget_seconds
from rooflab.errors import Infeasible, InputError

if TYPE_CHECKING:
    from rooflab.papers.execute import Chosen, Ran, Refused
    from rooflab.papers.paper import Paper
    from rooflab.papers.work import Step

__all__ = ["Wish", "run_paper_on"]

_SEED: Final = "workload.seed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options of the command say."""

    settings: Sequence[str]
    method: str
    budget: str
    seeds: int
    keep: bool
    out: str
    html: str
    as_json: bool
    quiet: bool


def run_paper_on(key: str, given: Sequence[Given], wish: Wish, saver: Saver) -> int:
    """Run a paper on what was given; the exit status."""
    from rooflab.feed.listing import entry
    from rooflab.papers.registry import keys, paper

    card = entry(key)
    if not card.runnable:
        if card.key in keys():
            paper(card.key)  # which says why it cannot be loaded
        click.echo(f"{card.key}: {card.status} (rooflab papers list --runnable)", err=True)
        return 1
    _vacant(wish.out, wish.html)
    _begin(card.key, given, saver)
    progress = _Progress(StatusLine(not wish.quiet and sys.stderr.isatty()))
    try:
        ran, refused = _every(card.key, given, wish, progress)
    except KeyboardInterrupt:
        progress.line.clear()
        click.echo(progress.interrupted(), err=True)
        return 130
    progress.line.clear()
    records = [*(one.record() for one in ran), *(no.record() for no in refused)]
    if wish.as_json:
        click.echo(json.dumps(records, ensure_ascii=False, allow_nan=False))
    else:
        from rooflab.report.text.ran import show_run

        show_run(card, ran, refused, next((one.path for one in given if one.path), ""), quiet=wish.quiet)
    if wish.html:
        from rooflab.report.pages.paper import write_paper_page

        write_paper_page(card, ran, refused, wish.html)
    stopped = progress.stopped or any(one.outcome.account.partial for one in ran)
    if wish.out:
        click.echo(_written(ran, wish.out, partial=stopped), err=True)
    if stopped:
        click.echo(progress.interrupted(), err=True)
        return 130
    return saver.end(lambda: records, int(bool(refused)))


def _begin(key: str, given: Sequence[Given], saver: Saver) -> None:
    """What is asked of a paper: its own code, and what its inputs hold."""
    if not saver.name:
        return
    from rooflab.papers.reach import sources
    from rooflab.store.code import file_digest

    fields = dict(given[0].fields)
    inputs = {one.path: file_digest(one.path) for one in given if one.path}
    saver.begin("paper", seed=_seed(given[0]), paper=key, code_of_paper=sources(key)[:16], fields=fields, data=inputs)


def _every(key: str, given: Sequence[Given], wish: Wish, progress: _Progress) -> tuple[list[Ran], list[Refused]]:
    """Each input in turn; after an interruption those that are left are refused."""
    from rooflab.api import engines
    from rooflab.papers.budget import Budget
    from rooflab.papers.execute import Refused, choose
    from rooflab.papers.reader import Terms, run_input
    from rooflab.papers.registry import paper

    p, settings, seed = paper(key), dict(_setting(s) for s in wish.settings), _seed(given[0])
    chosen = choose(p, wish.method or _of_flags(p, given), given[0].path)
    inputs = _inputs(p, chosen, given)
    budget = Budget(budget_seconds(wish.budget))
    terms = Terms(seed=seed, seeds=wish.seeds, budget_s=budget.seconds, keep=wish.keep, told=progress.told)
    ran: list[Ran] = []
    refused: list[Refused] = []
    for i, (name, (one, data)) in enumerate(inputs.items()):
        if progress.stopped:
            refused.append(Refused(name, "interrupted before it was run"))
            continue
        share_s = budget.left_s / (len(inputs) - i)
        try:
            with one.located():
                ran.append(
                    run_input(p, name, data, settings, terms, engines=engines(), method=chosen.key, budget_s=share_s)
                )
            progress.stopped = ran[-1].outcome.account.partial
        except Infeasible as error:
            if len(inputs) == 1:
                raise Infeasible(f"{one.path}: {error}" if one.path else str(error)) from None
            refused.append(Refused(name, str(error)))
        except KeyboardInterrupt:
            if not ran:
                raise
            progress.stopped = True
            refused.append(Refused(name, "interrupted before it had a figure"))
    return ran, refused


def _inputs(p: Paper, chosen: Chosen, given: Sequence[Given]) -> dict[str, tuple[Given, Any]]:
    """Inputs by name, each with the words that it was given in; the paper's own where nothing was."""
    from rooflab.api import engines
    from rooflab.inputs.convert import opened
    from rooflab.inputs.kinds import kind_of
    from rooflab.papers.execute import YOURS, kind_read, own_inputs
    from rooflab.papers.lab import Lab
    from rooflab.scenario.scenario import Scenario

    kind, first = kind_read(chosen), given[0]
    flag = next((flag for field, flag in first.flags.items() if field != _SEED), "")
    if kind is not None and flag:
        raise InputError(
            f"belongs to a scenario; {p.key}.{chosen.key} reads {kind.name} (rooflab inputs {kind.name})", flag
        )
    if not first.path and not flag:
        return {name: (first, data) for name, data in own_inputs(p, chosen, Lab(engines())).items()}
    if kind is None:
        shipped = {s.name: s for s in kind_of(Scenario).samples}
        found = ((one, shipped.get(one.path)) for one in given)
        return {
            one.path or YOURS: (one, (one if sample is None else replace(one, path=str(sample.path()))).scenario())
            for one, sample in found
        }
    return {one.path or YOURS: (one, opened(one.path, kind.data)) for one in given}


def _of_flags(p: Paper, given: Sequence[Given]) -> str:
    """The technique or method that flags alone mean: the first that reads a scenario."""
    from rooflab.papers.execute import kind_read

    if given[0].path or not given[0].fields.keys() - {_SEED}:
        return ""
    known: dict[str, Chosen] = {**p.techniques, **p.methods}
    return next((key for key, c in known.items() if kind_read(c) is None), "")


def _seed(given: Given) -> int | None:
    """The seed of the flag; None without."""
    text = str(given.fields.get(_SEED, ""))
    if text and not (text.isascii() and text.isdigit()):
        raise InputError(f"{text!r} is not a whole number from 0 on", "--seed")
    return int(text) if text else None


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is not a setting such as prefill=2", "--set")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"{value!r} is no value ({' '.join(str(error).split())})", f"--set {name.strip()}") from None


def _vacant(out: str, html: str) -> None:
    """Refuse places that could not be written in the end, before anything is computed."""
    if out and Path(out).exists() and not (Path(out).is_dir() and not any(Path(out).iterdir())):
        raise InputError("is there already and not empty; files go to a new folder", f"--out {out}")
    if html and (Path(html).is_dir() or not Path(html).absolute().parent.is_dir()):
        raise InputError("cannot be written (no such folder, or a folder itself)", f"--html {html}")


def _written(ran: Sequence[Ran], out: str, *, partial: bool) -> str:
    """Write the files that the method made; what was done, in a line."""
    if partial:
        return f"--out {out}: nothing is written of a run that is not through"
    files: dict[str, bytes] = {}
    several = sum(bool(one.outcome.files) for one in ran) > 1
    for one in ran:
        folder = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', Path(one.setup).name).strip('-.') or 'input'}/" if several else ""
        while folder and any(name.startswith(folder) for name in files):
            folder = f"{folder[:-1]}-again/"
        files |= {f"{folder}{name}": content for name, content in one.outcome.files.items()}
    if not files:
        return f"--out {out}: this method makes no files"
    from rooflab.files import write_folder

    write_folder(out, files)
    return f"--out {out}: {len(files):,} file{'s' * (len(files) > 1)}"


@dataclass(slots=True)
class _Progress:
    """How far a run is, and what an interruption leaves."""

    line: StatusLine
    stopped: bool = False
    last: Step | None = None

    def told(self, name: str, step: Step) -> None:
        """Show a step."""
        from rooflab.units import format_seconds

        self.last = step
        left = "" if step.left_s is None else f", about {format_seconds(step.left_s, 2)} left"
        cells = step.cells
        self.line.say(f"{name}: {cells.done:,} of {cells.wanted:,} {cells.name}{left}", step.elapsed_s)

    def interrupted(self) -> str:
        """What is finished, and where the same command goes on."""
        if self.last is None or not self.last.cells.done or not self.last.safe:
            return "interrupted"
        c = self.last.cells
        return f"interrupted: {c.done:,} of {c.wanted:,} {c.name} are finished and kept; the same command goes on there"

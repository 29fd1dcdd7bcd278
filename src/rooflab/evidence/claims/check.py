"""Recompute the claims of papers: expected, got, error, audited; several papers at a time in processes of their own."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rooflab.errors import RooflabError, unknown
from rooflab.evidence.claims.audit import Audit, Labs, audit
from rooflab.evidence.claims.kept import Kept
from rooflab.evidence.claims.row import Row, Status
from rooflab.papers.lab import Engines
from rooflab.papers.paper import Claim, NotModelled, Paper
from rooflab.papers.registry import keys, normal, paper

__all__ = ["check", "check_paper"]

Told = Callable[[str, list[Row], bool], None]
"""What is called with a paper's key, its rows, and whether they were kept from before."""


def check(
    names: Sequence[str] = (),
    *,
    engines: Engines,
    workers: int | None = None,
    each: Told | None = None,
    kept: Kept | None = None,
) -> list[Row]:
    """Recompute and audit every claim of the papers `names` (all), in order of key, by `engines`.

    Rows that `kept` holds for the present sources are taken from there, the others are put there as soon as they are
    known; it knows nothing of engines other than Rooflab's own. Papers are spread over `workers` processes (default:
    the machine's cores, one for a single paper), those that took longest last time first. `each` is called with a
    paper's key and rows as soon as they are there.
    """
    wanted = list(dict.fromkeys(normal(n) for n in names)) or list(keys())
    for name in wanted:
        if name not in keys():
            raise unknown("runnable paper", name, keys())
    found: dict[str, list[Row]] = {}

    def told(name: str, rows: list[Row], *, fresh: bool) -> None:
        found[name] = rows
        if fresh and kept is not None:
            kept.put(name, rows)
        if each is not None:
            each(name, rows, not fresh)

    for name in wanted:
        rows = kept.get(name) if kept is not None else None
        if rows is not None:
            told(name, rows, fresh=False)
    left = [name for name in wanted if name not in found]
    if kept is not None:
        left.sort(key=kept.seconds, reverse=True)
    for name, rows in _fresh(left, engines, min(workers or os.cpu_count() or 1, len(left))):
        told(name, rows, fresh=True)
    return [row for name in wanted for row in found[name]]


def _fresh(names: Sequence[str], engines: Engines, workers: int) -> Iterator[tuple[str, list[Row]]]:
    """Rows of papers as they come in, from so many processes; an interruption ends those at once."""
    if workers <= 1:
        yield from ((name, check_paper(name, engines)) for name in names)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    others = set(active_children())
    # a forked copy of a process with compiled code and threads is not safe; spawn costs half a second
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            with _interrupts_held():
                running = {pool.submit(check_paper, name, engines): name for name in names}
            for done in as_completed(running):
                yield running[done], done.result()
        except (KeyboardInterrupt, GeneratorExit):
            for child in set(active_children()) - others:
                child.terminate()
            raise


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes started in this block take no notice of Ctrl-C, which their terminal sends to all of them: this one
    ends them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_paper(name: str, engines: Engines, *, audited: bool = True) -> list[Row]:
    """Rows of one paper: its claims, then what is not modelled. Without the audit figures are there sooner, and prove
    less."""
    p = paper(name)
    labs = Labs(engines)
    return [_claim(p, c, labs, audited) for c in p.claims] + [_left_out(p, left) for left in p.left_out]


def _claim(p: Paper, c: Claim, labs: Labs, audited: bool) -> Row:
    started = time.process_time()
    lab = labs.get()
    status: Status = "failing"
    try:
        got = float(c.function(lab))
    except (RooflabError, ArithmeticError) as error:
        got, verdict, reason = math.nan, Audit(False, "", {}, ()), f"cannot be computed: {error}"
    else:
        verdict = audit(c, got, tuple(lab.asked), labs) if audited else Audit(False, "", {}, ())
        status = "reproduced" if c.holds(got) and (verdict.passed or not audited) else "failing"
        reason = c.note
        if verdict.reason:
            reason = f"audit: {verdict.reason}. {c.note}".strip()
        elif c.calibrated and status == "reproduced":
            status, reason = "calibrated", f"took part in a fit: {c.calibrated}"
        elif c.wider and status == "reproduced":
            reason = f"{c.tolerance:.0%} tolerance: {c.wider} {c.note}".strip()
    finite = math.isfinite(got)
    return Row(
        paper=p.key, seed=p.seed, claim=c.id, text=c.text, expected=c.expect, unit=c.unit, bound=c.bound,
        got=got if finite else None, error=c.error(got) if finite else None, tolerance=c.tolerance, status=status,
        kind=c.kind, audited=verdict.passed, source=c.source, reason=reason, moved_by=tuple(verdict.moved),
        seconds=round(time.process_time() - started, 3),
    )  # fmt: skip


def _left_out(p: Paper, left: NotModelled) -> Row:
    return Row(
        paper=p.key, seed=p.seed, claim=left.id, text=left.text, expected=left.expect, unit=left.unit, bound="near",
        got=None, error=None, tolerance=None, status="not-modelled", kind="", audited=False, source="",
        reason=left.reason,
    )  # fmt: skip

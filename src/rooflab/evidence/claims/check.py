"""Recompute the claims of papers: expected, got, error, audited; several papers at a time in processes of their own."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast

from rooflab.costs.once import pricing_once
from rooflab.errors import InputError, RooflabError, unknown
from rooflab.evidence.claims.assumed import flips
from rooflab.evidence.claims.audit import Audit, audit
from rooflab.evidence.claims.code import Code
from rooflab.evidence.claims.figures import Labs
from rooflab.evidence.claims.fitted import Priced, seen_by_fits
from rooflab.evidence.claims.kept import Kept
from rooflab.evidence.claims.ledger import History, ledger_near
from rooflab.evidence.claims.opened import watching
from rooflab.evidence.claims.row import Row, Status
from rooflab.evidence.claims.spread import MORE, SEEDS, is_drawn, other_seeds, spread
from rooflab.evidence.claims.untouched import altered, kept
from rooflab.extras import MissingExtra
from rooflab.papers.claim import Claim, NotModelled
from rooflab.papers.condition import Assumption
from rooflab.papers.expectation import Got
from rooflab.papers.fault import in_words
from rooflab.papers.lab import Engines
from rooflab.papers.paper import Paper
from rooflab.papers.registry import keys, module_of, normal, paper, source_of

__all__ = ["check", "check_claims", "check_paper", "known", "plain"]

Told = Callable[[str, list[Row], bool], None]
"""What is called with a paper's key, its rows, and whether they were kept from before."""


def check(
    names: Sequence[str] = (),
    *,
    engines: Engines,
    workers: int | None = None,
    each: Told | None = None,
    kept: Kept | None = None,
    left_out: Callable[[str, RooflabError], None] | None = None,
) -> list[Row]:
    """Recompute and audit every claim of the papers `names` (all), in order of key, by `engines`.

    Rows that `kept` holds for the present sources are taken from there, the others are put there as soon as they are
    known; it knows nothing of engines other than Rooflab's own. Papers are spread over `workers` processes (default:
    the machine's cores, one for a single paper), those that took longest last time first, else those with most code.
    `each` is called with a paper's key and rows as soon as they are there.
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
    left.sort(key=lambda name: (math.inf if kept is None else kept.seconds(name), _size(name)), reverse=True)
    for name, now in _fresh(left, engines, min(workers or os.cpu_count() or 1, len(left))):
        if isinstance(now, list):
            told(name, now, fresh=True)
        elif left_out is None or len(wanted) == 1:
            raise now
        else:
            left_out(name, now)
    return [row for name in wanted for row in found.get(name, [])]


def _size(name: str) -> int:
    """Bytes of a paper's own code: papers with more of it take longer, as a rule."""
    file = source_of(module_of(name))
    if file is None:
        return 0
    return sum(path.stat().st_size for path in (file.parent.glob("*.py") if file.stem == "paper" else (file,)))


Checked = list[Row] | RooflabError
"""The rows of a paper, or why it cannot be loaded."""


def _checked(name: str, engines: Engines) -> Checked:
    try:
        return check_paper(name, engines)
    except RooflabError as error:
        return error


def _fresh(names: Sequence[str], engines: Engines, workers: int) -> Iterator[tuple[str, Checked]]:
    """Rows of papers as they come in, from so many processes; an interruption ends those at once."""
    if workers <= 1:
        yield from ((name, _checked(name, engines)) for name in names)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    others = set(active_children())
    # a forked copy of a process with compiled code and threads is not safe; spawn costs half a second
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            with _interrupts_held():
                running = {pool.submit(_checked, name, engines): name for name in names}
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
    return check_claims(paper(name), engines, audited=audited)


def check_claims(p: Paper, engines: Engines, *, audited: bool = True) -> list[Row]:
    """The same of a paper that is at hand."""
    labs, ledger = Labs(engines), ledger_near(None if p.file is None else p.file.parent)
    code = Code(p) if audited else None
    rows: list[Row] = []
    with pricing_once():
        for c in p.claims:
            history = History() if ledger is None else ledger.history(p.key, c.id)
            rows.append(_repeating(_claim(p, c, labs, history, code), rows))
    changed = altered(code.files) if code is not None else ""
    if changed:
        reason = f"audit: {changed} is no longer as it was written: a paper changes nothing but what is its own"
        rows = [replace(row, status="failing", audited=False, reason=reason) for row in rows]
    rows += [_left_out(p, left) for left in p.left_out]
    return [replace(row, unsourced=len(code.unsourced())) for row in rows] if code is not None else rows


def _repeating(row: Row, before: Iterable[Row]) -> Row:
    """The row, failing where it is an earlier one's figure to the last digit, set against the same published one: it
    would be counted twice. Whole numbers may be the same by chance."""
    telling = isinstance(row.got, float) and not row.got.is_integer()
    same = (r.claim for r in before if (r.got, r.expected, r.unit) == (row.got, row.expected, row.unit))
    other = next(same, "") if telling else ""
    if not other:
        return row
    reason = f"audit: is the figure of {other!r} once more, which is counted there"
    return replace(row, status="failing", audited=False, reason=reason)


def known(name: str, kept: Kept | None = None) -> list[Row]:
    """Rows of a paper without computing anything: those of the last check where it was of the present sources (in
    `kept`, default: the user's cache), else what the ledger says, which is not audited."""
    p = paper(name)
    rows = (kept or Kept()).get(p.key)
    if rows is not None:
        return rows
    ledger = ledger_near(None if p.file is None else p.file.parent)
    found = [_written(p, c, History() if ledger is None else ledger.history(p.key, c.id)) for c in p.claims]
    return found + [_left_out(p, left) for left in p.left_out]


def _written(p: Paper, c: Claim, history: History) -> Row:
    """What the ledger says of a claim."""
    started = time.process_time()
    if not history.entries:
        return _row(p, c, history, status="unaudited", reason="no check has computed it yet", started=started)
    last = history.entries[-1]
    agrees = "agrees with" if _held(c, last.value) else "does not agree with"
    row = _row(
        p, c, history, status="unaudited", started=started,
        reason=f"the ledger's value of {last.date} {agrees} what is published; no audit of the present code backs it",
    )  # fmt: skip
    return replace(row, got=last.value)


def _claim(p: Paper, c: Claim, labs: Labs, history: History, code: Code | None) -> Row:
    """A claim's row, audited where the paper's `code` is at hand."""
    started = time.process_time()
    lab = labs.get()
    try:
        before = kept(c.function, code.files) if code is not None else {}
        with watching(() if code is None else code.files) as opened:
            got = c.function(lab)
        error = c.error(got)
    except MissingExtra as missing:
        return _row(p, c, history, status="needs-extra", reason=str(missing), started=started)
    except Exception as problem:  # one claim's fault is no end of the check
        reason = f"cannot be computed: {in_words(problem)}"
        return _row(p, c, history, status="failing", reason=reason, started=started)
    assumed, priced, drawn = dict(lab.assumed), tuple(lab.priced), is_drawn(lab)
    verdict = Audit(passed=True)
    if code is not None:
        verdict = audit(c, got, lab, labs=labs, code=code, opened=opened)
        left = _left(c, code, before)
        verdict = replace(verdict, passed=False, reason=left) if left else verdict
    turned = flips(c, got, tuple(assumed.values()), labs, p.constants)
    seeds = other_seeds(c, labs, SEEDS if priced else MORE) if drawn and code is not None else []
    if any(c.holds(other) != c.holds(got) for other in seeds):
        turned += ("the seed",)
    status, reason = _status(p, c, got, verdict, flips=turned, history=history, priced=priced)
    return _row(
        p, c, history, status=status, reason=reason, started=started, got=got, error=error, assumed=assumed.values(),
        flips=turned, audited=code is not None and verdict.passed, moved=verdict.moved, seeds=seeds,
    )  # fmt: skip


def _left(c: Claim, code: Code, before: Mapping[str, str]) -> str:
    """What a claim left in the modules of its paper, which held what was there `before` it ran."""
    after = kept(c.function, code.files)
    loaded = {name.rpartition(" in ")[2] for name in before}  # others were imported on the way
    name = next((n for n in after if after[n] != before.get(n) and n.rpartition(" in ")[2] in loaded), "")
    return f"leaves something in {name}, which later runs could give again" if name else ""


def _status(
    p: Paper, c: Claim, got: Got, verdict: Audit, *, flips: tuple[str, ...], history: History,
    priced: Sequence[Priced],
) -> tuple[Status, str]:  # fmt: skip
    """The verdict on a figure, and why it is that."""
    if verdict.reason:
        return "failing", _and(f"audit: {verdict.reason}", c.note)
    if c.kind == "analogue":
        return "analogue", c.note
    if verdict.restates:
        return "input", _and(f"restates what was put in ({verdict.restates})", c.note)
    if flips:
        return "depends", _and(f"the verdict is another at an end of {', '.join(flips)}", c.note)
    if not c.holds(got):
        return "failing", c.note
    fitted = seen_by_fits(p, priced)
    if fitted:
        return "calibrated", _and(f"its authors' own figures are in a fit that priced it ({fitted})", c.note)
    if history.selected(partial(_held, c)):
        return "depends", _and(
            "the first value did not agree, and what was revised until it did rests on nothing independent of the "
            "claim (see the ledger)", c.note,
        )  # fmt: skip
    return "reproduced", _and(f"{c.tolerance:.0%} tolerance: {c.wider}" if c.wider else "", c.note)


def _and(said: str, note: str) -> str:
    return "; ".join(part for part in (said, note) if part)


def _held(c: Claim, value: Any) -> bool:
    """Whether a value of the ledger agrees; one that was read in another way than the claim now is (a mean in place of
    the members of a range) does not."""
    try:
        return c.holds(tuple(value) if isinstance(value, list) else cast(Got, value))
    except InputError:
        return False


def _row(
    p: Paper, c: Claim, history: History, *, status: Status, reason: str, started: float, got: Got | None = None,
    error: float | None = None, assumed: Iterable[Assumption] = (), flips: tuple[str, ...] = (), audited: bool = False,
    moved: tuple[str, ...] = (), seeds: Sequence[Got] = (),
) -> Row:  # fmt: skip
    value = None if got is None else plain(got)
    return Row(
        paper=p.key, seed=p.seed, claim=c.id, role=c.role, group=c.group, text=c.text, expected=c.expect.record(),
        unit=c.unit, first=history.first if history.entries else None, revised=history.revisions, got=value,
        error=error if error is not None and math.isfinite(error) else None, tolerance=c.tolerance, status=status,
        kind=c.kind, assumptions=tuple(asdict(a) for a in assumed), flips=flips, audited=audited, source=c.source,
        reason=reason, moved_by=moved, spread=None if got is None else spread(got, seeds),
        seconds=round(time.process_time() - started, 3),
    )  # fmt: skip


def plain(got: Got) -> Any:
    """What a claim computed as plain JSON values; what is not finite is null."""
    if isinstance(got, Mapping):
        return {str(name): plain(value) for name, value in got.items()}
    if isinstance(got, (tuple, list)):
        return [plain(value) for value in got]
    return float(got) if math.isfinite(got) else None


def _left_out(p: Paper, left: NotModelled) -> Row:
    return Row(
        paper=p.key, seed=p.seed, claim=left.id, role=left.role, group=left.group, text=left.text,
        expected=None if left.expect is None else left.expect.record(), unit=left.unit, first=None, revised=0, got=None,
        error=None, tolerance=None, status="not-modelled", kind="", audited=False, source="", reason=left.reason,
    )  # fmt: skip

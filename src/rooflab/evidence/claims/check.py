"""Recompute the claims of papers: expected, got, error, audited; several papers at a time in processes of their own."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from rooflab.errors import RooflabError
from rooflab.evidence.claims.audit import Audit, Labs, audit
from rooflab.papers.lab import Engines
from rooflab.papers.paper import Claim, Paper
from rooflab.papers.registry import keys, normal, paper

__all__ = ["Row", "check", "check_paper", "counts"]

Status = Literal["reproduced", "failing", "not-modelled", "calibrated"]
_AUDIT_S: Final = 2.0
"""Seconds a claim's audit may spend on inputs beyond the first that moves it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published figure: what was expected, what came out, and whether it can be believed."""

    paper: str
    seed: int
    claim: str
    text: str
    expected: float | tuple[float, float] | None
    unit: str
    bound: str
    got: float | None
    error: float | None
    tolerance: float | None
    status: Status
    kind: str
    audited: bool
    source: str
    reason: str
    moved_by: tuple[str, ...] = ()
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def check(
    names: Sequence[str] = (),
    *,
    engines: Engines,
    workers: int | None = None,
    each: Callable[[str, list[Row]], None] | None = None,
) -> list[Row]:
    """Recompute and audit every claim of the papers `names` (all), in order of key, by `engines`.

    Papers are spread over `workers` processes (default: the machine's cores, one for a single paper). `each` is called
    with a paper's key and rows as soon as they are there.
    """
    wanted = [normal(n) for n in names] or list(keys())
    for name in wanted:
        paper(name)  # an unknown name is reported before any work starts
    found: dict[str, list[Row]] = {}
    n = min(workers or os.cpu_count() or 1, len(wanted))
    if n <= 1:
        for name in wanted:
            found[name] = check_paper(name, engines)
            if each:
                each(name, found[name])
    else:
        from concurrent.futures import ProcessPoolExecutor, as_completed
        from multiprocessing import get_context

        # a forked copy of a process with compiled code and threads is not safe; spawn costs half a second
        with ProcessPoolExecutor(n, mp_context=get_context("spawn")) as pool:
            # papers that simulate take longest: started first, they do not end alone
            slowest_first = sorted(
                wanted, key=lambda name: not any(t.engine == "simulate" for t in paper(name).techniques.values())
            )
            running = {pool.submit(check_paper, name, engines): name for name in slowest_first}
            for done in as_completed(running):
                name = running[done]
                found[name] = done.result()
                if each:
                    each(name, found[name])
    return [row for name in wanted for row in found[name]]


def check_paper(name: str, engines: Engines, *, audited: bool = True) -> list[Row]:
    """Rows of one paper: its claims, then what is not modelled. Without the audit figures are there sooner, and prove
    less."""
    p = paper(name)
    labs = Labs(engines)
    rows = [_claim(p, c, labs, audited) for c in p.claims]
    for left in p.left_out:
        rows.append(
            Row(
                paper=p.key,
                seed=p.seed,
                claim=left.id,
                text=left.text,
                expected=left.expect,
                unit=left.unit,
                bound="near",
                got=None,
                error=None,
                tolerance=None,
                status="not-modelled",
                kind="",
                audited=False,
                source="",
                reason=left.reason,
            )
        )
    return rows


def _claim(p: Paper, c: Claim, labs: Labs, audited: bool) -> Row:
    started = time.perf_counter()
    lab = labs.get()
    try:
        got = float(c.function(lab))
    except (RooflabError, ArithmeticError) as error:
        return _row(p, c, math.nan, "failing", False, f"cannot be computed: {error}", (), started)
    verdict = audit(c, got, tuple(lab.asked), labs, _AUDIT_S) if audited else Audit(False, "", {}, ())
    reason = c.note
    status: Status = "reproduced" if c.holds(got) and (verdict.passed or not audited) else "failing"
    if verdict.reason:
        reason = f"audit: {verdict.reason}. {c.note}".strip()
    elif c.calibrated and status == "reproduced":
        status, reason = "calibrated", f"took part in a fit: {c.calibrated}"
    elif c.wider and status == "reproduced":
        reason = f"{c.tolerance:.0%} tolerance: {c.wider} {c.note}".strip()
    return _row(p, c, got, status, verdict.passed, reason, tuple(verdict.moved), started)


def _row(
    p: Paper, c: Claim, got: float, status: Status, audited: bool, reason: str, moved: tuple[str, ...], started: float
) -> Row:
    finite = math.isfinite(got)
    seconds = round(time.perf_counter() - started, 3)
    return Row(
        paper=p.key, seed=p.seed, claim=c.id, text=c.text, expected=c.expect, unit=c.unit, bound=c.bound,
        got=got if finite else None,
        error=c.error(got) if finite else None, tolerance=c.tolerance,
        status=status, kind=c.kind, audited=audited, source=c.source, reason=reason, moved_by=moved, seconds=seconds,
    )  # fmt: skip


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows have each status, and how many are audited."""
    out = {
        status: sum(r.status == status for r in rows)
        for status in ("reproduced", "failing", "calibrated", "not-modelled")
    }
    return out | {"audited": sum(r.audited for r in rows), "claims": len(rows)}

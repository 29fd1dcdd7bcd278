"""Is a claim's control one? Without the paper's idea a claim has to fail by what was executed then, and not by what its
own code makes of that.

fails     Without the idea (technique taken out, method ablated, input disturbed as KEY.yaml says) the claim fails, and
          the figure is the null that is stated; an executed one on every seed that is tried.
replayed  The same code with the idea taken out, in a lab that gives every result as it was with the idea: what makes
          the claim fail there is the code around the results (``x if lab.with_idea() else 0``). What is executed goes
          through the lab: a method's run, or a computation that it keeps (`Lab.cached`).
written   A number that stands by itself in the code (an answer given back, an arm of a choice) is no control, whatever
          its value: it is changed, and the figure without the idea must not follow it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from rooflab.evidence.claims.code import Code
from rooflab.evidence.claims.figures import BROKEN, MOVED, Labs, change, figure, numbers, said
from rooflab.evidence.claims.folded import folded, tree
from rooflab.evidence.claims.literals import Place, reached
from rooflab.evidence.claims.moves import Moved
from rooflab.evidence.claims.replay import Learnt, Replay
from rooflab.evidence.claims.rests import Asked
from rooflab.papers.claim import Claim, Null
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got

__all__ = ["SEEDS", "controlled"]

SEEDS: Final = (0, 1)
"""Seeds that a null is tried on."""
_NULL: Final = 0.1
"""How near a figure without the idea has to come to its stated null, as a share of it."""


def controlled(claim: Claim, code: Code, got: Got, asked: Asked, *, labs: Labs, moved: Moved) -> str:
    """What is wrong with the claim's control; empty if nothing is. Adds what the control gives to what was tried."""
    null = claim.null
    if null is None:
        needs = claim.kind == "executed" and claim.role != "fact"
        return "has no control: KEY.yaml does not say what remains without the idea" if needs else ""
    if null.by not in asked.inputs:
        return f"its control takes away {null.by!r}, which it never asks for"
    for seed in SEEDS if claim.kind == "executed" else SEEDS[:1]:
        without = figure(claim, labs.get(_without(null, seed)))
        if without is None:
            if null.by == "technique":
                continue  # a scenario that needs the technique to be done at all has no gain without it
            return f"its control cannot be computed ({null.by} taken away, seed {seed})"
        moved.tried.append(without)
        if claim.holds(without):
            return f"holds without its idea ({null.by} taken away, seed {seed}: {said(without)})"
        if null.value is not None and any(
            abs(x - null.value) > _NULL * max(abs(null.value), MOVED) for x in numbers(without)
        ):
            return f"without its idea it is {said(without)}, not {null.value:g} ({null.by} taken away, seed {seed})"
    if not claim.holds(got) or null.by not in ("technique", "ablation"):
        return ""
    return _around(claim, null, asked, labs) or _written(claim, code, null, labs)


def _without(null: Null, seed: int = 0) -> Condition:
    return Condition(
        bare=null.by == "technique", ablated=null.by == "ablation", seed=seed,
        disturbance="" if null.by in ("technique", "ablation") else null.by,
    )  # fmt: skip


def _around(claim: Claim, null: Null, asked: Asked, labs: Labs) -> str:
    """Whether the claim's own code makes it fail when the idea is taken out, of results that are as they were."""
    lab = Replay(labs.engines, asked.answers, _without(null), Learnt(), whole=True)
    found = figure(claim, lab, BROKEN)
    if found is not None and claim.holds(found):
        return ""
    if found is None and null.by == "technique":
        return ""  # other scenarios are asked of then, in another number
    what = "other results are asked for" if found is None else f"it is {said(found)}"
    return (
        f"its own code makes its control fail: with {null.by} taken away and every result as it was, {what} (what is "
        f"executed goes through the lab: lab.run, lab.cached)"
    )


def _written(claim: Claim, code: Code, null: Null, labs: Labs) -> str:
    """A number that stands by itself, and that the figure without the idea follows."""
    inner: Any = claim.function
    while isinstance(inner, partial):
        inner = inner.func
    tops = reached(code.files, [inner.__qualname__.partition(".")[0]])
    places = [(file, place, value) for file in code.files for top, place, value in _alone(file) if top in tops]
    at, without = _without(null), figure(claim, labs.get(_without(null)))
    if without is None or not places:
        return ""
    for some in (places, *([p] for p in places)) if len(places) > 1 else ([places[0]],):
        changes = {(file, place): value + 1 for file, place, value in some}
        changed = code.claim(claim.id, changes)
        other = None if changed is None else figure(changed, labs.get(at, changes), BROKEN)
        if len(some) == len(places) and other is not None and change(without, other) <= MOVED:
            return ""
        if len(some) == 1 and other is not None and _follows(without, other):
            file, place, value = some[0]
            return f"its control is the {value:g} of {file.name}:{place[0]}: nothing is executed without the idea"
    return ""


def _follows(without: Got, other: Got) -> bool:
    """Whether a figure follows a number that one was added to: by one, or at least by half of it."""
    return any(abs(b - a) >= 0.5 for a, b in zip(numbers(without), numbers(other), strict=False))


@cache
def _alone(file: Path) -> tuple[tuple[str, Place, float], ...]:
    """Numbers that stand by themselves as what is given back or as an arm of a choice, with what they belong to."""
    found = []
    for top in tree(file).body:
        name = getattr(top, "name", "")
        for node in _given(top):
            value = folded(node)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                place = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
                found.append((name, place, float(value) if isinstance(value, float) else value))
    return tuple(found)


def _given(top: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(top):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from (node.body, node.orelse)
        elif isinstance(node, ast.If):
            yield from (s.value for s in (*node.body, *node.orelse) if isinstance(s, ast.Assign))

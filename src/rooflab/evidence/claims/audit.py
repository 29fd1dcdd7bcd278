"""Can a figure be believed? Questions asked of the claim's unchanged code in labs that change what they hand over, and
of its changed code in a lab that answers as before.

printed   No number that KEY.yaml states for the claim stands in the paper's code (`printed`).
opened    The code opens no file by itself, its own least of all, neither in a claim nor when it is loaded (`opened`).
assumed   An assumption has a range that could break its claim (`assumed`).
hidden    No number or text of the code that has no source moves the figure as much as itself (`hidden`).
poison    A datum that holds a published figure is shifted by 7 %: the figure must not follow, unless KEY.yaml declares
          that datum an input.
rests     A figure that no engine prices follows two things at least, each with its source; one that follows a single
          number, and nothing else, only restates what was put in (`rests`). Nor may a modelled figure be a datum that
          the engine hardly changes.
null      Without the paper's idea the claim fails, by what was executed then (`controls`). Executed claims that are no
          set-up facts must have such a control.
physics   A modelled figure asks an engine, and follows what the engine says: it moves with a physical input, and with
          the model, the deployment or the engine, when those are changed behind the engine's door (`moves`); by 2 %
          and more with one of them, but for a bound, an order or a lack of difference. What KEY.yaml declares (`moves`)
          moves it in the direction stated and by about the power stated.
chosen    A modelled figure is not picked out of what the engine says of several set-ups, unless KEY.yaml says that the
          paper does so (`chosen`).
bound     A bound, an order or a lack of difference has no figure to miss: its null, or half or double of a declared
          input, has to break it.

What is tried follows from the claim alone, so that a verdict is the same on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rooflab.evidence.claims.assumed import narrow
from rooflab.evidence.claims.chosen import is_chosen
from rooflab.evidence.claims.code import Code
from rooflab.evidence.claims.controls import controlled
from rooflab.evidence.claims.figures import Labs, change, figure
from rooflab.evidence.claims.hidden import hidden
from rooflab.evidence.claims.moves import LEAST, Moved, declared, engine_heard, hears, least_of
from rooflab.evidence.claims.printed import answers_in_code, is_plain, sources_of
from rooflab.evidence.claims.rests import Asked, direct, rests_on
from rooflab.papers.claim import Claim
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got
from rooflab.papers.lab import SHIFT, Lab
from rooflab.papers.paper import Paper

__all__ = ["Audit", "audit"]

_BOUNDS: Final = ("at least", "at most", "order", "no difference")


@dataclass(frozen=True, slots=True)
class Audit:
    """The verdict: `reason` where it fails; what the figure only `restates`; inputs that `moved` it."""

    passed: bool
    reason: str = ""
    restates: str = ""
    moved: tuple[str, ...] = ()


def audit(claim: Claim, got: Got, lab: Lab, *, labs: Labs, code: Code, opened: Sequence[str] = ()) -> Audit:
    """Audit `claim`, whose figure is `got` and which `lab` was asked for; `labs` makes the others, `code` is that of
    its paper, which `opened` these files meanwhile."""
    asked, priced = Asked.by(lab), bool(lab.priced)
    reason = _looked_at(code.paper, claim, asked, priced=priced) or code.misstated(asked.data)
    itself = [] if reason else [*opened, *code.opens(claim)]
    if itself:
        reason = f"opens {Path(itself[0]).name}: data are handed over by the lab (lab.sample, lab.table)"
    if reason:
        return Audit(False, reason)
    poisoned = _poison(claim, got, asked.data, labs)
    if poisoned.reason or poisoned.restates:
        return poisoned
    moved = declared(claim, got, labs)
    reason = moved.reason or controlled(claim, code, got, asked, labs=labs, moved=moved)
    if reason:
        return Audit(False, reason, moved=tuple(moved.names))
    if claim.expect.sort in _BOUNDS and claim.holds(got) and all(claim.holds(x) for x in moved.tried):
        return Audit(False, "nothing that was tried breaks its bound: it needs a null, or inputs that move it across")
    restates = _modelled(claim, code, got, asked, labs=labs, moved=moved) if claim.kind == "modelled" else ""
    if claim.kind != "modelled":
        rests = rests_on(claim, code, got, asked, labs)
        moved.reason, restates = rests.reason, rests.restates and code.source_of(rests.restates)
        moved.names |= dict.fromkeys(rests.moved)
    names = tuple(moved.names)
    if moved.reason:
        return Audit(False, moved.reason, moved=names)
    if claim.holds(got) and claim.kind != "analogue":
        reason = hidden(code, claim, got, labs.engines, asked.answers)
    return Audit(not reason and not restates, reason, "" if reason else restates, names)


def _looked_at(paper: Paper, claim: Claim, asked: Asked, *, priced: bool) -> str:
    """What is wrong with the code and with what it asks for, before anything is changed."""
    copied = ""
    if paper.file is not None:
        sourced = [c.value for c in paper.constants.values() if c.value is not None]
        copied = answers_in_code(claim.expect.telling(), sources_of(paper.file), paper.numbers, sourced)
    if copied:
        return copied
    if not asked.inputs:
        return "asks its lab for nothing"
    if claim.kind == "modelled" and not priced:
        return "asks no engine for anything: nothing is modelled"
    if claim.kind != "analogue" and (ranges := narrow(asked.assumed.values(), paper.constants)):
        return ranges
    missing = [name for name in claim.moves if name not in asked.inputs]
    return f"declares {missing[0]!r} and never asks for it" if missing else ""


def _poison(claim: Claim, got: Got, data: Mapping[str, Any], labs: Labs) -> Audit:
    """Shift every datum that holds one of the claim's numbers."""
    telling = [x for x in claim.expect.telling() if not is_plain(x)]
    suspect = [name for name, value in data.items() if any(_holds(value, x) for x in telling)]
    follows = []
    for name in (*suspect, *(n for n in claim.inputs if n in data and n not in suspect)):
        shifted = figure(claim, labs.get(Condition(shifted=name)))
        if shifted is not None and change(got, shifted) > 0.5 * abs(change((1.0,), (SHIFT,))):
            follows.append(name)
    undeclared = [name for name in follows if name not in claim.inputs]
    if undeclared:
        return Audit(False, f"follows its own published figure in {undeclared[0]!r}, which is not declared an input")
    return Audit(not follows, restates=", ".join(claim.inputs[name] for name in follows))


def _modelled(claim: Claim, code: Code, got: Got, asked: Asked, *, labs: Labs, moved: Moved) -> str:
    """What a modelled figure restates: a number that the engine hardly changes. Adds to `moved` what moves it."""
    name, most = engine_heard(claim, got, labs, moved)
    if moved.reason or not claim.holds(got):
        return ""
    taken = direct(claim, code, got, asked, labs)
    sort, _, datum = taken.partition(": ")
    if sort == "data" and datum not in code.paper.constants and datum not in claim.inputs:
        moved.reason = f"takes over {datum!r} as it is, which has no source: name it in KEY.yaml (constants)"
        return ""
    if taken and not hears(claim, got, labs, LEAST):
        return code.source_of(taken)
    if most < least_of(claim) and claim.expect.sort not in _BOUNDS:
        moved.reason = f"hardly follows its engine: half and double of what it is asked for move it by {most:.2%}"
    elif not claim.chooses and is_chosen(claim, got, labs, name):
        moved.reason = "is picked out of what its engines say of several set-ups, which KEY.yaml does not say (chooses)"
    return ""


def _holds(value: Any, number: float) -> bool:
    """Whether a datum holds `number`, within 2 %."""
    if isinstance(value, Mapping):
        return any(_holds(v, number) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds(v, number) for v in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return abs(float(value) - number) <= 0.02 * abs(number)
    if hasattr(value, "ravel") and getattr(value, "size", 1 << 20) <= 1 << 12:
        return any(_holds(v, number) for v in value.ravel().tolist())
    return False

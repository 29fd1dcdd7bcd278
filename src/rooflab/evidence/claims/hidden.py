"""What a figure follows that its lab never handed over: numbers and texts of the code.

The paper is loaded again with one number that it spells or makes (`made`), or many, changed by 7 %, and the claim runs
in a lab whose engines answer as before. A figure that follows a number of the code by more than half its change hangs
on it: such a number is structure, is named in KEY.yaml with its source, or is handed over by the lab. Numbers are first
changed together, some up and the others down by the bits of their places, so that what cancels in one way is seen in
another. A text that the figure follows hides a number; docstrings are taken out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from rooflab.evidence.claims.code import Code, scaled
from rooflab.evidence.claims.figures import BROKEN, MOVED, change, has_moved
from rooflab.evidence.claims.literals import Literal
from rooflab.evidence.claims.made import Made, applied, numeric
from rooflab.evidence.claims.reloaded import Changes
from rooflab.evidence.claims.replay import Learnt, Replay
from rooflab.papers.claim import Claim
from rooflab.papers.expectation import Got
from rooflab.papers.heard import Answer
from rooflab.papers.lab import SHIFT, Engines, Lab

__all__ = ["hidden"]

_FOLLOWS: Final = 0.5
"""Share of a number's change from which on a figure hangs on it."""
_KNOWN: Final = ("structure", "index", "digits", "handed over", "plot")
"""Numbers that need no source; settings do where a claim hangs on them."""
_WORDS: Final = ("words", "index", "handed over", "set-up", "plot", "purpose")


def hidden(code: Code, claim: Claim, got: Got, engines: Engines, answers: Sequence[Answer]) -> str:
    """What is wrong with what the figure `got` follows, given the results `answers` on its way; empty if nothing is."""
    again = partial(_again, code, claim, partial(Replay, engines, answers, learnt=Learnt()))
    as_it_is = again({})
    if as_it_is is None or change(got, as_it_is) > MOVED:
        return "gives another figure, or none, when the same code runs again"
    bare = again({}, documented=False)
    if bare is None or change(got, bare) > MOVED:
        return "reads its own documentation: without docstrings it is another figure, or none"
    used = code.used(claim)
    numbers = [x for x in used if x.is_number and x.value and x.role not in _KNOWN and not x.role.startswith("named")]
    found = _followed(code, [*numbers, *code.made_by(claim)], got, again)
    if found:
        which = " with ".join(str(x) for x in found[:3])
        return (
            f"hangs on {which}, which has no source: name it in KEY.yaml (constants), or hand it over "
            f"(lab.data, lab.assume)"
        )
    return _read_out(used, got, again)


Again = Callable[[Changes], Got | None]
Number = Literal | Made


def _again(
    code: Code, claim: Claim, lab: Callable[[], Lab], changes: Changes, *, documented: bool = True
) -> Got | None:
    """The figure of changed code in a lab that answers as before; None where there is none."""
    changed = code.claim(claim.id, changes, documented=documented)
    if changed is None:
        return None
    try:
        got = changed.function(lab())
        claim.error(got)
    except BROKEN:
        return None
    return got


def _followed(code: Code, numbers: Sequence[Number], got: Got, again: Again) -> list[Number]:
    """The numbers that the figure follows: one by itself, or all that took part where none does."""
    sturdy = [n for n in numbers if n not in code.fragile]
    limit = _FOLLOWS * math.log(SHIFT)
    quiet = not sturdy or change(got, again(_both_ways(sturdy, [True] * len(sturdy)))) <= limit
    sturdy = [n for n in sturdy if not isinstance(n, Made) or n.key in numeric]
    places, bits = range(len(sturdy)), range(len(sturdy).bit_length())
    patterns = ([bool(i >> bit & 1) for i in places] for bit in bits)
    quiet = quiet and all(change(got, again(_both_ways(sturdy, up))) <= limit for up in patterns)
    alone: dict[Number, float] = {}
    for n in numbers if not quiet else [n for n in numbers if n in code.fragile]:
        if isinstance(n, Made) and n.key not in numeric:
            continue
        power = _power(got, n, again)
        alone[n] = power or 0.0
        if power is None:
            code.fragile.add(n)
    found = sorted((n for n in alone if alone[n] > MOVED), key=lambda n: -alone[n])
    if found and alone[found[0]] > _FOLLOWS:
        return found[:1]
    return found if sum(alone[n] for n in found) > _FOLLOWS else []


def _both_ways(numbers: Sequence[Number], up: Sequence[bool]) -> Changes:
    higher = scaled([n for n, u in zip(numbers, up, strict=True) if u], SHIFT)
    return {**higher, **scaled([n for n, u in zip(numbers, up, strict=True) if not u], 1 / SHIFT)}


def _power(got: Got, number: Number, again: Again) -> float | None:
    """How strongly the figure follows one number, as d ln figure / d ln number: larger, or smaller where it cannot be
    larger; None where it can be neither."""
    broken = False
    for factor in (SHIFT, 1 / SHIFT):
        ((place, value),) = scaled([number], factor).items()
        applied.clear()
        by = change(got, again({place: value}))
        if math.isfinite(by) and value:
            if broken and by <= MOVED:
                return None
            return by / _changed_by(number, value) if by else 0.0
        broken = True
    return None


def _changed_by(number: Number, value: Any) -> float:
    """By how much a number was changed, as a logarithm; what is made is known once it ran."""
    if isinstance(number, Made):
        return applied.get(number.key, math.log(SHIFT))
    assert isinstance(number.value, (int, float))
    return abs(math.log(abs(value / number.value)))


def _read_out(used: Sequence[Literal], got: Got, again: Again) -> str:
    """A text that the figure follows: each spelling gives another one. A name that is looked up is there or is not."""
    for text in used:
        if text.is_number or (text.role in _WORDS and not _spells_a_number(text.value)):
            continue
        assert isinstance(text.value, (str, bytes))
        for longer in (1, 0):  # some ways to read a number out of a text take one length only
            one = again({(text.file, text.place): _respelled(text.value, 1, longer)})
            if one is None:
                continue
            if not has_moved(got, one):
                break
            other = again({(text.file, text.place): _respelled(text.value, 2, 2 * longer)})
            if other is not None:
                if has_moved(got, other) and has_moved(one, other):
                    return f"follows the text {text}: a number is read out of it"
                break
    return ""


def _spells_a_number(text: object) -> bool:
    try:
        return isinstance(text, str) and math.isfinite(float(text))
    except ValueError:
        return False


def _respelled(text: str | bytes, by: int, more: int) -> str | bytes:
    """The text with other letters and digits, and longer by so many."""
    if isinstance(text, bytes):
        raw = bytes((x + by) % 256 for x in text)
        return raw + raw[-1:] * more
    other = "".join(_other(c, by) for c in text)
    return other + other[-1:] * more


def _other(letter: str, by: int) -> str:
    if "0" <= letter <= "9":
        return str((int(letter) + by) % 10)
    return chr(ord(letter) + by) if letter.isalpha() else letter

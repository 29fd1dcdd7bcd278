"""What every explanation must hold: figures are those of the comparison, words say what the figures say.

`untrue` lists what is wrong with one comparison; `rooflab.testing.techniques` asks it of every technique on the shipped
scenarios.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from rooflab.metrics.registry import METRICS
from rooflab.papers.compare import Comparison
from rooflab.papers.reasons import SAME, Reason
from rooflab.units import significant

__all__ = ["GAIN", "LOSS", "untrue"]

GAIN: Final = (
    "no longer", "less", "faster", "sooner", "outweigh", "cheaper", "improve", "better", "gains", "fewer", "speeds up",
    "pays",
)  # fmt: skip
LOSS: Final = ("slower", "later", "worse", "longer", "cost more", "costs more", "loses", "not pay", "draw more")
"""Words of gain and of loss, the first ones found in a text taken out of it before the next are looked for."""
_NUMBER: Final = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])")


def untrue(c: Comparison) -> list[str]:
    """What is untrue in the reasons and the verdict of `c`, a line each; nothing where all holds."""
    return [*_verdict(c), *(f"{reason!s}: {wrong}" for reason in c.reasons for wrong in _reason(c, reason))]


def direction(text: str) -> set[int]:
    """1 and -1 where `text` has words of gain and of loss."""
    left, found = text.lower(), set()
    for way, words in ((-1, ("does not pay",)), (1, ("no longer",)), (-1, LOSS), (1, GAIN)):
        for word in words:
            if word in left:
                left = left.replace(word, "")
                found.add(way)
    return found


def _reason(c: Comparison, r: Reason) -> Iterator[str]:
    if r.metric:
        yield from _figures(c, r)
    if not str(r).strip():
        yield "is empty"
    said = direction(r.words)
    if said and said != {r.way}:
        yield f"its words say {sorted(said)}, its figures {r.way}"
    if r.way and r.before == r.after:
        yield "has a direction and does not change"
    settings = f"{c.technique.parameters()} {c.after.scenario.deployment} {c.before and c.before.scenario.deployment}"
    own = {_value(x) for x in _NUMBER.findall(settings)}
    for number in _NUMBER.findall(f"{r.words} {r.what}"):
        if _value(number) not in own:
            yield f"{number} stands in its words, where nothing ties it to a figure"


def _figures(c: Comparison, r: Reason) -> Iterator[str]:
    """What speaks against the figures of a reason about a metric."""
    sides = [(c.before, r.before), (c.after, r.after)]
    for side, told in sides:
        metrics = {} if side is None else side.capacity if r.full else side.load
        got = metrics.get(r.metric, math.nan)
        if told != got and not (math.isnan(told) and math.isnan(got)):
            yield f"says {told:.6g} where the comparison has {got:.6g}"
    if r.better != (METRICS[r.metric].better.replace("neither", "")):
        yield f"takes {r.better or 'neither'} for better in {r.metric}"


def _verdict(c: Comparison) -> Iterator[str]:
    gain, of = c.headline
    said = c.verdict
    if c.before is None:
        if "pays" in said:
            yield f"{said}: there is nothing to compare with"
        return
    if said.startswith("pays") != (gain > 1 + SAME and not math.isclose(gain, 1, rel_tol=SAME)):
        yield f"{said}: the gain in {of} is {gain:.4f}"
    for way, words in ((1, "better: "), (-1, "worse: ")):
        listed = said.partition(words)[2].partition(";")[0]
        there = {significant(x.gain) for x in c.changes if x.way == way}
        for number in re.findall(r"([\d,.]+|∞) ×", listed):
            if number not in there:
                yield f"{said}: no metric has a gain of {number}"


def _value(text: str) -> float:
    return float(text.replace(",", ""))

"""Anchor facts: public figures that took part in no fit, beside what is predicted for the same set-up.

    python -m rooflab.evidence.publish.anchors docs/accuracy.md     their table on that page, made anew

`evidence/data/anchors.json` holds the set-up as a scenario, what was measured, its address and date; predictions are
made when the page is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from rooflab.estimator.serving.front import estimate
from rooflab.evidence.intervals.intervals import intervals
from rooflab.files import write_text
from rooflab.papers.apply import load
from rooflab.units import significant

__all__ = ["Anchor", "Held", "anchor_section", "anchors", "hold", "with_anchors"]

_MARKS: Final = ("<!-- anchors: generated -->", "<!-- /anchors -->")
_MEASURES: Final[Mapping[str, str]] = {
    "decode": "tpot_s_mean", "prefill": "ttft_s_mean", "output": "output_tokens_per_s", "total": "total_tokens_per_s",
}  # fmt: skip
"""What a figure in tokens/s is of: decoding alone, a prompt alone, answers over the run, prompts and answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A public figure: `value` tokens/s of `measure` in the set-up `scenario`, found at `address`."""

    scenario: Mapping[str, Any]
    measure: Literal["decode", "prefill", "output", "total"]
    value: float
    address: str
    date: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An anchor beside its prediction and 90 % interval, all in tokens/s."""

    anchor: Anchor
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.anchor.value - 1.0

    @property
    def inside(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.low <= self.anchor.value <= self.high


@cache
def anchors() -> tuple[Anchor, ...]:
    """All of them, in the order of the file."""
    text = resources.files("rooflab.evidence").joinpath("data/anchors.json").read_text(encoding="utf-8")
    return tuple(Anchor(**entry) for entry in json.loads(text))


def hold(anchor: Anchor) -> Held:
    """`anchor` beside what is predicted for it now."""
    found, metric = estimate(load(dict(anchor.scenario))), _MEASURES[anchor.measure]
    one = intervals(found, (metric,))[metric]
    if anchor.measure in ("output", "total"):
        return Held(anchor=anchor, predicted=one.value, low=one.low, high=one.high)
    tokens = 1.0 if anchor.measure == "decode" else found.scenario.workload.mean_prompt_tokens
    return Held(anchor=anchor, predicted=tokens / one.value, low=tokens / one.high, high=tokens / one.low)


def anchor_section() -> str:
    """The section of the accuracy page, between its marks."""
    every = [hold(one) for one in anchors()]
    error = np.abs([one.error for one in every])
    inside = sum(one.inside for one in every)
    words = (
        f"{len(every)} public figures, in tokens/s, none of which took part in a fit; those of a discussion are as of "
        f"the date. Median error {np.median(error):.0%}, {sum(error <= 0.2)} within a fifth, {inside} inside their 90 "
        "% interval. Intervals are wide where a device or an engine has few measured rows of its own."
    )
    head = [
        "| model | hardware | engine | load | of | measured | predicted | error | 90 % interval | source |",
        "|---|---|---|---|---|--:|--:|--:|--:|---|",
    ]
    return "\n".join([_MARKS[0], "## Anchor facts", "", words, "", *head, *map(_row, every), "", _MARKS[1]])


def _row(held: Held) -> str:
    one = held.anchor
    s, asked, deployment = one.scenario, one.scenario["workload"], one.scenario["deployment"]
    engine = f"{deployment['engine']} {deployment.get('weights', '')}".strip()
    users = f"{asked['batch']} at once" if "batch" in asked else f"{asked['concurrency']} users"
    mark = "" if held.inside else " **outside**"
    source = f"[{re.sub(r'^https?://(?:www[.])?', '', one.address)}]({one.address}), {one.date}"
    cells = (
        s["model"].rsplit("/", 1)[-1], s["hardware"], engine, f"{asked['isl']:,} in, {asked['osl']:,} out, {users}",
        one.measure, significant(one.value, 4), significant(held.predicted), f"{held.error:+.0%}",
        f"{significant(held.low)} – {significant(held.high)}{mark}", source + (f"; {one.note}" if one.note else ""),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def with_anchors(page: str) -> str:
    """`page` with its section of anchors made anew, or put behind its aims where it has none."""
    section = anchor_section()
    if _MARKS[0] in page:
        pattern = rf"{re.escape(_MARKS[0])}.*?{re.escape(_MARKS[1])}"
        return re.sub(pattern, lambda _: section, page, flags=re.DOTALL)
    before, mark, after = page.partition("## What is predicted\n")
    return f"{before}{section}\n\n{mark}{after}"


def main(arguments: Sequence[str]) -> int:
    """Rewrite the section in the page that the one argument names."""
    path = Path(arguments[0])
    write_text(path, with_anchors(path.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How far each input that differs between two estimates takes the figures by itself.

From the first estimate on, one input at a time is set to what it is in the second, and the engine is asked again. The
factors need not multiply to the whole: inputs act on each other, which is what remains.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rooflab.errors import RooflabError
from rooflab.papers.apply import load
from rooflab.store.differ import Change, Difference

if TYPE_CHECKING:
    from rooflab.estimator.serving.answer import Estimate

__all__ = ["Share", "shares"]

_FIGURES: Final[tuple[str, ...]] = (
    "output_tokens_per_s",
    "ttft_s_p99",
    "tpot_s_p99",
    "usd_per_mtok",
    "j_per_token",
    "images_per_s",
)
_MOVES: Final = 0.001
"""Relative change below which a figure is not said to move."""
_MOST: Final = 24
"""Inputs that are tried: two scenarios that share nothing explain nothing one by one."""


@dataclass(frozen=True, slots=True)
class Share:
    """What `change` alone does: figures that it moves, as factors; what bounds the step then, or why it cannot stand
    alone."""

    change: Change
    ratios: Mapping[str, float]
    why: str

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"input": self.change.place, "ratios": dict(self.ratios), "why": self.why}


def shares(found: Difference) -> tuple[Share, ...]:
    """What each changed input does alone; empty where there are not several, or the runs are no estimates."""
    before, after = found.before.asked.scenario, found.after.asked.scenario
    if found.before.asked.kind != "estimate" or before is None or after is None:
        return ()
    if "calibration" in found.before.asked.inputs or "calibration" in found.after.asked.inputs:
        return ()
    own = [c for c in found.inputs if _at(before, c.place) is not _NONE or _at(after, c.place) is not _NONE]
    if not 2 <= len(own) <= _MOST:
        return ()
    try:
        base = _estimate(before)
    except RooflabError:
        return ()
    return tuple(_share(base, before, after, change) for change in own)


def _share(base: Estimate, before: Mapping[str, Any], after: Mapping[str, Any], change: Change) -> Share:
    try:
        alone = _estimate(_with(before, change.place, _at(after, change.place)))
    except RooflabError as error:
        return Share(change, {}, f"not alone: {error}")
    ratios: dict[str, float] = {
        name: float(alone.metrics[name] / base.metrics[name])
        for name in _FIGURES
        if name in base.metrics and name in alone.metrics and base.metrics[name] > 0 and alone.metrics[name] > 0
    }
    moved = {name: ratio for name, ratio in ratios.items() if abs(ratio - 1) > _MOVES}
    if not moved:
        return Share(change, {}, "moves none of the main figures")
    same = alone.bottleneck == base.bottleneck
    bound = f"bound by {base.bottleneck}" + ("" if same else f", then by {alone.bottleneck}")
    return Share(change, moved, bound)


def _estimate(asked: Mapping[str, Any]) -> Estimate:
    from rooflab.estimator.serving.front import estimate

    return estimate(load(asked))


_NONE: Final = object()
"""What stands where there is nothing."""


def _at(tree: Any, place: str) -> Any:
    for key in place.split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return _NONE
        tree = tree[key]
    return tree


def _with(asked: Mapping[str, Any], place: str, value: Any) -> dict[str, Any]:
    """`asked` with `value` at a place, or without the place."""
    changed = copy.deepcopy(dict(asked))
    *way, last = place.split(".")
    inner: Any = changed
    for key in way:
        inner[key] = dict(inner[key]) if isinstance(inner.get(key), Mapping) else {}
        inner = inner[key]
    if value is _NONE:
        inner.pop(last, None)
    else:
        inner[last] = copy.deepcopy(value)
    return changed

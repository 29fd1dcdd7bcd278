"""Recorded bounds: the error that each group of the shipped rows may not exceed, so that a change that makes one worse
is seen.

A bound is today's figure and a tenth, plus half a point: what moves by less is noise of no consequence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from rooflab.evidence.score.validate import Validation

__all__ = ["Breach", "Bounds", "breaches", "read_bounds", "record_bounds"]

_GROUPINGS: Final = ("by_family", "by_source", "by_engine", "by_gpu")
_FEWEST: Final = 20
"""Groups of fewer rows have no bound of their own."""
_SLACK: Final = 1.1
_ADDED: Final = 0.005

Bounds = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Breach:
    """A figure of a group that is worse than its bound."""

    grouping: str
    name: str
    figure: str
    got: float
    bound: float


def read_bounds() -> Bounds:
    """The bounds that ship: {grouping: {group: {"median_ape": ..., "rows": ...}}}."""
    text = resources.files("rooflab.evidence").joinpath("data/bounds.json").read_text(encoding="utf-8")
    found: Bounds = json.loads(text)["bounds"]
    return found


def record_bounds(validation: Validation) -> dict[str, Any]:
    """The bounds that a validation's figures would give."""
    groups = {"overall": {"all": validation.overall()}} | {
        k: v for k, v in validation.groups().items() if k in _GROUPINGS
    }
    bounds = {
        grouping: {
            name: {"median_ape": round(g.median_ape * _SLACK + _ADDED, 4), "rows": g.n}
            for name, g in sorted(found.items())
            if g.n >= _FEWEST
        }
        for grouping, found in groups.items()
    }
    return {"unit": "fraction; rows: at least so many are scored", "bounds": bounds}


def breaches(validation: Validation, bounds: Bounds) -> list[Breach]:
    """Groups whose median error is above its bound, or of which fewer rows than recorded (less 2 %) are scored."""
    groups = {"overall": {"all": validation.overall()}} | validation.groups()
    out = []
    for grouping, named in bounds.items():
        for name, bound in named.items():
            got = groups[grouping].get(name)
            rows = got.n if got else 0
            if rows < 0.98 * bound["rows"]:
                out.append(Breach(grouping, name, "rows", rows, bound["rows"]))
            elif got and got.median_ape > bound["median_ape"]:
                out.append(Breach(grouping, name, "median error", got.median_ape, bound["median_ape"]))
    return out

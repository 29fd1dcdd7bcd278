"""Kinds and what was read of a file as plain mappings: what the command line, JSON and pages show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from rooflab.inputs.convert import CONVERSIONS
from rooflab.inputs.kind import Kind
from rooflab.inputs.kinds import kind_of

__all__ = ["kind_record", "summary_record"]


def kind_record(kind: Kind[Any]) -> dict[str, Any]:
    """A kind: its fields, formats, samples, the disturbances of its first sample, and what it can be made into."""
    return {
        "kind": kind.name,
        "does": kind.does,
        "fields": kind.fields,
        "formats": [
            {"suffix": f.suffix, "what": f.what, "written": f.dump is not None, "needs": f.needs} for f in kind.formats
        ],
        "samples": [asdict(sample) for sample in kind.samples],
        "disturbances": [
            {"name": way.name, "sort": way.sort, "what": way.what} for way in kind.disturbances(kind.sample())
        ],
        "lacks": dict(kind.lacks),
        "becomes": [
            {"kind": kind_of(way.target).name, "what": way.what} for way in CONVERSIONS if way.source is kind.data
        ],
    }


def summary_record(kind: Kind[Any], file: str) -> dict[str, Any]:
    """What a file, or the sample of that name, holds. Raises InputError for a file that cannot be used."""
    given = kind.open(file)
    with np.errstate(all="ignore"):
        found = kind.describe(given)
    return {
        "kind": kind.name,
        "file": file,
        "counts": dict(found.counts),
        "columns": [asdict(column) for column in found.columns],
        "odd": list(found.odd),
        "disturbances": [way.name for way in kind.disturbances(given)],
    }

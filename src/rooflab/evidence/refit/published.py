"""Stages that rest on the constants: rows that ship, intervals, bounds, the accuracy page, the papers' pages."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rooflab.evidence.claims.pages import write as write_pages
from rooflab.evidence.intervals.conformal import covered
from rooflab.evidence.publish.bounds import record_bounds
from rooflab.evidence.publish.page import Predictions, page, readme_table, with_table
from rooflab.evidence.publish.ship import shipped_tables
from rooflab.evidence.refit.fits import held_out_file, left_out_file
from rooflab.evidence.refit.intervals import as_text, held_without_source, interval_table
from rooflab.evidence.refit.stage import Job, Places
from rooflab.evidence.rows.tables import KINDS, read_table
from rooflab.evidence.score.held_out import WHOLES, held_out_rows, ratios_of, read_held_out
from rooflab.evidence.score.score import score
from rooflab.evidence.score.validate import validate

__all__ = ["SHIPPED", "accuracy", "bounds", "intervals", "pages", "rows"]

SHIPPED = ("serving", "energy", "vision")
"""Kinds of rows that the engine predicts."""

Texts = Mapping[Path, str]


def _left_out(places: Places) -> dict[str, dict[str, float]]:
    """Predictions by what was left out whole; of what nobody has left out, none."""
    files = {what: left_out_file(places, what) for what in WHOLES}
    return {what: read_held_out(path) if path.is_file() else {} for what, path in files.items()}


def rows(job: Job) -> Texts:
    """The measured rows that ship."""
    texts = shipped_tables({kind: read_table(job.places.table(kind)) for kind in KINDS if kind in SHIPPED})
    return {job.places.data(name)[0]: text for name, text in texts.items()}


def intervals(job: Job) -> Texts:
    """The table of intervals."""
    places = job.places
    now = [r for kind in SHIPPED for r in score(read_table(places.table(kind))).scored]
    table = interval_table(now, read_held_out(held_out_file(places)), _left_out(places), job.date)
    job.tell(json.dumps({name: round(share, 3) for name, share in table.coverage.items()}))
    return {places.data("intervals.json")[0]: as_text(table)}


def bounds(job: Job) -> Texts:
    """The error that each group of the shipped rows may not exceed."""
    text = json.dumps(record_bounds(validate()), indent=1, ensure_ascii=False) + "\n"
    return {job.places.data("bounds.json")[0]: text}


def accuracy(job: Job) -> Texts:
    """docs/accuracy.md and the README's table."""
    places = job.places
    every_kind = {str(k): score(read_table(f)) for k in KINDS if (f := places.table(k)).is_file()}
    scores = {k: s for k, s in every_kind.items() if s.scored}
    every = held_out_rows([r for s in scores.values() for r in s.scored], read_held_out(held_out_file(places)))
    every = [r for r in every if math.isfinite(r.predicted) and r.predicted > 0]
    held = dict(zip([r.id for r in every], covered(ratios_of(every)).tolist(), strict=True))
    left = {
        what: [replace(r, predicted=found[r.id]) for r in every if r.id in found]
        for what, found in _left_out(places).items()
    }
    found = Predictions(every, held, left, held_without_source(every, left))
    readme = places.root / "README.md"
    table = with_table(readme.read_text(encoding="utf-8"), readme_table(found))
    return {places.root / "docs" / "accuracy.md": page(scores, found, job.date), readme: table}


def pages(job: Job) -> Texts:
    """A page a paper, with its claims recomputed."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_pages([], folder)
        return {job.places.root / "docs" / "papers" / p.name: p.read_text(encoding="utf-8") for p in written}

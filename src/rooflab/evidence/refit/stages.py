"""The stages in their order: what each reads, writes and takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rooflab.evidence.refit import fits, published
from rooflab.evidence.refit.fits import KERNEL_FITS, held_out_file, left_out_file
from rooflab.evidence.refit.published import SHIPPED
from rooflab.evidence.refit.stage import Places, Stage
from rooflab.evidence.rows.tables import KINDS
from rooflab.evidence.score.held_out import WHOLES

__all__ = ["STAGES"]

_ENGINE: Final = (
    "search", "metrics", "scenario", "operators", "catalogue", "costs", "memory", "deploy", "estimator", "evidence",
)  # fmt: skip
_PAPERS: Final = (*_ENGINE, "launch", "inputs", "charts", "simulator", "papers", "library")
"""Rooms whose code decides what a row is predicted to be, and what a claim comes to."""
_LATER_FITS: Final = ("serving", "power", "vision", "diffusion")
_ROW_FILES: Final = (*(f"{kind}_rows.csv" for kind in SHIPPED), "sources.csv")


def _kernels(places: Places) -> list[Path]:
    """Constants of kernels, fitted and assumed: all but those that later stages fit."""
    later = {*places.fits(*_LATER_FITS)}
    return [path for path in sorted(places.fits("*")[0].parent.glob("*.json")) if path not in later]


def _engine(places: Places) -> list[Path]:
    """All that the engine reads."""
    return [places.facts, *_kernels(places), *places.fits(*_LATER_FITS)]


def _tables(places: Places, *kinds: str) -> list[Path]:
    return [places.table(kind) for kind in kinds]


def _left_out(places: Places) -> list[Path]:
    return [left_out_file(places, what) for what in WHOLES]


def _left_out_of(what: str, places: Places) -> list[Path]:
    return [left_out_file(places, what)]


def _kernel_tables(places: Places) -> list[Path]:
    return [places.kernel_tables] if places.kernel_tables else []


STAGES: Final[Sequence[Stage]] = (
    Stage(
        name="kernels",
        does="curves of every device with kernel tables",
        takes="half an hour",
        reads=_kernel_tables,
        writes=lambda p: p.fits(*KERNEL_FITS),
        run=fits.kernels,
        code=("costs", "evidence/fit"),
        pieces="devices",
    ),
    Stage(
        name="vision",
        does="factors of vision networks",
        takes="a minute",
        reads=lambda p: [p.table("vision"), p.facts],
        writes=lambda p: p.fits("vision"),
        run=fits.vision,
        code=_ENGINE,
        pieces="devices",
    ),
    Stage(
        name="serving",
        does="constants of engines and devices, and predictions without each row's group",
        takes="some minutes",
        reads=lambda p: [p.table("serving"), p.table("energy"), p.facts, *_kernels(p)],
        writes=lambda p: [*p.fits("serving"), held_out_file(p)],
        run=fits.serving,
        code=_ENGINE,
    ),
    Stage(
        name="power",
        does="power curves, laws of clocks, an old leaderboard's runs",
        takes="some minutes",
        reads=lambda p: [p.table("energy"), p.facts, *_kernels(p), *p.fits("serving")],
        writes=lambda p: p.fits("power"),
        run=fits.power,
        code=_ENGINE,
        pieces="parts",
    ),
    Stage(
        name="diffusion",
        does="factors of image and video generation",
        takes="a minute",
        reads=lambda p: [p.table("energy"), p.facts, *p.fits("power")],
        writes=lambda p: p.fits("diffusion"),
        run=fits.diffusion,
        code=_ENGINE,
    ),
    *(
        Stage(
            name=f"leave-out-{what}",
            does=f"predictions of rows whose whole {what} took no part in the fit",
            takes="15 to 30 minutes",
            reads=lambda p: [p.table("serving"), p.facts, *_kernels(p), *p.fits("serving")],
            writes=partial(_left_out_of, what),
            run=partial(fits.leave_out, what),
            code=_ENGINE,
            pieces=f"{what}s",
        )
        for what in WHOLES
    ),
    Stage(
        name="rows",
        does="the measured rows that ship",
        takes="seconds",
        reads=lambda p: _tables(p, *SHIPPED),
        writes=lambda p: p.data(*_ROW_FILES),
        run=published.rows,
        code=("evidence/rows", "evidence/publish"),
    ),
    Stage(
        name="intervals",
        does="the table of intervals",
        takes="a minute",
        reads=lambda p: [*_tables(p, *SHIPPED), *_engine(p), held_out_file(p)],
        may_read=_left_out,
        writes=lambda p: p.data("intervals.json"),
        run=published.intervals,
        code=_ENGINE,
    ),
    Stage(
        name="bounds",
        does="the error that each group of the shipped rows may not exceed",
        takes="a minute",
        reads=lambda p: [*_engine(p), *p.data(*_ROW_FILES, "intervals.json")],
        writes=lambda p: p.data("bounds.json"),
        run=published.bounds,
        code=_ENGINE,
    ),
    Stage(
        name="accuracy",
        does="docs/accuracy.md and the README's table",
        takes="a minute",
        reads=lambda p: [*_engine(p), held_out_file(p), *p.data("explained.json", "contradictions.json")],
        may_read=lambda p: [*_tables(p, *KINDS), *_left_out(p)],
        writes=lambda p: [p.root / "docs" / "accuracy.md", p.root / "README.md"],
        run=published.accuracy,
        code=_ENGINE,
    ),
    Stage(
        name="pages",
        does="a page a paper, with its claims recomputed",
        takes="two minutes",
        reads=lambda p: [*_engine(p), *p.data("intervals.json")],
        writes=lambda p: sorted((p.root / "docs" / "papers").glob("*.md")),
        run=published.pages,
        code=_PAPERS,
    ),
)

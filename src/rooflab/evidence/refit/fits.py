"""Stages that fit constants: kernels, vision, serving, power, diffusion, and fits with something left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError
from rooflab.evidence.fit.clocks import clock_entries
from rooflab.evidence.fit.diffusion import family_entries
from rooflab.evidence.fit.kernel_tables import MEASURED, Tables
from rooflab.evidence.fit.kernels import device_entry as kernels_of
from rooflab.evidence.fit.power import curve_entries, old_runs_entry, serving_power
from rooflab.evidence.fit.vision import device_entry as vision_of
from rooflab.evidence.fit.vision import members_of
from rooflab.evidence.refit.energy_left_out import energy_left_out
from rooflab.evidence.refit.left_out import left_out
from rooflab.evidence.refit.serving.file import as_text
from rooflab.evidence.refit.serving.rows import read_rows
from rooflab.evidence.refit.serving.train import train
from rooflab.evidence.refit.stage import Job, Places
from rooflab.evidence.rows.serving import Unsupported
from rooflab.evidence.rows.tables import read_table
from rooflab.evidence.rows.vision import VisionQuestion, question

__all__ = [
    "KERNEL_FITS",
    "diffusion",
    "held_out_file",
    "kernels",
    "leave_out",
    "left_out_file",
    "power",
    "serving",
    "vision",
]

KERNEL_FITS: Final = tuple(device.key for device in MEASURED)
"""Files of constants that are fitted to kernel tables."""
_CURVES_OF: Final = "ML.ENERGY leaderboards v2 and v3, GPU power by NVML"

Texts = Mapping[Path, str]


def held_out_file(places: Places) -> Path:
    """Predictions without a row's own group."""
    return places.work / "held-out.csv"


def left_out_file(places: Places, what: str) -> Path:
    """Predictions without a row's whole source, device or model."""
    return places.work / f"left-out-{what}.csv"


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _predictions(held: Iterable[tuple[str, float]]) -> str:
    """Predictions by row id as a table."""
    file = StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "held_out"])
    writer.writerows(sorted((name, f"{value:.6g}") for name, value in held if np.isfinite(value)))
    return file.getvalue()


def kernels(job: Job) -> Texts:
    """Curves of every device with kernel tables."""
    assert job.places.kernel_tables is not None
    root = job.places.kernel_tables
    for measured in MEASURED:
        folder = root / measured.folder
        if (not job.only or measured.key in job.only) and not any(folder.rglob("*.parquet")):
            raise InputError(f"no kernel table of {measured.key} (a parquet file) in it", str(folder))
    found = job.pieces({d.key: partial(kernels_of, Tables(root, d), job.date) for d in MEASURED})
    for device, entry in found.items():
        for engine, curves in entry["curves"].items():
            for key, curve in curves.items():
                name = f"{device} {engine} {key}"
                job.tell(f"{name}: {curve['rows']} rows, median {curve['median']:.1%}, p90 {curve['p90']:.1%}")
    return {path: _json(found[path.stem]) for path in job.places.fits(*found)}


def vision(job: Job) -> Texts:
    """Factors of vision networks, by device and kind of device."""
    asked: list[VisionQuestion] = []
    for row in read_table(job.places.table("vision")).rows:
        try:
            asked.append(question(row))
        except Unsupported:
            continue

    def entry(members: list[str]) -> dict[str, Any]:
        mine = [q for q in asked if q.machine.device.key in members]
        return vision_of(mine, f"timm inference benchmarks on {', '.join(members)}")

    found = job.pieces({name: partial(entry, members) for name, members in members_of(asked).items()})
    about = "Factors of datasheet time by kind of layer. Made by rooflab.evidence.fit.vision."
    return {} if job.only else {job.places.fits("vision")[0]: _json({"about": about, "devices": found})}


def serving(job: Job) -> Texts:
    """Engine and device constants, and held-out predictions of serving rows and of ML.ENERGY's energy rows."""
    rows = read_rows(job.places.table("serving"))
    trained = train(rows, job.date, tell=job.tell)
    energy = energy_left_out(read_table(job.places.table("energy")).rows, rows, trained.table, trained.without)
    held = _predictions({**trained.held, **energy}.items())
    return {job.places.fits("serving")[0]: as_text(trained.table), held_out_file(job.places): held}


def power(job: Job) -> Texts:
    """Power curves, laws of clocks, and what an old leaderboard adds to the engine."""
    path = job.places.fits("power")[0]
    rows = read_table(job.places.table("energy")).rows
    found = job.pieces(
        {
            "old_runs": lambda: old_runs_entry(rows),
            "curves": lambda: curve_entries(serving_power(rows), _CURVES_OF),
            "clocks": lambda: clock_entries(rows),
        }
    )
    content = json.loads(path.read_text(encoding="utf-8"))
    for part, entries in found.items():
        job.tell(f"{part}: {json.dumps(entries)}")
        content[part] = {**content[part], **entries}
    return {path: _json(content)}


def diffusion(job: Job) -> Texts:
    """Factors of image and video generation."""
    return {job.places.fits("diffusion")[0]: _json(family_entries(read_table(job.places.table("energy")).rows))}


def leave_out(what: str, job: Job) -> Texts:
    """Predictions of rows whose whole source, device or model (`what`) took no part in the fit."""
    found = job.pieces(left_out(read_rows(job.places.table("serving")), what))
    held = (item for predictions in found.values() for item in predictions.items())
    return {} if job.only else {left_out_file(job.places, what): _predictions(held)}

"""Calibration files: one JSON a device, curves by engine and kernel, each with the rows and the error of its fit.

    {"device": "h100-sxm", "memory_bytes_per_s": 3.35e12, "source": "...", "fitted": "2026-11-24",
     "curves": {"":     {"gemm/bf16": {"t0_s": 3.6e-6, "ec": 0.78, ..., "rows": 35700, "median": 0.05, "p90": 0.16}},
                "vllm": {...}}}

The engine "" stands for all engines together.  A file without measurements carries a "reason" a kernel instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Literal

from rooflab.costs.attention import DecodeCurve, PrefillCurve
from rooflab.costs.collective import AllReduceCurve, LinkCurve
from rooflab.costs.elementwise import ElementwiseCurve
from rooflab.costs.gemm import GemmCurve
from rooflab.costs.moe import MoeCurve
from rooflab.costs.recurrent import RecurrentCurve

__all__ = ["CURVE_TYPES", "Curve", "Fit", "FitFile", "Provenance", "load_fit_file", "parse_fit_file"]

Provenance = Literal["fitted", "datasheet", "assumed"]
Curve = (
    GemmCurve | MoeCurve | PrefillCurve | DecodeCurve | AllReduceCurve | LinkCurve | RecurrentCurve | ElementwiseCurve
)

# the part of a key before the slash, and the curve that it holds
CURVE_TYPES: Mapping[str, type[Curve]] = {
    "gemm": GemmCurve,
    "moe": MoeCurve,
    "prefill": PrefillCurve,
    "decode": DecodeCurve,
    "mla_prefill": PrefillCurve,
    "mla_decode": DecodeCurve,
    "mla_layer": ElementwiseCurve,
    "all_reduce": AllReduceCurve,
    "all_gather": LinkCurve,
    "reduce_scatter": LinkCurve,
    "all_to_all": LinkCurve,
    "moe_all_to_all": LinkCurve,
    "send": LinkCurve,
    "gdn_decode": RecurrentCurve,
    "gdn_prefill": RecurrentCurve,
    "mamba2_decode": RecurrentCurve,
    "mamba2_prefill": RecurrentCurve,
    "elementwise": ElementwiseCurve,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where one curve comes from: measured rows and error (median and p90 of |predicted/measured − 1|), or why it is
    assumed.

    `mine`: fitted to the user's own timings (``rooflab calibrate``) rather than shipped.
    """

    device: str
    engine: str
    provenance: Provenance
    rows: int = 0
    median_error: float = float("nan")
    p90_error: float = float("nan")
    reason: str = ""
    mine: bool = False


@dataclass(frozen=True, slots=True)
class FitFile:
    """The contents of one file: curves and fits by (engine, key)."""

    device: str
    memory_bytes_per_s: float
    link_topology: str
    source: str
    fitted: str
    curves: Mapping[tuple[str, str], tuple[Curve, Fit]]

    def find(self, engine: str, key: str) -> tuple[Curve, Fit] | None:
        """The curve of a kernel for an engine, else for all engines together, else None."""
        return self.curves.get((engine, key)) or self.curves.get(("", key))


@cache
def load_fit_file(name: str) -> FitFile:
    """The shipped file called `name` (without .json)."""
    raw = json.loads(resources.files("rooflab.costs").joinpath("fits", f"{name}.json").read_text("utf-8"))
    return parse_fit_file(raw)


def parse_fit_file(raw: Mapping[str, Any]) -> FitFile:
    """A file from its JSON value; KeyError or TypeError when a curve lacks a constant."""
    curves: dict[tuple[str, str], tuple[Curve, Fit]] = {}
    for engine, by_key in raw["curves"].items():
        for key, entry in by_key.items():
            kind = CURVE_TYPES[key.split("/")[0]]
            constants = {f.name: float(entry[f.name]) for f in fields(kind) if f.name in entry}
            fit = Fit(
                device=raw["device"],
                engine=engine,
                provenance="fitted" if "rows" in entry else "assumed",
                rows=entry.get("rows", 0),
                median_error=entry.get("median", float("nan")),
                p90_error=entry.get("p90", float("nan")),
                reason=entry.get("reason", raw.get("reason", "")),
            )
            curves[engine, key] = (kind(**constants), fit)
    bandwidth, topology = raw.get("memory_bytes_per_s", 0.0), raw.get("link_topology", "")
    return FitFile(raw["device"], bandwidth, topology, raw["source"], raw.get("fitted", ""), curves)

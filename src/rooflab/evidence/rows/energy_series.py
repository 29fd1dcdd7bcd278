"""Training rows at several power limits or clocks: each series is predicted from its own row at the highest setting.

A job known only by name (an epoch of a 2018 network, a pipeline stage of unknown micro-batch) has no absolute time that
a model could give; what a limit or a clock does to it has.  The row at the highest limit or clock is the reference of
its series and is not scored.  A pipeline under a limit per stage is as slow as its slowest stage.

    time(L) = max over stages of w_i · τ(L_i),   energy(L) = Σ_i P_i · w_i τ_i + idle · (T − w_i τ_i)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rooflab.catalogue.hardware import hardware
from rooflab.costs.power import ClockLaw, capped_job, clock_law, loaded_idle_w
from rooflab.scenario.hardware import Hardware

__all__ = ["Point", "Series", "predict", "series_of"]

Row = Mapping[str, str]

_TIME: Final = ("time_per_epoch", "stage_time", "iteration_time")
_POWER: Final = ("avg_power_gpu",)
_ENERGY: Final = ("energy_per_epoch", "stage_energy", "iteration_energy_all_gpus")

# what the sources call their cards: Zeus' P100 and V100 are PCIe cards of 250 W (their highest limit)
_CARDS: Final[Mapping[str, object]] = {
    "P100": {"device": {"name": "p100-pcie", "like": "p100-sxm2", "tdp": "250 W", "idle": "30 W"}},
    "V100": "v100-pcie-16gb", "Quadro RTX 6000": "quadro-rtx-6000", "A100-SXM": "a100-sxm-80gb",
    "A100": "a100-sxm-80gb", "A40": "a40",
}  # fmt: skip
_STAGE_POWER: Final = re.compile(r"stage (\d+)")

# layers, and the output head in layers (vocabulary over 12 hidden sizes), of the pipelined transformers
_HEADS: Final = {
    "gpt3-xl": (24, 50257 / (12 * 2048)), "gpt3-2.7b": (32, 50257 / (12 * 2560)),
    "gpt3-6.7b": (32, 50257 / (12 * 4096)),
    "bert-huge-uncased": (24, 30522 / (12 * 1280)), "bloom-3b": (30, 250880 / (12 * 2560)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One configuration of a series: limit of each stage (W, 0: none), clock (share of boost, 1: free), measured values
    by kind."""

    config: str
    limits_w: tuple[float, ...]
    clock: float
    measured: Mapping[str, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one job on one kind of card; the first point is the reference."""

    group: str
    machine: Hardware
    devices: int
    weights: tuple[float, ...]
    bubble: float
    points: tuple[Point, ...]


def series_of(rows: Sequence[Row]) -> Iterator[Series]:
    """The series among training rows of Zeus and Perseus, in order."""
    configs: dict[str, list[Row]] = {}
    for row in rows:
        configs.setdefault(row["config_id"], []).append(row)
    jobs: dict[tuple[str, ...], list[list[Row]]] = {}
    for config in configs.values():
        jobs.setdefault(_job(config[0]), []).append(config)
    for key, found in jobs.items():
        machine = hardware(_CARDS[found[0][0]["gpu"]])
        points = [_point(c, machine) for c in found]
        points.sort(key=lambda p: (-p.clock, -min(p.limits_w, default=0.0), -sum(p.limits_w)))
        first = found[0][0]
        stages = int(float(first["pp"] or 1))
        yield Series(
            "/".join(key[:3]),
            machine,
            int(first["num_gpus"]),
            _weights(first, stages),
            _bubble(first["notes"], stages),
            tuple(points),
        )


def _job(row: Row) -> tuple[str, ...]:
    notes = row["notes"].split(";")
    if row["source"].startswith("Zeus"):
        return (row["source"], row["model"], row["gpu"], row["batch_size"], notes[0])
    if "Merak" in row["source"]:
        return (
            row["source"],
            row["model"],
            row["gpu"],
            row["batch_size"],
            row["num_gpus"],
            notes[-1] if "uniform" not in row["notes"] else "",
        )
    # stages in the middle of the pipeline are alike and were profiled once: they share their times
    stage = _STAGE_POWER.search(row["notes"])
    last = stage is not None and stage[1] == "7"
    return (row["source"], row["model"], row["gpu"], row["task"], "last" if last else "inner")


def _point(config: Sequence[Row], machine: Hardware) -> Point:
    row = config[0]
    text = row["power_limit_w"].strip()
    limits = tuple(float(x) for x in text.split("/") if float(x) > 0) if text else ()
    boost_hz = machine.device.boost_hz
    clock = float(row["freq_mhz"]) * 1e6 / boost_hz if row["freq_mhz"].strip() else 1.0
    measured = {r["metric"]: (r["id"], float(r["value"])) for r in config}
    return Point(row["config_id"], limits, min(clock, 1.0), measured)


def _weights(row: Row, stages: int) -> tuple[float, ...]:
    """Work of each pipeline stage over that of the heaviest, from the layers in the notes; equal where they are not
    transformers."""
    found = re.search(r"partition=(?:custom:)?([\d,]+|uniform_transformer)", row["notes"])
    if stages == 1 or not found or row["model"] not in _HEADS:
        return (1.0,) * stages
    layers, head = _HEADS[row["model"]]
    if found[1] == "uniform_transformer":
        work = [layers / stages] * stages
    else:
        cuts = [int(x) for x in found[1].split(",")]
        work = [float(b - a) for a, b in pairwise(cuts)]
    work[-1] = min(work[-1], layers - sum(work[:-1])) if sum(work) > layers else work[-1]
    work[-1] += head
    return tuple(w / max(work) for w in work)


def _bubble(notes: str, stages: int) -> float:
    """Share of an iteration in which a stage waits for the pipeline to fill: (p − 1) / (m + p − 1)."""
    found = re.search(r"microbatch=\d+ x (\d+)", notes)
    return (stages - 1) / (int(found[1]) + stages - 1) if found else 0.0


def predict(series: Series, law: ClockLaw | None = None) -> Iterator[tuple[str, str, float, float]]:
    """(row id, metric, predicted, measured) of every point but the reference."""
    law = law or clock_law(series.machine.device)
    reference = series.points[0]
    idle_w = loaded_idle_w(series.machine)
    time_0 = next((reference.measured[m][1] for m in _TIME if m in reference.measured), None)
    if time_0 is None:
        return
    power_0 = _mean_power(reference, time_0, series.devices)
    for point in series.points[1:]:
        stretch, watts = _under(series, law, point, idle_w=idle_w, power_w=power_0)
        joules = watts * time_0 * stretch
        for metric, (row, value) in point.measured.items():
            if metric in _TIME:
                yield row, metric, time_0 * stretch, value
            elif metric in _POWER:
                yield row, metric, watts, value
            elif metric in _ENERGY:
                yield row, metric, joules * (series.devices if metric.endswith("all_gpus") else 1), value


def _mean_power(point: Point, time_s: float, devices: int) -> float:
    """Mean power of one device at a point."""
    for metric in _POWER:
        if metric in point.measured:
            return point.measured[metric][1]
    metric = next(m for m in _ENERGY if m in point.measured)
    return point.measured[metric][1] / time_s / (devices if metric.endswith("all_gpus") else 1)


def _under(series: Series, law: ClockLaw, point: Point, *, idle_w: float, power_w: float) -> tuple[float, float]:
    """(time over the reference's, mean watts of a device) at `point`; `power_w` is that of the reference."""
    stages, weights, reference = len(series.weights), series.weights, series.points[0]
    if stages == 1:
        cap = point.limits_w[0] if point.limits_w else series.machine.device.tdp_w
        return capped_job(law, idle_w, power_w=power_w, limit_w=cap, clock=point.clock, from_clock=reference.clock)
    # every stage draws the same while it works, and waits at idle for the pipeline to fill and for heavier stages
    load = (1.0 - series.bubble) * sum(weights) / stages
    busy_w = idle_w + (power_w - idle_w) / load
    limits, top = _per_stage(point.limits_w, stages), _per_stage(reference.limits_w, stages)
    taken = []
    for weight, limit, before in zip(weights, limits, top, strict=True):
        at_top, _ = capped_job(law, idle_w, power_w=busy_w, limit_w=before)
        stretch, watts = capped_job(law, idle_w, power_w=busy_w, limit_w=limit)
        taken.append((weight * stretch / at_top, watts))
    whole = max(t for t, _ in taken)
    busy = (1.0 - series.bubble) / whole
    watts = sum(idle_w + (w - idle_w) * busy * t for t, w in taken) / stages
    return whole, watts


def _per_stage(limits: tuple[float, ...], stages: int) -> tuple[float, ...]:
    return limits if len(limits) == stages else (limits[0],) * stages

"""Image and video generation rows of ML.ENERGY → time and energy of a batch, from the denoiser's shape.

A denoiser with P parameters in L blocks of width h sees N tokens (patches of the latent, and text tokens that join
them) at each of S steps, c times with guidance.  With G devices that split the sequence (Ulysses degree u, ring degree
r):

    t = k_lin · 2·P·N/(G·peak) + k_att · 4·L·N²·h/(G·peak) + k_act · 2·L·N·h/(G·BW) + k_link · link bytes / rate
      + (launch + sync · [G > 1]) · S · L + k_px · pixels                     (the first four: times S · c · batch)
    W = TDP · min(1, i + (1 − i) · a · (share of peak)^b)

The factors are fitted per family of devices (`power_fit`), since eager frameworks stream every norm and gate through
memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.hardware import hardware
from rooflab.costs.power import loaded_idle_w
from rooflab.evidence.rows.serving import Unsupported
from rooflab.scenario.hardware import Hardware

__all__ = ["FACTORS", "METRICS", "Denoiser", "Job", "job", "mean_watts"]

Array = npt.NDArray[np.float64]
Row = Mapping[str, str]

METRICS: Final = ("energy_per_image", "energy_per_video", "avg_power_all_gpus", "throughput", "batch_latency")
FACTORS: Final = ("linear", "attention", "activations", "launch", "link", "sync", "pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoiser:
    """Parameters, blocks, width; pixels a token a side; frames a latent frame; text tokens; passes a step;
    attention."""

    params: float
    layers: int
    width: int
    patch: int
    frames: int
    text: int
    passes: int
    attends: bool = True


# from the models' public configurations
_DENOISERS: Final = {
    "SANA1.5_1.6B_1024px_diffusers": Denoiser(
        params=1.6e9, layers=20, width=2240, patch=32, frames=1, text=0, passes=2, attends=False
    ),
    "SANA1.5_4.8B_1024px_diffusers": Denoiser(
        params=4.72e9, layers=60, width=2240, patch=32, frames=1, text=0, passes=2, attends=False
    ),
    "stable-diffusion-3.5-medium": Denoiser(
        params=2.24e9, layers=24, width=1536, patch=16, frames=1, text=333, passes=2
    ),
    "stable-diffusion-3.5-large": Denoiser(
        params=8.05e9, layers=38, width=2432, patch=16, frames=1, text=333, passes=2
    ),
    "FLUX.1-dev": Denoiser(params=11.9e9, layers=57, width=3072, patch=16, frames=1, text=512, passes=1),
    "PixArt-Sigma-XL-2-1024-MS": Denoiser(params=0.61e9, layers=28, width=1152, patch=16, frames=1, text=0, passes=2),
    "HunyuanDiT-v1.2-Diffusers": Denoiser(params=1.5e9, layers=40, width=1408, patch=16, frames=1, text=0, passes=2),
    "CogVideoX-2b": Denoiser(params=1.69e9, layers=30, width=1920, patch=16, frames=4, text=226, passes=2),
    "CogVideoX-5b": Denoiser(params=5.57e9, layers=42, width=3072, patch=16, frames=4, text=226, passes=2),
    "CogVideoX1.5-5B": Denoiser(params=5.57e9, layers=42, width=3072, patch=16, frames=8, text=226, passes=2),
    "Wan2.1-T2V-1.3B-Diffusers": Denoiser(params=1.42e9, layers=30, width=1536, patch=16, frames=4, text=0, passes=2),
    "Wan2.1-T2V-14B-Diffusers": Denoiser(params=14.3e9, layers=40, width=5120, patch=16, frames=4, text=0, passes=2),
    "HunyuanVideo": Denoiser(params=12.8e9, layers=60, width=3072, patch=16, frames=4, text=256, passes=1),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A batch on a machine: terms of its time at the datasheet's rates (s, in the order of FACTORS), and the images or
    videos in it."""

    group: str
    machine: Hardware
    terms: Array
    batch: float

    def seconds(self, factors: Array | None = None) -> float:
        """Seconds of the batch."""
        return float(self.terms @ (_factors(self.machine) if factors is None else factors))

    def value(self, metric: str) -> float:
        """The value of a metric in the row's unit (J, W of all devices, items/s, s)."""
        seconds = self.seconds()
        watts = self.machine.count * mean_watts(self, seconds)
        return {
            "energy_per_image": watts * seconds / self.batch,
            "energy_per_video": watts * seconds / self.batch,
            "avg_power_all_gpus": watts,
            "throughput": self.batch / seconds,
            "batch_latency": seconds,
        }[metric]


def job(row: Row) -> Job:
    """The job of a row. Raises Unsupported with the reason."""
    shape = _DENOISERS.get(row["model"].rsplit("/", 1)[-1])
    settings = dict(part.split("=", 1) for part in row["notes"].split("; ") if "=" in part)
    if shape is None or "ulysses_degree" not in settings:
        raise Unsupported("denoiser not known (U-Nets are not modelled)")
    count, batch = int(row["num_gpus"]), float(row["batch_size"])
    machine = hardware({"device": row["gpu"], "count": count})
    if machine.device.family not in _file():
        raise Unsupported(f"no constants of diffusion for {machine.device.family}")
    high, wide = (int(settings.get(f"resolution_{s}") or settings[f"video_{s}"]) for s in "hw")
    frames = int(settings.get("frames", 1))
    tokens = (high // shape.patch) * (wide // shape.patch) * ((frames - 1) // shape.frames + 1) + shape.text
    degrees = int(settings["ulysses_degree"]), int(settings["ring_degree"])
    terms = _terms(shape, machine, degrees, tokens=tokens, steps=int(settings["steps"]), batch=batch)
    terms[6] = batch * high * wide * frames * 1e-9 * 1e15 / machine.device.peak("bf16")
    return Job(f"{row['model']}/{machine.device.key}", machine, terms, batch)


def _terms(
    shape: Denoiser, machine: Hardware, degrees: tuple[int, int], *, tokens: int, steps: int, batch: float
) -> Array:
    device, count, (ulysses, ring) = machine.device, machine.count, degrees
    peak, passes = device.peak("bf16"), steps * shape.passes * batch
    stream = passes * shape.layers * tokens * shape.width * 2.0
    attention = passes * 4.0 * shape.layers * tokens**2 * shape.width if shape.attends else 0.0
    # four all-to-alls of a device's share; keys and values once around the ring
    crossing = 4.0 * (ulysses - 1) / ulysses / count + 2.0 * (ring - 1) / ring / ulysses
    blocks = steps * shape.layers * 1e-3
    return np.array(
        [
            passes * 2.0 * shape.params * tokens / count / peak,
            attention / count / peak,
            stream / count / device.memory_bytes_per_s,
            blocks,
            stream * crossing / max(device.scale_up.bytes_per_s, 1.0),
            blocks if count > 1 else 0.0,
            0.0,
        ]
    )


def mean_watts(work: Job, seconds: float, law: tuple[float, float] | None = None) -> float:
    """Mean power of one device: a share of the peak draws more than its share of the power."""
    device = work.machine.device
    slope, exponent = law or (_file()[device.family]["watts_slope"], _file()[device.family]["watts_exponent"])
    share = float(work.terms[0] + work.terms[1]) / seconds
    idle = loaded_idle_w(work.machine) / device.tdp_w
    return float(device.tdp_w * min(1.0, idle + (1.0 - idle) * slope * share**exponent))


def _factors(machine: Hardware) -> Array:
    entry = _file()[machine.device.family]
    return np.array([entry[name] for name in FACTORS])


@cache
def _file() -> Mapping[str, Any]:
    raw: Mapping[str, Any] = json.loads(
        resources.files("rooflab.costs").joinpath("fits/diffusion.json").read_text("utf-8")
    )
    return raw

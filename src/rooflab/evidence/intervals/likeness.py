"""What kind of prediction a number is, and how near the evidence it stands: the domains in which errors are alike.

family    what is predicted, in which kind of load ("time per token, closed loop")
kind      dense or moe
kernels   tables: the device's own kernel timings; relative: those of a near relative; assumed: none of its family
engine    fitted: constants of this engine, generation and kind of model; general: those of something wider
verdict   inside: the same model, device and engine generation were measured under the same kind of load (one batch, a
          running server, the best of many deployments); near: under another load, or another model on this device and
          engine, or this model on another device of a family with kernel tables; outside: none of these, or priced by
          constants of something wider than this engine, generation and kind of model
support   tables or no tables, with a word for engines of desktops: by how much a server that no row came from errs more
          than the rows
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rooflab.costs.calibration import TABLED_FAMILIES, calibration_for
from rooflab.costs.engine_constants import active, era
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Device
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = [
    "ENERGY_FAMILIES",
    "NO_TABLES",
    "VERDICTS",
    "Domain",
    "Key",
    "Nearness",
    "Neighbours",
    "domain_of",
    "entry_of",
    "family_of",
    "key_of",
    "near_of",
]

Nearness = Literal["inside", "near", "outside"]
VERDICTS: Final[Mapping[Nearness, str]] = {
    "inside": "inside the evidence",
    "near": "near the evidence",
    "outside": "outside the evidence",
}

_LOADS: Final = {
    "static": "static batch",
    "single": "single stream",
    "closed": "closed loop",
    "burst": "burst",
    "open": "open loop",
    "trace": "open loop",
    "max-throughput": "saturated",
}

_RUNNING: Final = "a running server"
_BEST: Final = "best deployment"
_KINDS_OF_LOAD: Final = {"static batch": "one batch", "single stream": "one batch", _BEST: _BEST}
"""Kinds of load by the loads of families; every other is a running server's."""

_DESKTOP: Final = ("llamacpp", "mlx")
_DESKTOP_ENGINE: Final = ", desktop engine"
NO_TABLES: Final = "no tables"
ENERGY_FAMILIES: Final = {
    "power_w": "energy: avg_power_all_gpus",
    "j_per_token": "energy: energy_per_output_token",
    "gco2e_per_mtok": "energy: energy_per_output_token",
}
"""Families of watts, joules and what is proportional to them, by which published energy rows are judged."""


@dataclass(frozen=True, slots=True)
class Key:
    """What tells one body of evidence from another: shape of the model, device, engine and generation; with device
    family and kind."""

    shape: str
    device: str
    engine: str
    family: str
    kind: str


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a prediction stands; its errors are judged by those of its like."""

    family: str
    kind: str
    kernels: str
    engine: str
    near: Nearness

    @property
    def load(self) -> str:
        """The kind of load that a measurement must have shared to be of the same thing."""
        load = self.family.rpartition(", ")[2] if "desktop engine" not in self.family else self.family.split(", ")[-2]
        return _KINDS_OF_LOAD.get(load, _RUNNING)

    @property
    def support(self) -> str:
        """What is known of such devices and engines ("" where the question is not about serving)."""
        if not self.kernels:
            return ""
        known = NO_TABLES if self.kernels == "assumed" else "tables"
        return f"{known}{_DESKTOP_ENGINE if _DESKTOP_ENGINE in self.family else ''}"

    def wider(self) -> tuple[str, ...]:
        """Names from the most particular domain to the widest ("serving *", "*"), each with fewer distinctions."""
        f, k, c, e, n = self.family, self.kind, self.kernels, self.engine, self.near
        return tuple(
            dict.fromkeys(
                (f"{f}|{k}|{c}|{e}|{n}", f"{f}|{k}|{c}|{e}", f"{f}|{k}|{c}", f"{f}|{k}", f, *self._wide(), "*")
            )
        )

    def pools(self) -> tuple[str, ...]:
        """Names of the rows that say how much intervals must be stretched: metric, load and kind; metric and load;
        metric; all."""
        return tuple(dict.fromkeys((f"{self.family}|{self.kind}", self.family, *self._wide())))

    def _wide(self) -> tuple[str, ...]:
        """The metric under any load; what an answer's time is made of, where a batch starts together; all that is like
        it."""
        of = self.family.split(":")[0] if ":" in self.family else "serving"
        name, _, load = self.family.partition(", ")
        together = load in ("static batch", "single stream") and name in ("prefill", "time per token", "end to end")
        return (name, *(("latency of a batch",) if together else ()), f"{of} *")


def family_of(metric: str, workload: Workload, engine: str, *, best_of_many: bool = False) -> str:
    """The family of a serving metric (``tpot_s_mean``) under a load; engines of desktops are families apart."""
    if metric in ENERGY_FAMILIES:
        return ENERGY_FAMILIES[metric]
    mode = "single" if workload.mode == "static" and (workload.batch or 1) == 1 else workload.mode
    load = _BEST if best_of_many else f"{_LOADS[mode]}{_DESKTOP_ENGINE if engine in _DESKTOP else ''}"
    if metric.endswith("_p99") or metric.endswith("_p90"):
        name = (
            "tail of first token"
            if metric.startswith("ttft")
            else "tail of time per token"
            if metric[:3] in ("tpo", "itl")
            else "tail"
        )
        return f"{name}, {load}"
    if metric.startswith(("tpot", "itl")):
        # the median step of a closed loop has no prompt in it
        return f"time per token{' (median)' if metric.endswith('_p50') else ''}, {load}"
    if metric.startswith("ttft"):
        return f"prefill, {load}" if mode in ("static", "single") else f"first token, {load}"
    if metric.startswith("e2e"):
        return f"end to end, {load}"
    return f"throughput, {load}"


def _shape(model: Model) -> str:
    """Models of one shape are one model to the engine, whatever they were tuned for."""
    return f"{model.parameters / 1e9:.3g}B {model.hidden}x{model.layers}"


def key_of(model: Model, device: Device, deployment: Deployment) -> Key:
    """The key of a model on a device under an engine."""
    engine = f"{deployment.runtime.engine}@{era(deployment.runtime.engine, deployment.runtime.engine_version)}"
    return Key(_shape(model), device.key, engine, device.family, "moe" if model.is_moe else "dense")


def entry_of(key: Key) -> str:
    """The calibration entry that prices an engine, or would: its backend for a device family where there is one."""
    name = f"{key.engine}/{key.kind}"
    backend = f"{name}:{key.family}"
    return backend if backend in active().engines else name


def domain_of(scenario: Scenario, family: str, near: Nearness) -> Domain:
    """The domain of a prediction for `scenario`."""
    s = scenario
    kernels = calibration_for(s.hardware.device, s.deployment.runtime.engine)
    how = "tables" if kernels.in_table else "relative" if kernels.provenance == "fitted" else "assumed"
    key = key_of(s.model, s.hardware.device, s.deployment)
    engine = "fitted" if entry_of(key) in active().engines else "general"
    return Domain(family, key.kind, how, engine, near)


def near_of(known: Neighbours, key: Key, domain: Domain, without: str = "") -> Nearness:
    """How near the evidence a prediction is: what is priced by borrowed constants is outside it."""
    return "outside" if domain.engine == "general" else known.nearness(key, domain.load, without)


Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Groups of measured rows by key and kind of load, by key, and by the wider keys that make evidence near."""

    alike: Mapping[Place, frozenset[str]]
    near: Mapping[Place, frozenset[str]]

    @classmethod
    def of(cls, groups: Iterable[tuple[str, Key, str]]) -> Neighbours:
        """The neighbours that rows make, each given by the name of its group, its key and its kind of load."""
        alike: dict[Place, set[str]] = {}
        near: dict[Place, set[str]] = {}
        for name, key, load in groups:
            alike.setdefault((key.shape, key.device, key.engine, load), set()).add(name)
            for place in _places(key):
                near.setdefault(place, set()).add(name)
        return cls(*({k: frozenset(v) for k, v in table.items()} for table in (alike, near)))

    def nearness(self, key: Key, load: str, without: str = "") -> Nearness:
        """How near the evidence `key` under a kind of load is when the group `without` is left out."""
        left_out = {without}
        if self.alike.get((key.shape, key.device, key.engine, load), frozenset()) - left_out:
            return "inside"
        if any(self.near.get(place, frozenset()) - left_out for place in _places(key)):
            return "near"
        return "outside"


def _places(key: Key) -> tuple[Place, ...]:
    # without kernel tables a family's devices have nothing but its measured rows in common: one that nobody measured is
    # outside
    family = key.family if key.family in TABLED_FAMILIES else key.device
    return (
        ("key", key.shape, key.device, key.engine),
        ("device", key.device, key.engine, key.kind),
        ("family", key.shape, family, key.engine),
    )

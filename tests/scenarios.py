"""Random scenarios for property tests: real catalogue models and devices, random splits, formats and loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.errors import RooflabError
from rooflab.estimator.serving.front import estimate
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths

MODELS = (
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.1-70B",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V3",
    "openai/gpt-oss-20b",
    "google/gemma-2-9b",
    "nvidia/Nemotron-H-56B-Base-8K",
    "bigscience/bloom-7b1",
)
DEVICES = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "l40s", "mi300x")


T = TypeVar("T")


class Picks(Protocol):
    """Who chooses: hypothesis, which shrinks what fails, or a seeded generator, which spreads over the scales."""

    def of(self, options: Sequence[T]) -> T: ...

    def whole(self, low: int, high: int) -> int: ...

    def real(self, low: float, high: float) -> float: ...


@dataclass(frozen=True)
class Seeded:
    """Choices of a generator; numbers are spread evenly over their logarithms."""

    rng: np.random.Generator

    def of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def whole(self, low: int, high: int) -> int:
        return round(self.real(low, high))

    def real(self, low: float, high: float) -> float:
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class _Drawn:
    draw: st.DrawFn

    def of(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def whole(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def real(self, low: float, high: float) -> float:
        return self.draw(st.floats(low, high))


def scenario_of(picks: Picks, modes: tuple[str, ...]) -> Scenario:
    """A scenario whose split is valid; it may not fit."""
    tp, pp = picks.of((1, 2, 4, 8)), picks.of((1, 1, 2, 4))
    weights = picks.of((None, "fp8", "int4"))
    deployment = Deployment.of(
        engine=picks.of(("vllm", "sglang", "trtllm", "ideal")),
        tp=tp,
        pp=pp,
        replicas=1,
        weights=weights,
        kv=picks.of((None, "fp8")),
        max_num_batched_tokens=picks.of((1024, 8192)),
        chunked_prefill=picks.of((False, True)),
    )
    lengths = {"isl": read_lengths(picks.whole(1, 8192), "isl"), "osl": read_lengths(picks.whole(2, 2048), "osl")}
    mode = picks.of(modes)
    load = {
        "static": {"batch": picks.whole(1, 256)},
        "closed": {"concurrency": picks.whole(1, 512)},
        "open": {"rate": picks.real(0.01, 50.0)},
        "max": {},
    }[mode]
    return Scenario(
        model=model(picks.of(MODELS)),
        hardware=hardware(f"{tp * pp} x {picks.of(DEVICES)}"),
        workload=Workload(**lengths, **load),
        deployment=deployment,
    )


@st.composite
def scenarios(draw: st.DrawFn, modes: tuple[str, ...] = ("static", "closed", "open", "max")) -> Scenario:
    """A scenario whose split is valid; it may not fit."""
    return scenario_of(_Drawn(draw), modes)


def answer(scenario: Scenario) -> Any:
    """The estimate of a scenario that has one."""
    try:
        return estimate(scenario)
    except RooflabError:
        assume(False)


def with_device(scenario: Scenario, **changes: object) -> Scenario:
    """The scenario on a device with other figures."""
    device = replace(scenario.hardware.device, **changes)
    return replace(scenario, hardware=replace(scenario.hardware, device=device))

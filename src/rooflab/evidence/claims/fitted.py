"""Which claims a fit has seen: sources named by the constants that priced a claim's scenarios, against its paper's
data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rooflab.costs.engine_constants import ServingCalibration, device_factors, engine_overhead, using
from rooflab.costs.unpacking import unpacking
from rooflab.papers.paper import Paper
from rooflab.scenario.scenario import Scenario

__all__ = ["Priced", "seen_by_fits", "sources"]

Priced = tuple[Scenario, ServingCalibration]
"""What an engine was asked for, and the constants that were in force."""


def sources(priced: Priced) -> Iterator[str]:
    """What the constants that priced a scenario say of their rows: the engine's, the device's, its cache's format's."""
    scenario, constants = priced
    device, runtime = scenario.hardware.device, scenario.deployment.runtime
    with using(constants):
        if runtime.engine:
            yield engine_overhead(runtime, moe=scenario.model.is_moe, family=device.family).source
        yield device_factors(device).source
    cache = scenario.deployment.formats.kv or ""
    if scenario.rewrites and cache in unpacking():
        yield str(unpacking()[cache]["source"])


def seen_by_fits(paper: Paper, priced: Iterable[Priced]) -> str:
    """The constants' own words where one of them rests on what the paper's authors measured; empty where none does."""
    for said in dict.fromkeys(text for p in priced for text in sources(p)):
        for own in paper.own_data:
            if own.lower() in said.lower():
                return said
    return ""

"""Why a row is far off, in a phrase: what is known of single rows, else what rows of its kind suffer from."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from rooflab.evidence.score.score import Scored

__all__ = ["explain"]


@cache
def _known() -> dict[str, str]:
    """Explanations of single rows, by id."""
    text = resources.files("rooflab.evidence").joinpath("data/explained.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def explain(row: Scored) -> str:
    """The phrase."""
    known = _known().get(row.id)
    if known:
        return known
    over = row.predicted > row.measured
    family = row.domain.family
    if family.startswith(("first token", "tail of first token")):
        if "best deployment" in family or "saturated" in family:
            if over:
                return (
                    "the load generator keeps the first token within its limit; the closed form takes the engine "
                    "as "
                    "full"
                )
            return "more arrives than is served: the wait is that of a run's end, not of a steady state"
        if over:
            return (
                "predicted to wait for cache: cache format or memory share of the recipe is not stated, and "
                "capacity is a cliff"
            )
        return "measured waits that fit no stated capacity: warm-up inside the run, or fewer sequences run than fit"
    if family.startswith("tail") or row.metric.startswith("p99"):
        if row.scenario in ("video-chat", "image-chat"):
            return "the worst step holds a whole prompt of frames, whose encoder and length are not stated"
        return (
            "a tail of steps with prompts in them: the closed form knows their mean share, not the order in which "
            "they come"
        )
    if row.engine.startswith("llamacpp"):
        return (
            "a build of llama.cpp whose kernels for this device and format no table times; several cards split by "
            "layers"
        )
    if row.kind == "moe":
        return "expert kernels and their parallelism are not stated; old MoE kernels ran far below today's tables"
    if row.source.startswith("GPU-Benchmarks") or row.source.startswith("geerlingguy"):
        return "a desktop: memory shared with the host, or weights that do not fit and spill"
    if over == (row.domain.family.startswith("throughput")):
        return "measured slower than stated hardware allows in this setup: configuration not stated"
    return "measured faster than the fitted engine generation: newer kernels than its rows"

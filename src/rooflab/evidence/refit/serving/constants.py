"""Which constants are fitted for whom: kernels of an engine's own, block-scaled experts, another vendor's backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rooflab.costs.engine_constants import EngineOverhead, ServingCalibration, later_generations
from rooflab.evidence.fit.priors import (
    EAGER_PRIORS,
    ENGINE_PRIORS,
    EXPERT_PRIORS,
    KERNEL_PRIORS,
    LAUNCHED_PRIORS,
    READ_PRIORS,
    Prior,
)
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.refit.serving.rows import block_scaled, engine_key

__all__ = ["backend_priors", "before", "engine_priors", "few_reads", "newest_first"]

_ATTENTION: Final = ("decode_attention", "regroup")
_OWN_KERNELS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("llamacpp@2024", "llamacpp@2025", "lmdeploy@2025", "deepspeed@2025"), tuple(KERNEL_PRIORS)),
    **dict.fromkeys(("trtllm@2023", "trtllm@2024-02"), ("memory", *_ATTENTION)),
    **dict.fromkeys(("vllm@2023", "vllm@2024"), _ATTENTION),
}
"""Engines and generations with kernels that the tables do not time, and what of them is fitted: all of llama.cpp's,
TurboMind's and DeepSpeed's, the products and decode attention of TensorRT-LLM before 0.10, the paged attention of vLLM
before v1."""
_FEW_READS: Final = ("llamacpp@2024", "llamacpp@2025")
"""Engines that run none of the tables' kernels: their rows say nothing of how a device's clocks differ from its
relative's."""
_HOST: Final = ("fixed_s", "layer_s", "sequence_s")
"""Terms of the program that schedules steps, whatever kernels they launch."""
_PROFILED: Final[Mapping[str, Mapping[str, float]]] = {"vllm@2024": {"sequence_s": 5e-5}}
"""Host terms of which a profile is published, and what to expect by it.

vLLM 0.5.3 (vLLM's report on 0.6.0, 5 September 2024: Llama-3-8B on one H100): 29 % of the time schedules and 38 % runs
the model.  At its 256 sequences of some 400 tokens a step takes the device about 17 ms, by weights and cache over
bandwidth and the products of as many new tokens; 17 ms · 29 / 38 / 256 = 5e-5 s a sequence, assumed 3e-5 to 1e-4."""
_FOLLOWS: Final[Mapping[str, str]] = {"llamacpp@2025": "llamacpp@2024"}
"""Generations with kernels of their own that go on from those of another, of which more is measured."""


def engine_priors(
    key: str, rows: Sequence[FitRow], found: EngineOverhead, table: ServingCalibration
) -> dict[str, Prior]:
    """Constants that are fitted for the entry `key` of an engine and generation: host terms, factors on kernels of its
    own, block-scaled experts; `found` is the entry from which they start.

    A generation of kernels of its own that follows another one differs from that by half of what was expected before.
    Host terms are expected to be those of the next generation of the same program.
    """
    name, _, kind = key.partition("/")
    if found.eager:
        return dict(EAGER_PRIORS)
    host = _host_of(key, table)
    expected = {k: float(getattr(host, k)) for k in _HOST} if host else {}
    expected |= _PROFILED.get(name, {})
    engine = {k: _at(p, expected[k]) if k in expected else p for k, p in ENGINE_PRIORS.items()}
    if kind.startswith("moe"):
        return {**engine, **(EXPERT_PRIORS if any(block_scaled(r) for r in rows) else {})}
    own = {k: KERNEL_PRIORS[k] for k in _OWN_KERNELS.get(name, ())}
    every = {**engine, **own, **(READ_PRIORS if name in _FEW_READS else {})}
    return {k: _near(p, float(getattr(found, k))) for k, p in every.items()} if name in _FOLLOWS else every


def _host_of(key: str, table: ServingCalibration) -> EngineOverhead | None:
    """What an entry's host is expected to be before its own rows: the next generation's, as it answers for one that has
    no rows; None where there is none that was fitted."""
    name, _, kind = key.partition("/")
    engine, _, generation = name.partition("@")
    later = [g for g in later_generations(engine, generation) if f"{engine}@{g}" not in _FOLLOWS]
    for other in (f"{engine}@{g}/{kind}" for g in later):
        found = table.engines.get(other)
        if found is not None and found.provenance == "fitted":
            return replace(table, engines={other: found}).engine(engine, generation, kind)
    return None


def newest_first(keys: Iterable[str]) -> list[str]:
    """Entries in the order in which one's host terms tell what to expect of the next one's: later generations before
    earlier ones, but kernels that go on from an earlier generation's after those; dense models before mixtures."""

    def order(key: str) -> tuple[str, int, str]:
        name, _, kind = key.partition("/")
        engine, _, generation = name.partition("@")
        later = later_generations(engine, generation)
        place = len(later) if name not in _FOLLOWS else len(later_generations(*_FOLLOWS[name].split("@"))) + 1
        return engine, place, kind

    return sorted(keys, key=order)


def _at(prior: Prior, value: float) -> Prior:
    return replace(prior, mean=min(max(value, prior.low), prior.high))


def _near(prior: Prior, value: float) -> Prior:
    return replace(prior, mean=min(max(value, prior.low), prior.high), width=prior.width / 2)


def before(key: str, table: ServingCalibration) -> EngineOverhead:
    """The entry from which an entry's constants start: its own, or the one that prices it without.

    A mixture runs on its engine's own kernels, whose factors the rows of dense models tell; a generation that follows
    another one starts from that.
    """
    name, _, kind = key.partition("/")
    engine, _, generation = name.partition("@")
    earlier = table.engines.get(f"{_FOLLOWS.get(name)}/{kind}")
    if earlier is not None:
        return earlier
    own = table.engines.get(key) or table.engine(engine, generation, kind)
    dense = table.engines.get(f"{name}/dense")
    if kind != "moe" or name not in _OWN_KERNELS or dense is None:
        return own
    return replace(own, **{k: getattr(dense, k) for k in (*KERNEL_PRIORS, *READ_PRIORS)})


_BACKEND: Final = (
    "fixed_s",
    "layer_s",
    "sequence_s",
    "skew",
    "prefill_attention",
    "decode_attention",
    "regroup",
    "prompt_s",
)
_UNFUSED: Final = Prior(1.0, 6.0, 0.7, 200.0, 5.0)
"""Prefill attention where nobody tables it: a kernel that is not fused sends its scores through memory, tens of times
the arithmetic."""


def backend_priors(name: str) -> dict[str, Prior]:
    """Constants of an engine's backend for a family without tables; the family's own factors stand for its products."""
    every = {**ENGINE_PRIORS, **LAUNCHED_PRIORS, **KERNEL_PRIORS}
    return {
        **{k: every[k] for k in _BACKEND},
        "prefill_attention": _UNFUSED,
        **(READ_PRIORS if name in _FEW_READS else {}),
    }


def few_reads(row: FitRow) -> bool:
    """Whether the row is of an engine that runs none of the tables' kernels."""
    return engine_key(row).partition("/")[0] in _FEW_READS

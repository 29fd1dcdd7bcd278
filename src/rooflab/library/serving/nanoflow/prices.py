"""A layer's profile by the engine's own prices, where no reader has timed one.

Operators of a step are gathered into the operations that NanoFlow schedules (figure 3): products before attention,
decode attention and that of prompts side by side, products behind it, collectives, the feed-forward and its
collectives. Passes over the hidden state (norms, residuals) belong half to either products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import engine_overhead
from rooflab.costs.price import bench_for, price
from rooflab.deploy.engine import Engine, engine_of
from rooflab.library.serving.nanoflow.profile import MAPS, Operation, Profile, Resource
from rooflab.operators.formats import formats_of
from rooflab.operators.ops import AttentionOp, Collective, Operator, RecurrentOp
from rooflab.operators.split import degrees_of
from rooflab.operators.step import step_operators
from rooflab.scenario.scenario import Scenario

__all__ = ["layer_profile"]

F64 = npt.NDArray[np.float64]

_SIZES: Final = 48
"""Sizes that are priced: a batch cut in so many pieces holds every nano-batch that the search may cut."""
_SHORT: Final = 0.02
"""Share of a layer below which an operation is not placed by itself."""
_BEFORE, _BEHIND, _FFN = "projections", "output projection", "feed-forward"
_MIXER_SENT, _FFN_SENT = "mixer collectives", "feed-forward collectives"
_DECODE, _PROMPT = "decode attention", "prompt attention"
_CHAIN: Final[tuple[tuple[str, Resource, tuple[str, ...]], ...]] = (
    (_BEFORE, "compute", ()), (_DECODE, "memory", (_BEFORE,)), (_PROMPT, "compute", (_BEFORE,)),
    (_BEHIND, "compute", (_DECODE, _PROMPT)), (_MIXER_SENT, "network", (_BEHIND,)), (_FFN, "compute", (_MIXER_SENT,)),
    (_FFN_SENT, "network", (_FFN,)),
)  # fmt: skip
"""Operations of a layer, what bounds each, and what it waits for."""


def layer_profile(scenario: Scenario, tokens: int) -> Profile:
    """A mean layer of `scenario` in a dense step of `tokens` at its mix of decodes and prompts.

    Raises Infeasible where not even one sequence fits.
    """
    engine = _engine(scenario)
    sizes = tokens * np.arange(1, _SIZES + 1) / _SIZES
    spent = _products(engine, sizes) | _attention(engine, scenario, sizes)
    layers = sum(run.count for run in engine.model.runs)
    held = _joined({name: s / layers for name, s in spent.items() if s[-1] > 0})
    names = [name for name, _, _ in _CHAIN if name in held]
    operations = []
    for name, resource, after in _CHAIN:
        if name in held:
            waits = tuple(names.index(n) for n in _present(after, held))
            seconds = tuple(np.maximum.accumulate(held[name]).tolist())
            operations.append(
                Operation(
                    name=name, resource=resource, sizes=tuple(sizes.tolist()), seconds=seconds, rates=MAPS[resource],
                    after=waits, timed_beside=False,
                )
            )  # fmt: skip
    return Profile(tuple(operations), float(tokens))


def _joined(held: dict[str, F64]) -> dict[str, F64]:
    """Attention of prompts is part of the products behind it where it is short: one operation less to place."""
    whole = sum(float(s[-1]) for s in held.values())
    if _PROMPT not in held or held[_PROMPT][-1] > _SHORT * whole:
        return held
    return {n: s + held[_PROMPT] if n == _BEHIND else s for n, s in held.items() if n != _PROMPT}


@lru_cache(maxsize=64)
def _engine(scenario: Scenario) -> Engine:
    return engine_of(scenario)


def _present(names: Iterable[str], held: dict[str, F64]) -> Iterator[str]:
    """Operations that are waited for; one that a layer lacks is replaced by what it would wait for itself."""
    for name in names:
        if name in held:
            yield name
        else:
            yield from _present(next(after for n, _, after in _CHAIN if n == name), held)


def _products(engine: Engine, sizes: F64) -> dict[str, F64]:
    """Seconds of all layers in products, passes and collectives, by operation and size."""
    d = engine.deployment
    overhead = engine_overhead(d.runtime, moe=engine.model.is_moe, family=engine.hardware.device.family)
    bench = bench_for(engine.hardware, d.runtime.engine, overhead)
    formats = formats_of(engine.model, engine.hardware.device, d)
    operators: tuple[Operator, ...] = step_operators(engine.model, formats, degrees_of(d.split), sizes, sizes)
    for rewrite in engine.rewrites:
        operators = tuple(rewrite(operators))
    spent = {name: np.zeros(len(sizes)) for name, _, _ in _CHAIN if name not in (_DECODE, _PROMPT)}
    for names, op in _placed(operators):
        if not isinstance(op, (AttentionOp, RecurrentOp)):
            for name in names:
                spent[name] = spent[name] + np.broadcast_to(np.asarray(price(op, bench).seconds), sizes.shape) / len(
                    names
                )
    return spent


def _placed(operators: Iterable[Operator]) -> Iterator[tuple[tuple[str, ...], Operator]]:
    """Operations that an operator belongs to, by its place behind attention and feed-forward of its block."""
    attended = fed = False
    for op in operators:
        if isinstance(op, (AttentionOp, RecurrentOp)):
            attended, fed = True, False
        elif op.group == "norm":
            yield (_BEFORE, _FFN), op
            attended = fed = False
        elif op.group == "attention":
            yield (_BEHIND if attended else _BEFORE,), op
        elif op.group in ("ffn", "experts"):
            fed = True
            yield (_FFN,), op
        elif isinstance(op, Collective) and op.group == "comm" and op.kind != "send":
            yield (_FFN_SENT if fed else _MIXER_SENT,), op


def _attention(engine: Engine, s: Scenario, sizes: F64) -> dict[str, F64]:
    """Seconds of all layers in attention of decoding sequences and of prompts, by size."""
    prompt, output = s.workload.mean_prompt_tokens, s.workload.mean_output_tokens
    decodes = sizes * output / (prompt + output)
    which, none = np.zeros(len(sizes), dtype=np.intp), np.zeros(len(sizes))
    costs = engine.step_cost.stack()
    decode = costs.step(
        which, n_decode=decodes, context=decodes * (prompt + output / 2), n_prefill=none, prefill_tokens=none, area=none
    )
    fed = sizes - decodes
    prefill = costs.step(
        which, n_decode=none, context=none, n_prefill=none + 1, prefill_tokens=fed, area=fed * (prompt + 1) / 2
    )
    return {_DECODE: decode.attention_s, _PROMPT: prefill.attention_s}

"""Deployments → `StepCosts`: every operator priced at every token count of the grid, for many splits at once.

Deployments that share formats and runtime differ only in their degrees of parallelism, which are arrays
in the operators' shapes; each such group is one pass over the operator list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rooflab.costs.attention_rows import attention_row
from rooflab.costs.engine_constants import engine_overhead
from rooflab.costs.launches import host_s, prompt_launches_s
from rooflab.costs.power import limit_w, loaded_idle_w
from rooflab.costs.price import Bench, Price, bench_for, compute_of, price
from rooflab.costs.separate import separate
from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, SCALARS, Array, StepCosts
from rooflab.operators.formats import StepFormats, formats_of
from rooflab.operators.offload import offloaded
from rooflab.operators.ops import AttentionOp, Operator, RecurrentOp, Transfer
from rooflab.operators.split import PADDING_ENGINES, Degrees
from rooflab.operators.step import step_operators
from rooflab.scenario.deployment import Priced
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.paid import paid
from rooflab.scenario.runtime import Overlap, Speculation

__all__ = ["Rewrite", "compile_steps", "price_operators"]

Rewrite = Callable[[Sequence[Operator]], Sequence[Operator]]
"""A technique at operator depth: the operators of a step, rewritten."""

_A = {name: i for i, name in enumerate(ATTENTION_FIELDS)}
_Q = {name: i for i, name in enumerate(QUANTITIES)}
_S = {name: i for i, name in enumerate(SCALARS)}


def compile_steps(
    model: Model,
    hardware: Hardware,
    deployments: Sequence[Priced],
    rewrites: Sequence[Rewrite] = (),
    cross_tokens: float = 0.0,
) -> StepCosts:
    """Step prices of `deployments` (with `tp` chosen) of one model on one hardware, in their order.

    `cross_tokens`: encoder tokens that a decoder's cross-attention reads a sequence.
    """
    groups: dict[Any, list[int]] = {}
    for i, d in enumerate(deployments):
        groups.setdefault((formats_of(model, hardware.device, d), d.runtime), []).append(i)
    parts = [
        (rows, _compile_group(model, hardware, [deployments[i] for i in rows], rewrites, cross_tokens))
        for rows in groups.values()
    ]
    first = parts[0][1]
    out = StepCosts(
        np.empty((len(deployments), *first.tables.shape[1:])),
        np.empty((len(deployments), *first.attention.shape[1:])),
        np.empty((len(deployments), len(SCALARS))),
    )
    for rows, part in parts:
        out.tables[rows], out.attention[rows], out.scalars[rows] = part.tables, part.attention, part.scalars
    return out


def _column(values: Sequence[int]) -> Array:
    return np.array(values, dtype=np.float64)[:, None]


def price_operators(operators: Sequence[Operator], bench: Bench) -> list[tuple[Operator, Price]]:
    """Prices of all operators that a token count alone prices; attention and recurrent mixers are priced by
    `attention_rows`."""
    return [(op, price(op, bench)) for op in operators if not isinstance(op, (AttentionOp, RecurrentOp))]


def _compile_group(
    model: Model, hardware: Hardware, deployments: list[Priced], rewrites: Sequence[Rewrite], cross_tokens: float
) -> StepCosts:
    runtime, formats = deployments[0].runtime, formats_of(model, hardware.device, deployments[0])
    overhead = engine_overhead(runtime, moe=model.is_moe, family=hardware.device.family)
    bench = bench_for(hardware, runtime.engine, overhead)
    split = Degrees(
        tp=_column([d.split.tp or 1 for d in deployments]),
        pp=_column([d.split.pp for d in deployments]),
        ep=_column([d.split.ep or 1 for d in deployments]),
        dp=_column([d.split.dp for d in deployments]),
        cp=_column([d.split.cp for d in deployments]),
        padded=float(hardware.device.dies) if runtime.engine in PADDING_ENGINES else 0.0,
    )
    grid = GRID[None, :]
    operators: Sequence[Operator] = step_operators(model, formats, split, grid, grid)
    for rewrite in rewrites:
        operators = rewrite(operators)
    if runtime.offload is not None:
        operators = offloaded(operators, runtime.offload, model)

    n = len(deployments)
    ranks = np.asarray(split.ranks)
    tables = np.zeros((n, len(QUANTITIES), len(GRID)))
    rows, streams = [], np.zeros((n, 2))
    for op in operators:
        if isinstance(op, (AttentionOp, RecurrentOp)):
            row = attention_row(op, bench, formats, cross_tokens)
            rows.append({k: np.broadcast_to(np.asarray(v, dtype=np.float64).reshape(-1), (n,)) for k, v in row.items()})
            continue
        p = price(op, bench)
        if isinstance(op, Transfer):
            streams[:, 0] += np.broadcast_to(np.asarray(p.seconds).reshape(-1), (n,))
            streams[:, 1] += np.broadcast_to(np.asarray(p.joules * ranks).reshape(-1), (n,))
            continue
        _add(tables, op, p, ranks)

    attention = np.zeros((n, max(len(rows), 1), len(ATTENTION_FIELDS)))
    attention[:, :, _A["window"]] = np.inf
    whole = {name for name in ATTENTION_FIELDS if name.endswith(("_j", "_bytes", "_flops"))}
    for j, coefficients in enumerate(rows):
        for c, name in enumerate(ATTENTION_FIELDS):
            attention[:, j, c] = coefficients[name] * (ranks[:, 0] if name in whole else 1.0)
    attention[:, 0, _A["pre_launch_s"]] += overhead.prompt_s
    scalars = _scalars(model, hardware, deployments, formats=formats, bench=bench, streams=streams)
    costs = _with_drafting(StepCosts(tables, _merge(attention), scalars), runtime.speculation)
    return separate(costs) if runtime.batching == "separate" else costs


def _add(tables: Array, op: Operator, p: Price, ranks: Array) -> None:
    """Add one priced operator to the tables of its part: head, communication, or the rest."""
    part = "head" if op.group == "head" else "comm" if op.group == "comm" else "linear"
    tables[:, _Q[f"{part}_s"]] += p.seconds
    tables[:, _Q[f"{part}_j"]] += p.joules * ranks
    if part != "comm":
        tables[:, _Q[f"{part}_flops"]] += p.flops * ranks
        tables[:, _Q[f"{part}_bytes"]] += p.bytes * ranks
    if part == "linear":
        tables[:, _Q["linear_least_bytes"]] += p.least_bytes * ranks
    if part == "comm":
        tables[:, _Q["comm_bytes"]] += p.link_bytes * ranks


def _merge(attention: Array) -> Array:
    """Rows with the same window are one: prices add (the same attention in different runs of blocks)."""
    windows = attention[0, :, _A["window"]]
    if any((attention[:, :, _A["window"]] != windows).ravel()):
        return attention
    distinct = list(dict.fromkeys(windows.tolist()))
    out = np.empty((len(attention), len(distinct), attention.shape[2]))
    for j, window in enumerate(distinct):
        out[:, j] = attention[:, windows == window].sum(axis=1)
        out[:, j, _A["window"]] = window
    return out


def _scalars(
    model: Model, hardware: Hardware, deployments: list[Priced], *, formats: StepFormats, bench: Bench, streams: Array
) -> Array:
    device, runtime = hardware.device, deployments[0].runtime
    devices = np.array([d.split.devices_per_replica for d in deployments], dtype=np.float64)
    pairs = [(formats.weights, formats.activations), (formats.plain, formats.plain)]
    if model.is_moe:
        pairs.append((formats.experts, formats.expert_activations))
    pairs += [(weights, activations) for _, weights, activations in formats.others]
    idle_w = loaded_idle_w(hardware)
    scalars = np.zeros((len(deployments), len(SCALARS)))
    held = "launches_s" if bench.overhead.eager else "host_fixed_s"
    scalars[:, _S[held]] = host_s(model, formats, bench.overhead)
    scalars[:, _S["prompt_launches_s"]] = prompt_launches_s(model, bench.overhead)
    # every data-parallel rank schedules and samples its own sequences
    scalars[:, _S["host_seq_s"]] = bench.overhead.sequence_s / _column([d.split.dp for d in deployments])[:, 0]
    overlap = runtime.overlap or Overlap()
    scalars[:, _S["overlap_attention"]], scalars[:, _S["overlap_comm"]] = overlap.attention, overlap.comm
    scalars[:, _S["attention_beside"]] = runtime.offload is not None and runtime.offload.attention == "cpu"
    scalars[:, _S["stream_s"]], scalars[:, _S["stream_j"]] = streams[:, 0], streams[:, 1]
    scalars[:, _S["idle_w"]] = devices * idle_w * paid().idle_power
    scalars[:, _S["dynamic_limit_w"]] = devices * max(limit_w(hardware) - idle_w, 0.0)
    scalars[:, _S["tokens_per_decode"]] = 1.0 + (runtime.speculation.tokens if runtime.speculation else 0)
    scalars[:, _S["peak_flops"]] = devices * max(bench.datasheet(compute_of(w, a)) for w, a in pairs)
    scalars[:, _S["peak_bytes_per_s"]] = devices * device.memory_bytes_per_s
    scalars[:, _S["peak_link_bytes_per_s"]] = devices * max(
        device.scale_up.bytes_per_s, hardware.network.bytes_per_s, 1.0
    )
    return scalars


def _with_drafting(costs: StepCosts, speculation: Speculation | None) -> StepCosts:
    """Add the time of drafting: `tokens` draft steps, each a share of the target's decode step, linear in sequences."""
    if speculation is None:
        return costs
    which = np.arange(len(costs))
    zeros = np.zeros(len(costs))

    def decode_s(n: float) -> Array:
        plain = replace(costs, scalars=costs.scalars.copy())
        plain.scalars[:, _S["tokens_per_decode"]] = 1.0
        return plain.step(
            which, n_decode=zeros + n, context=zeros + n * 1024.0, n_prefill=zeros, prefill_tokens=zeros, area=zeros
        ).seconds

    share = speculation.tokens * speculation.draft_share
    one, many = decode_s(1.0), decode_s(64.0)
    scalars = costs.scalars.copy()
    scalars[:, _S["host_fixed_s"]] += share * (one - (many - one) / 63.0)
    scalars[:, _S["host_seq_s"]] += share * (many - one) / 63.0
    return replace(costs, scalars=scalars)

"""The candidates of a plan: every deployment of a model on the hardware that is worth pricing.

splits       tensor degrees that divide the heads, inside a host and over hosts; pipeline stages; attention-data and
             expert degrees for mixtures of experts
replicas     every count that the hardware holds (thinned on large clusters, then filled in around the best)
formats      the checkpoint's, fp8 where the device computes in it or keeps it weight-only, 4-bit ones on request; fp8
             cache
limits       sequences, tokens a step, chunked prefill on or off

Fields that the scenario sets to anything but their default stay as they are; `fixed` names fields that stay although
they have their default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from rooflab.deploy.complete import default_engine
from rooflab.deploy.defaults import users_at_once, with_engine_limits
from rooflab.errors import InputError, unknown
from rooflab.launch.label import SCHEDULING, SEARCHED
from rooflab.operators.blocks import block_problem
from rooflab.operators.formats import formats_of
from rooflab.operators.split import check_split, split_problem
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.dtype import DTYPES, dtype
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario

__all__ = ["Space", "candidates", "engine_shape", "fill_replicas", "fill_sequences", "quality", "shape", "space_of"]

_STAGES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_TOKENS: Final = (2048, 4096, 8192, 16384)
_SEQUENCES: Final = (16, 32, 64, 128, 256, 512, 1024)
_FINE: Final = tuple(
    sorted({1, 2, 3, 5, 6, 7} | {step << octave for octave in range(8) for step in (4, 5, 6, 7)} | {1024})
)
"""Four an octave: where the latency target decides how many run."""
_ALL_REPLICAS: Final = 64
"""Up to so many replicas every count is a candidate; beyond, about eight an octave."""

Splits = tuple[int, int, int, int]
Batching = tuple[int, int, bool]


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched: splits (tp, pp, dp, ep) with their replicas, formats of weights and cache, limits (sequences,
    tokens, chunked); `cannot`: splits whose widths a format's blocks do not divide."""

    base: Deployment
    splits: tuple[tuple[Splits, tuple[int, ...]], ...]
    weights: tuple[str | None, ...]
    kv: tuple[str | None, ...]
    limits: tuple[Batching, ...]
    cannot: frozenset[tuple[Splits, str | None]] = frozenset()

    def __len__(self) -> int:
        formats = ((len(r), sum((s, w) not in self.cannot for w in self.weights)) for s, r in self.splits)
        return sum(replicas * weights for replicas, weights in formats) * len(self.kv) * len(self.limits)

    def __iter__(self) -> Iterator[Deployment]:
        base = self.base
        formats = [replace(base.formats, weights=w, kv=kv) for w, kv in product(self.weights, self.kv)]
        limits = [
            replace(base.limits, max_num_seqs=seqs, max_num_batched_tokens=tokens, chunked_prefill=chunked)
            for seqs, tokens, chunked in self.limits
        ]
        clusters = {n: replace(base.cluster, replicas=n) for _, replicas in self.splits for n in replicas}
        for (tp, pp, dp, ep), replicas in self.splits:
            split = replace(base.split, tp=tp, pp=pp, dp=dp, ep=ep)
            for stored, limit, n in product(formats, limits, replicas):
                if ((tp, pp, dp, ep), stored.weights) in self.cannot:
                    continue
                yield Deployment(runtime=base.runtime, split=split, formats=stored, limits=limit, cluster=clusters[n])


def shape(d: Deployment) -> tuple[Any, ...]:
    """What is the same for deployments that differ in the limits of a step only."""
    return d.runtime.engine, d.split, d.formats, d.cluster.replicas


def engine_shape(d: Deployment) -> tuple[Any, ...]:
    """What is the same for deployments that differ in the limits of a step and in how many engines there are."""
    return shape(d)[:-1]


def candidates(
    scenario: Scenario,
    *,
    fixed: Collection[str] = (),
    quantise: bool = False,
    formats: Sequence[str] | None = None,
    limit: int = 20_000,
) -> list[Deployment]:
    """All deployments to price, at most `limit` where thinning the batch limits and replica counts can reach it."""
    return list(space_of(scenario, fixed=fixed, quantise=quantise, formats=formats, limit=limit))


def space_of(
    scenario: Scenario,
    *,
    fixed: Collection[str] = (),
    quantise: bool = False,
    formats: Sequence[str] | None = None,
    limit: int = 20_000,
) -> Space:
    """The space of a scenario; see the module. Raises InputError when a fixed split is impossible or too large for the
    hardware."""
    for name in fixed:
        if name not in SEARCHED:
            raise unknown("searched field", name, SEARCHED, "fixed")
    d, hardware = scenario.deployment, scenario.hardware
    if not d.runtime.engine:
        d = d.changed(engine=default_engine(scenario.model, hardware))
    given = d.flat()
    d = with_engine_limits(d, hardware.device, users_at_once(scenario.workload))
    keep = {name for name in SEARCHED if name in fixed or given[name] != _DEFAULTS[name]}
    splits = _splits(replace(scenario, deployment=d), keep)
    if not splits:
        _complain(replace(scenario, deployment=d))
    weights = (d.formats.weights,) if "weights" in keep else _weights(scenario, d, quantise=quantise, formats=formats)
    kv = (d.formats.kv,) if "kv" in keep else _caches(scenario, d)
    grids = [_limits(scenario, d, keep, level) for level in range(4)]
    every = [(s, _replicas(scenario, d, s, keep, thin=False)) for s in splits]
    thinned = [(s, _replicas(scenario, d, s, keep, thin=True)) for s in splits]
    cannot = _cannot(scenario, d, splits, weights)
    space = Space(d, tuple(every), weights, kv, grids[0], cannot)
    for counts, grid in product((every, thinned), grids):
        space = Space(d, tuple(counts), weights, kv, grid, cannot)
        if len(space) <= limit:
            break
    return space


def _cannot(
    scenario: Scenario, d: Deployment, splits: list[Splits], weights: tuple[str | None, ...]
) -> frozenset[tuple[Splits, str | None]]:
    """Splits and formats whose kernels do not go together."""
    found = []
    for s, name in product(splits, weights):
        tp, pp, dp, ep = s
        if block_problem(scenario.model, d.changed(tp=tp, pp=pp, dp=dp, ep=ep, weights=name)):
            found.append((s, name))
    return frozenset(found)


_DEFAULTS: Final = Deployment().flat()


def _splits(scenario: Scenario, keep: set[str]) -> list[Splits]:
    d, hardware, model = scenario.deployment, scenario.hardware, scenario.model
    most = hardware.count if hardware.device.scale_up.topology != "none" else 1
    layered = model.kind == "decoder"
    one_engine_one_device = d.runtime.engine in ("llamacpp", "mlx", "onnxruntime", "pytorch", "transformers")
    tps = [d.split.tp or 1] if "tp" in keep else [1] if one_engine_one_device else _tensor_degrees(hardware, most)
    pps = (
        [d.split.pp]
        if "pp" in keep
        else [p for p in _STAGES if p <= most]
        if layered and d.runtime.engine != "mlx"
        else [1]
    )
    dps = (
        [d.split.dp]
        if "dp" in keep
        else [1 << i for i in range(most.bit_length())]
        if model.is_moe and d.runtime.engine in SCHEDULING
        else [1]
    )
    found = []
    for tp, pp, dp in product(tps, pps, dps):
        if tp * pp * dp * d.split.cp > hardware.count or (tp * pp * dp * d.split.cp > 1 and most == 1):
            continue
        if d.runtime.engine == "trtllm" and tp > 1 and dp > 1:
            continue  # its attention DP takes every rank of a stage
        ranks = tp * dp * d.split.cp
        eps = [d.split.ep or 1] if "ep" in keep else sorted({1, ranks}) if model.is_moe else [1]
        for ep in eps:
            if split_problem(model, d.changed(tp=tp, pp=pp, dp=dp, ep=ep)) is None:
                found.append((tp, pp, dp, ep))
    return found


def _tensor_degrees(hardware: Hardware, most: int) -> list[int]:
    """Every degree inside a host, powers of two over up to four hosts; the price of the network decides about those."""
    inside = set(range(1, min(most, hardware.devices_per_host) + 1))
    over = {1 << i for i in range(most.bit_length()) if 1 << i <= 4 * hardware.devices_per_host}
    return sorted(inside | over)


def _complain(scenario: Scenario) -> None:
    d, hardware = scenario.deployment, scenario.hardware
    trial = d.changed(tp=d.split.tp or 1)
    check_split(scenario.model, trial)
    if hardware.device.scale_up.topology == "none" and trial.split.devices_per_replica > 1:
        raise InputError(f"{hardware.device.key} devices are not joined by any link; use replicas", "deployment.tp")
    raise InputError(
        f"no split of {scenario.model.name} over {hardware.count} x {hardware.device.key} agrees with the fields that "
        f"are set; "
        f"they ask for {trial.split.devices_per_replica} devices an engine",
        "deployment",
    )


def _replicas(scenario: Scenario, d: Deployment, split: Splits, keep: set[str], *, thin: bool) -> tuple[int, ...]:
    if "replicas" in keep:
        return (
            (d.cluster.replicas or 1,)
            if split[0] * split[1] * split[2] * d.split.cp * (d.cluster.replicas or 1) <= scenario.hardware.count
            else ()
        )
    most = scenario.hardware.count // (split[0] * split[1] * split[2] * d.split.cp)
    if scenario.workload.mode == "max-throughput":
        return tuple(sorted({1, most}))  # replicas of a full engine do not change each other
    if not thin and most <= _ALL_REPLICAS:
        return tuple(range(1, most + 1))
    sizes = (
        {round(2.0 ** (k / 8)) for k in range(8 * most.bit_length() + 1)}
        if not thin
        else {1 << k for k in range(most.bit_length())}
    )
    return tuple(sorted({n for n in sizes if n <= most} | {most}))


def fill_replicas(deployments: Sequence[Deployment], tried: Collection[int]) -> list[Deployment]:
    """The counts of replicas between each deployment's own and the next smaller one that was tried, at most 32 of
    them."""
    out = []
    for d in deployments:
        n = d.cluster.replicas or 1
        below = max((t for t in tried if t < n), default=0)
        step = max((n - below) // 32, 1)
        out += [d.changed(replicas=k) for k in range(below + step, n, step)]
    return out


def fill_sequences(deployments: Sequence[Deployment]) -> list[Deployment]:
    """Sixteen limits on the sequences between half and twice each deployment's own."""
    out = []
    for d in deployments:
        n = d.limits.max_num_seqs
        sizes = {round(n * 2.0 ** (k / 8)) for k in range(-8, 9)} - {n, 0}
        out += [d.changed(max_num_seqs=size) for size in sorted(sizes)]
    return out


def _weights(
    scenario: Scenario, d: Deployment, *, quantise: bool, formats: Sequence[str] | None
) -> tuple[str | None, ...]:
    model, device = scenario.model, scenario.hardware.device
    if formats is not None:
        return tuple(None if dtype(f, "formats").name == model.dtype else dtype(f, "formats").name for f in formats)
    stored = min(dtype(model.dtype).bits, dtype(model.expert_dtype).bits if model.expert_dtype else 99)
    out: list[str | None] = [None]
    if d.runtime.engine == "llamacpp":
        return tuple(out + [f for f in ("q8_0", "q4_k_m") if DTYPES[f].bits < stored and (quantise or f == "q8_0")])
    if model.kind != "decoder" or d.runtime.engine not in SCHEDULING:
        return tuple(out)
    if stored >= 16 and _holds_fp8(scenario.hardware):
        out.append("fp8")
    if quantise and stored > 5:
        out.append("int4")
        if device.peak_flops.get("fp4"):
            out.append("nvfp4" if device.vendor.lower() == "nvidia" else "mxfp4")
    return tuple(out)


def _holds_fp8(hardware: Hardware) -> bool:
    """Whether fp8 weights are of use: units for it, or kernels that widen them on the way in (Ampere)."""
    return bool(hardware.device.peak_flops.get("fp8")) or hardware.device.family == "ampere"


def _caches(scenario: Scenario, d: Deployment) -> tuple[str | None, ...]:
    own = formats_of(scenario.model, scenario.hardware.device, d).kv
    able = (
        d.runtime.engine in SCHEDULING
        and scenario.hardware.device.peak_flops.get("fp8")
        and scenario.model.kind == "decoder"
    )
    return (None, "fp8") if able and own.bits >= 16 and scenario.model.kv_elements_per_token else (None,)


def _limits(scenario: Scenario, d: Deployment, keep: set[str], level: int) -> tuple[Batching, ...]:
    """Sequences x tokens a step x chunked, coarser with each level; the tokens of whole prompts hold the longest
    one."""
    w = scenario.workload
    searched = d.runtime.engine in SCHEDULING and scenario.model.kind == "decoder"
    longest = max(w.mean_prompt_tokens, w.isl.high if w.isl.high < float("inf") else 0.0)
    whole = 1 << max(14, int(longest - 1).bit_length())
    own = with_engine_limits(d.changed(max_num_seqs=0, max_num_batched_tokens=0), scenario.hardware.device, 0)
    default_tokens, default_seqs = own.limits.max_num_batched_tokens, own.limits.max_num_seqs
    tokens = (
        [d.limits.max_num_batched_tokens]
        if "max_num_batched_tokens" in keep or not searched
        else list(_TOKENS[::2] if level else _TOKENS)
    )
    if level and default_tokens not in tokens and len(tokens) > 1:
        tokens.append(default_tokens)
    if level == 3 and len(tokens) > 1:
        tokens = [default_tokens]
    pairs = [(t, True) for t in tokens]
    if "chunked_prefill" in keep:
        pairs = [(t, d.limits.chunked_prefill) for t in tokens]
    elif searched and level < 3:
        pairs.append((tokens[0] if len(tokens) == 1 and "max_num_batched_tokens" in keep else whole, False))
    if "max_num_seqs" in keep:
        seqs: list[int] = [d.limits.max_num_seqs]
    elif w.mode == "static":
        seqs = [max(default_seqs, w.batch or 1) if searched else w.batch or 1]
    elif w.mode == "max-throughput":
        seqs = [*_FINE[:: (1, 1, 2, 4)[level]], 1024]
    else:
        grid = _SEQUENCES if searched else (1, 2, 4, 8, *_SEQUENCES)
        most = w.concurrency or grid[-1]
        seqs = [*[n for n in grid if n < 2 * most or n == default_seqs][:: (1, 2, 2, 2)[level]], default_seqs]
        if level == 3:
            seqs = [default_seqs]
    return tuple((n, t, c) for n in sorted(set(seqs)) for t, c in pairs)


def quality(scenario: Scenario, d: Deployment) -> str:
    """What a deployment does to the model's answers: "as the checkpoint", or what changed at an unknown cost."""
    device = scenario.hardware.device
    own, used = (formats_of(scenario.model, device, x) for x in (d.changed(weights=None, experts=None, kv=None), d))
    changed = []
    if used.weights.bits < own.weights.bits or used.experts.bits < own.experts.bits:
        changed.append(f"{min(used.weights, used.experts, key=lambda f: f.bits).name} weights")
    if used.kv.bits < own.kv.bits:
        changed.append(f"{used.kv.name} KV cache")
    return f"unknown: {', '.join(changed)}" if changed else "as the checkpoint"

"""Prefill and decode in separate pools, in closed form.

Decode engines never see a prompt: N sequences in them finish X(N) = N / (O·TPOT(N)) requests a second.  Prefill engines
are p servers that take b prompts a step (as many as the token budget holds) in T(b), or one in S = T(1); how prompts
wait for them, see `prompt_queue`.  The cache travels layer by layer behind the prefill, so that a last layer's share of
it is seen, or all of it after the prompt:

    TTFT = frontend + handoff + wait + S + tail,     tail = bytes(I)/link · (1/layers or 1)

An open loop of rate λ finds N with X(N) = λ, a closed loop of C users the N with C = N + X(N)·TTFT (Little's law), up
to what either pool can do.  Users whom a full prefill pool cannot take wait for their first token, those of a full
decode pool behind it.  A share 1/n of a closed loop's requests (n rounds, all start at once) comes in one wave. Users
share the frontends of the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.bill import upkeep
from rooflab.deploy.engine import Engine, engines_of
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.engines import evaluate_engine
from rooflab.estimator.serving.lengths import WEIGHTS, shape
from rooflab.estimator.serving.metrics import within_levels
from rooflab.estimator.serving.pool_pace import Loop, Prompts, Settled, at_rate, of_backlog, of_users
from rooflab.estimator.serving.prompt_queue import Servers
from rooflab.metrics.derived import per_token
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Lengths, Workload

__all__ = ["decode_pool", "estimate_pools"]

_POINTS = 16
"""Numbers of sequences at which the decode pool is priced, and lengths of prompts; between them times are nearly
lines."""
_LENGTHS = 200
"""Prompts of equal likelihood that stand for a distribution of lengths."""
Array = npt.NDArray[np.float64]


def estimate_pools(scenario: Scenario) -> Estimate:
    """Closed-form metrics of a scenario whose deployment has prefill and decode pools; mixed engines count as decode
    engines here.

    Raises Infeasible when a pool does not fit, InputError for a static batch, which has no use for pools.
    """
    engines, prompts, decode = _pools(scenario)
    probe = _one(decode, _decoding(scenario, 1.0))
    settled = _settle(scenario, prompts, decode, probe.metrics["max_running"], sum(e.replicas for e in engines))
    pool = _one(decode, _decoding(scenario, max(settled.running, 1.0)))
    return _assemble(scenario, engines, prompts, pool, settled)


def decode_pool(scenario: Scenario) -> Scenario:
    """The decode pool of `scenario` by itself, under the sequences that it holds; raises what `estimate_pools` does."""
    running = estimate_pools(scenario).metrics["running"]
    decode = _pools(scenario)[2]
    return Scenario(
        model=scenario.model,
        hardware=decode.hardware,
        workload=_decoding(scenario, running),
        deployment=decode.deployment,
        rewrites=scenario.rewrites,
    )


def _pools(scenario: Scenario) -> tuple[tuple[Engine, ...], Prompts, Engine]:
    """All kinds of engines, the prefill pool, and the engine of the decode pool (whose prompts come with their cache,
    so that they join a step of the others)."""
    w = scenario.workload
    if w.mode == "static":
        raise InputError("a static batch has no use for prefill and decode pools", "deployment.pools")
    if w.mode == "burst":
        raise InputError("a burst before pools has no closed form (simulate answers for it)", "workload.burst")
    engines = engines_of(scenario)
    prefill = tuple(e for e in engines if e.pool is not None and e.pool.role == "prefill")
    decode = [e for e in engines if e not in prefill]
    if not prefill:
        raise InputError("only mixed pools: leave pools out and set replicas", "deployment.pools")
    return engines, _prompts(scenario, prefill), decode[0].serving(prefix_caching=True, scheduler="vllm")


def _prompts(scenario: Scenario, kinds: tuple[Engine, ...]) -> Prompts:
    """The prefill pool as servers; batches and handoff are those of its first kind."""
    w, first = scenario.workload, kinds[0]
    isl = w.mean_prompt_tokens
    alone = [_one(e.serving(replicas=1), _prefilling(isl)) for e in kinds]
    service_s = float(np.mean([e.metrics["ttft_s_mean"] for e in alone]))
    spread_s = _spread(first, isl, w.spread("isl"))
    together, step_s = _batch(first, isl, service_s)
    overhead = engine_overhead(first.deployment.runtime, moe=first.model.is_moe, family=first.hardware.device.family)
    arrivals_cv = w.arrivals_cv if w.arrivals == "gamma" else {"uniform": 0.0}.get(w.arrivals, 1.0)
    return Prompts(
        kinds=kinds,
        servers=Servers(
            count=float(sum(e.replicas for e in kinds)),
            together=together,
            step_s=step_s,
            variation=(arrivals_cv**2 + float(spread_s.var())) / 2,
        ),
        service_s=service_s * spread_s,
        seen_s=overhead.frontend_s + overhead.handoff_s + _tail_s(scenario, first, isl),
        user_s=overhead.frontend_user_s,
        power_w=tuple(e.metrics["power_w"] for e in alone),
    )


def _spread(engine: Engine, isl: float, cv: float) -> Array:
    """What equally likely prompts take alone, over their mean; lengths are lognormal with coefficient of variation
    `cv`."""
    if cv == 0:
        return np.ones(1)
    sigma = np.sqrt(np.log1p(cv**2))
    depth = (np.arange(_LENGTHS) + 0.5) / _LENGTHS
    z = np.array([NormalDist().inv_cdf(p) for p in depth])
    lengths = np.maximum(isl * np.exp(sigma * z - sigma**2 / 2), 1.0)
    points = np.geomspace(lengths[0], lengths[-1], _POINTS)
    found = evaluate_engine(engine.serving(replicas=1), [_prefilling(n) for n in points])
    curve = [e.metrics["ttft_s_mean"] for e in found if isinstance(e, Estimate)]
    taken: Array = np.interp(lengths, points[: len(curve)], curve)
    return taken / float(taken.mean())


def _prefilling(isl: float, batch: float = 1) -> Workload:
    return Workload(isl=_lengths(isl), osl=_lengths(1.0), batch=int(batch))


def _batch(engine: Engine, isl: float, service_s: float) -> tuple[float, float]:
    """Prompts that a prefill engine takes in one step, and the step's seconds; one alone where batching does not
    pay."""
    limits, dp = engine.deployment.limits, engine.deployment.split.dp
    together = max(min(limits.max_num_batched_tokens * dp // max(isl, 1.0), limits.max_num_seqs * dp), 1)
    (found,) = evaluate_engine(engine.serving(replicas=1), [_prefilling(isl, together)])
    if not isinstance(found, Estimate) or found.metrics["ttft_s_mean"] / together >= service_s:
        return 1.0, service_s
    return float(together), found.metrics["ttft_s_mean"]


def _settle(scenario: Scenario, prompts: Prompts, decode: Engine, capacity: float, engines: int) -> Settled:
    """The pace at which both pools keep up with each other; `capacity` sequences fit the decode pool."""
    w = scenario.workload
    if w.mode in ("open", "trace"):
        return at_rate(prompts, _pace(scenario, decode, capacity), capacity, w.rate or 0.0)
    if not w.concurrency:
        return of_backlog(prompts, _pace(scenario, decode, capacity), capacity)
    first = 1.0 / w.each_user if w.start != "staggered" and w.mode == "closed" else 0.0
    loop = Loop(users=float(w.concurrency), engines=engines, first=first)
    return of_users(prompts, _pace(scenario, decode, min(capacity, loop.users)), capacity, loop)


def _pace(scenario: Scenario, decode: Engine, most: float) -> Callable[[float], float]:
    """Requests a second that the decode pool finishes by the sequences that it holds, up to `most`."""
    osl = scenario.workload.mean_output_tokens
    points = np.unique(np.round(np.geomspace(1.0, max(most, 1.0), _POINTS)))
    found = evaluate_engine(decode, [_decoding(scenario, n) for n in points])
    curve = [e.metrics["tpot_s_mean"] for e in found if isinstance(e, Estimate)]

    def pace(running: float) -> float:
        return running / max(osl * float(np.interp(running, points[: len(curve)], curve)), 1e-12)

    return pace


def _lengths(tokens: float) -> Lengths:
    return Lengths("fixed", tokens, 0.0, tokens, tokens)


def _decoding(scenario: Scenario, running: float) -> Workload:
    """`running` sequences in the decode pool; their prompts come with their cache."""
    isl, osl = scenario.workload.mean_prompt_tokens, scenario.workload.mean_output_tokens
    return Workload(
        isl=_lengths(isl), osl=_lengths(osl), concurrency=max(round(running), 1), shared_prefix=max(int(isl) - 1, 0),
        start="lockstep",
    )  # fmt: skip


def _one(engine: Engine, workload: Workload) -> Estimate:
    (result,) = evaluate_engine(engine, [workload])
    if isinstance(result, RooflabError):
        raise result
    return result


def _tail_s(scenario: Scenario, engine: Engine, isl: float) -> float:
    """Seconds of the cache transfer that the prompt's own computation does not hide."""
    transfer, network = scenario.deployment.cluster.transfer, engine.hardware.network
    rate = transfer.bytes_per_s or network.bytes_per_s or 1.0
    latency = network.latency_s if transfer.latency_s is None else transfer.latency_s
    return latency + engine.sequence_bytes(isl) / rate / (scenario.model.layers if transfer.layerwise else 1)


def _assemble(
    scenario: Scenario, engines: Sequence[Engine], prompts: Prompts, pool: Estimate, settled: Settled
) -> Estimate:
    """The decode pool's metrics with rates, first tokens, power and money of both pools."""
    w = scenario.workload
    isl, osl, requests = w.mean_prompt_tokens, w.mean_output_tokens, settled.requests_per_s
    devices = float(sum(e.deployment.devices for e in engines))
    m = dict(pool.metrics)
    generated = requests * osl
    # a wait before the second token weighs more on a short answer
    held_s = settled.held_s * float((WEIGHTS / np.maximum(osl * shape(w, "osl") - 1, 1.0)).sum())
    for stat, first_s in settled.first.statistics().items():
        decode_s = max(osl - 1, 0.0) * m[f"tpot_s_{stat}"] + settled.held_s
        m[f"tpot_s_{stat}"] += held_s if stat == "mean" else settled.held_s / max(osl - 1, 1.0)
        m[f"ttft_s_{stat}"] = float("inf") if settled.saturated else first_s
        m[f"e2e_s_{stat}"] = m[f"ttft_s_{stat}"] + decode_s
    rates = {"output_tokens_per_s": generated, "total_tokens_per_s": requests * (isl + osl), "requests_per_s": requests}
    for name, value in rates.items():
        m[name], m[f"{name}_per_gpu"] = value, value / devices
    m["power_w"] = pool.metrics["power_w"] + prompts.draw_w(settled.load)
    cost = upkeep([(e.bill, float(e.deployment.devices)) for e in engines])
    derived = per_token(
        generated, power_w=m["power_w"], usd_per_hour=cost.usd_per_hour, host_w=cost.host_w, pue=cost.pue,
        gco2e_per_kwh=cost.gco2e_per_kwh,
    )  # fmt: skip
    m |= {name: float(value) for name, value in derived.items()}
    columns = {name: np.array([value]) for name, value in m.items()}
    m["goodput_requests_per_s"] = requests * float(within_levels(scenario.slo, columns, np.zeros(1, dtype=np.intp))[0])
    m["running"], m["devices"], m["utilisation"] = settled.running, devices, settled.load
    first = engines[0].deployment
    chosen = scenario.deployment.changed(engine=first.runtime.engine, tp=first.split.tp)
    return Estimate(replace(scenario, deployment=chosen), m, settled.saturated)

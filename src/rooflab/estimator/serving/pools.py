"""Prefill and decode in separate pools, in closed form.

Decode engines never see a prompt: N of them hold X·O·TPOT(N) sequences by Little's law.  Prefill engines are p servers
that take b prompts a step (as many as the token budget holds) in T(b), or one in S = T(1); prompts wait as in M/M/c
with regular service (Sakasegawa, half the wait of exponential service).  The cache travels layer by layer behind the
prefill, so that a last layer's share of it is seen, or all of it after the prompt:

    TTFT = frontend + handoff + wait + S + tail,     tail = bytes(I)/link · (1/layers or 1)

A closed loop of C users finds X with C = X·(TTFT + O·TPOT), X at most p·b/T(b): a pool of prompts that is too slow
makes users wait C/X − O·TPOT.  A share 1/n of its requests (n rounds, all start at once) waits for the prompts of the
others before it. Users share the frontends of the engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.bill import upkeep
from rooflab.deploy.engine import Engine, engines_of
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.engines import evaluate_engine
from rooflab.metrics.derived import per_token
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Lengths, Workload

__all__ = ["decode_pool", "estimate_pools"]

_ROUNDS = 30
_POINTS = 16
"""Numbers of sequences at which the decode pool is priced; between them its time per token is nearly a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompts:
    """The prefill pool: `servers` engines, one prompt in `service_s` or `together` of them in `batch_s`; `power_w` of
    each kind while it works.

    `alone_s` is a first token without a wait: frontend, handoff, prompt, and the tail of the cache's way.
    """

    kinds: tuple[Engine, ...]
    servers: float
    service_s: float
    together: float
    batch_s: float
    alone_s: float
    user_s: float
    power_w: tuple[float, ...]

    @property
    def most(self) -> float:
        """Prompts a second when the pool never rests."""
        return self.servers * self.together / self.batch_s

    def wait_s(self, load: float) -> float:
        """Mean wait of a prompt at a load."""
        servers = self.servers
        queued = load ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load))
        return float(queued * self.batch_s / self.together / 2)

    def draw_w(self, load: float) -> float:
        """Power of the pool at a load."""
        return sum(
            e.replicas
            * (e.deployment.split.devices_per_replica * e.hardware.device.idle_w * (1 - load) + load * busy_w)
            for e, busy_w in zip(self.kinds, self.power_w, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """Where prompts and answers keep pace: requests/s, load of the prefill pool, sequences that decode, first token."""

    requests_per_s: float
    load: float
    running: float
    ttft_s: float
    saturated: bool


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


def _pools(scenario: Scenario) -> tuple[tuple[Engine, ...], _Prompts, Engine]:
    """All kinds of engines, the prefill pool, and the engine of the decode pool (whose prompts come with their
    cache)."""
    w = scenario.workload
    if w.mode == "static":
        raise InputError("a static batch has no use for prefill and decode pools", "deployment.pools")
    engines = engines_of(scenario)
    prefill = tuple(e for e in engines if e.pool is not None and e.pool.role == "prefill")
    decode = [e for e in engines if e not in prefill]
    if not prefill:
        raise InputError("only mixed pools: leave pools out and set replicas", "deployment.pools")
    return engines, _prompts(scenario, prefill), decode[0].serving(prefix_caching=True)


def _prompts(scenario: Scenario, kinds: tuple[Engine, ...]) -> _Prompts:
    """The prefill pool as servers; batches and handoff are those of its first kind."""
    isl, first = scenario.workload.mean_prompt_tokens, kinds[0]
    alone = [_one(e.serving(replicas=1), Workload(isl=_lengths(isl), osl=_lengths(1.0), batch=1)) for e in kinds]
    service_s = float(np.mean([e.metrics["ttft_s_mean"] for e in alone]))
    overhead = engine_overhead(first.deployment.runtime, moe=first.model.is_moe, family=first.hardware.device.family)
    together, batch_s = _batch(first, isl, service_s)
    return _Prompts(
        kinds=kinds,
        servers=float(sum(e.replicas for e in kinds)),
        service_s=service_s,
        together=together,
        batch_s=batch_s,
        alone_s=overhead.frontend_s + overhead.handoff_s + service_s + _tail_s(scenario, first, isl),
        user_s=overhead.frontend_user_s,
        power_w=tuple(e.metrics["power_w"] for e in alone),
    )


def _batch(engine: Engine, isl: float, service_s: float) -> tuple[float, float]:
    """Prompts that a prefill engine takes in one step, and the step's seconds; one alone where batching does not
    pay."""
    d = engine.deployment
    together = max(int(d.limits.max_num_batched_tokens * d.split.dp // max(isl, 1.0)), 1)
    (found,) = evaluate_engine(
        engine.serving(replicas=1), [Workload(isl=_lengths(isl), osl=_lengths(1.0), batch=together)]
    )
    if not isinstance(found, Estimate) or found.metrics["ttft_s_mean"] / together >= service_s:
        return 1.0, service_s
    return float(together), found.metrics["ttft_s_mean"]


def _settle(scenario: Scenario, prompts: _Prompts, decode: Engine, capacity: float, engines: int) -> _Settled:
    """The pace at which both pools keep up with each other; `capacity` sequences fit the decode pool."""
    w = scenario.workload
    osl, rate = w.mean_output_tokens, w.rate or 0.0
    users = float(w.concurrency) if w.concurrency else float("inf")
    first_share = 1.0 / w.rounds if w.start == "burst" and w.mode == "closed" else 0.0
    pace_of = _pace(scenario, decode, min(capacity, users))
    running, ttft_s, saturated = min(capacity, users, 64.0), prompts.service_s, False
    for _ in range(_ROUNDS):
        tpot_s = pace_of(running)
        most_answers = capacity / max(osl * tpot_s, 1e-12)
        if w.mode in ("open", "trace"):
            saturated = rate >= min(prompts.most, most_answers)
            pace = min(rate, 0.999 * prompts.most)
            wanted = min(rate * osl * tpot_s, capacity)
        else:
            pace = min(users / (ttft_s + osl * tpot_s), prompts.most, most_answers)
            wanted = min(pace * osl * tpot_s, capacity, users)
        load = min(pace / prompts.most, 0.98)
        ttft_s = prompts.alone_s + prompts.wait_s(load) * (1 - first_share)
        if users < float("inf"):
            # the opening comes in waves of `together` prompts at each prefill engine
            waves = float(np.ceil(users / prompts.servers / prompts.together))
            ttft_s += first_share * (waves - 1) / 2 * prompts.batch_s + prompts.user_s * users / engines
            ttft_s = max(ttft_s, users / prompts.most - osl * tpot_s)
        if abs(wanted - running) < 0.5 + 0.01 * running:
            running = wanted
            break
        running = (running + wanted) / 2
    requests = pace if not saturated else min(prompts.most, most_answers)
    return _Settled(requests_per_s=requests, load=load, running=running, ttft_s=ttft_s, saturated=saturated)


def _pace(scenario: Scenario, decode: Engine, most: float) -> Callable[[float], float]:
    """Seconds a token of the decode pool by the sequences that it holds, up to `most`."""
    points = np.unique(np.round(np.geomspace(1.0, max(most, 1.0), _POINTS)))
    found = evaluate_engine(decode, [_decoding(scenario, n) for n in points])
    curve = [e.metrics["tpot_s_mean"] for e in found if isinstance(e, Estimate)]
    return lambda running: float(np.interp(running, points[: len(curve)], curve))


def _lengths(tokens: float) -> Lengths:
    return Lengths("fixed", tokens, 0.0, tokens, tokens)


def _decoding(scenario: Scenario, running: float) -> Workload:
    """`running` sequences in the decode pool; their prompts come with their cache."""
    isl, osl = scenario.workload.mean_prompt_tokens, scenario.workload.mean_output_tokens
    return Workload(
        isl=_lengths(isl), osl=_lengths(osl), concurrency=max(round(running), 1), shared_prefix=max(int(isl) - 1, 0)
    )


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
    scenario: Scenario, engines: Sequence[Engine], prompts: _Prompts, pool: Estimate, settled: _Settled
) -> Estimate:
    """The decode pool's metrics with rates, first tokens, power and money of both pools."""
    w = scenario.workload
    isl, osl, requests = w.mean_prompt_tokens, w.mean_output_tokens, settled.requests_per_s
    devices = float(sum(e.deployment.devices for e in engines))
    m = dict(pool.metrics)
    generated = requests * osl
    spread = {"mean": 1.0, "p50": 0.9, "p90": 1.0 + settled.load, "p99": 1.0 + 2.0 * settled.load}
    for stat, factor in spread.items():
        m[f"ttft_s_{stat}"] = float("inf") if settled.saturated else settled.ttft_s * factor
        m[f"e2e_s_{stat}"] = m[f"ttft_s_{stat}"] + max(osl - 1, 0.0) * m[f"tpot_s_{stat}"]
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
    m["goodput_requests_per_s"] = 0.0 if settled.saturated and scenario.slo else requests
    m["running"], m["devices"], m["utilisation"] = settled.running, devices, settled.load
    first = engines[0].deployment
    chosen = scenario.deployment.changed(engine=first.runtime.engine, tp=first.split.tp)
    return Estimate(replace(scenario, deployment=chosen), m, settled.saturated)

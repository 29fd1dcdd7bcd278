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

from dataclasses import replace

import numpy as np

from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.bill import bill
from rooflab.deploy.pools import pool_parts
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.engines import estimate_engines
from rooflab.memory.account import account
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Lengths, Workload

__all__ = ["decode_pool", "estimate_pools"]

_ROUNDS = 30
_POINTS = (
    16  # numbers of sequences at which the decode pool is priced; between them its time per token is nearly a line
)


def _lengths(tokens: float) -> Lengths:
    return Lengths("fixed", tokens, 0.0, tokens, tokens)


def estimate_pools(scenario: Scenario) -> Estimate:
    """Closed-form metrics of a scenario whose deployment has prefill and decode pools; mixed engines count as decode
    engines here.

    Raises Infeasible when a pool does not fit, InputError for a static batch, which has no use for pools.
    """
    w = scenario.workload
    if w.mode == "static":
        raise InputError("a static batch has no use for prefill and decode pools", "deployment.pools")
    parts = pool_parts(scenario)
    prefill = [p for p in parts if p[0].role == "prefill"]
    decode = [p for p in parts if p[0].role != "prefill"]
    if not prefill:
        raise InputError("only mixed pools: leave pools out and set replicas", "deployment.pools")
    isl, osl = w.mean_prompt_tokens, w.mean_output_tokens
    servers, engines = (float(sum(d.cluster.replicas or 1 for _, _, d in some)) for some in (prefill, parts))
    alone = [
        _estimate(
            Scenario(
                model=scenario.model,
                hardware=h,
                workload=Workload(isl=_lengths(isl), osl=_lengths(1.0), batch=1),
                deployment=d.changed(replicas=1),
            )
        )
        for _, h, d in prefill
    ]
    service_s = float(np.mean([e.metrics["ttft_s_mean"] for e in alone]))
    together, batch_s = _batch(scenario, prefill, isl, service_s)
    _, first_hardware, first = prefill[0]
    overhead = engine_overhead(first.runtime, moe=scenario.model.is_moe, family=first_hardware.device.family)
    tail_s = _tail_s(scenario, first_hardware, first, isl)

    def loaded(running: float) -> Scenario:
        return _decode_alone(scenario, decode[0][1], decode[0][2], running)

    probe = _estimate(loaded(1.0))
    capacity = probe.metrics["max_running"]
    users = float(w.concurrency) if w.concurrency else float("inf")
    first_share = 1.0 / w.rounds if w.start == "burst" and w.mode == "closed" else 0.0
    rate, most_prompts = w.rate or 0.0, servers * together / batch_s
    running, ttft_s, saturated = min(capacity, users, 64.0), service_s, False
    points = np.unique(np.round(np.geomspace(1.0, max(min(capacity, users), 1.0), _POINTS)))
    curve = [e.metrics["tpot_s_mean"] for e in estimate_engines([loaded(n) for n in points]) if isinstance(e, Estimate)]
    for _ in range(_ROUNDS):
        tpot_s = float(np.interp(running, points[: len(curve)], curve))
        if w.mode in ("open", "trace"):
            saturated = rate >= min(most_prompts, capacity / max(osl * tpot_s, 1e-12))
            pace = min(rate, 0.999 * most_prompts)
            wanted = min(rate * osl * tpot_s, capacity)
        else:
            pace = min(users / (ttft_s + osl * tpot_s), most_prompts, capacity / max(osl * tpot_s, 1e-12))
            wanted = min(pace * osl * tpot_s, capacity, users)
        load = min(pace / most_prompts, 0.98)
        wait_s = load ** (np.sqrt(2 * (servers + 1)) - 1) / (servers * (1 - load)) * batch_s / together / 2
        ttft_s = overhead.frontend_s + overhead.handoff_s + service_s + tail_s + float(wait_s) * (1 - first_share)
        if users < float("inf"):
            # the opening comes in waves of `together` prompts at each prefill engine
            ttft_s += (
                first_share * float(np.ceil(users / servers / together) - 1) / 2 * batch_s
                + overhead.frontend_user_s * users / engines
            )
            ttft_s = max(ttft_s, users / most_prompts - osl * tpot_s)
        if abs(wanted - running) < 0.5 + 0.01 * running:
            running = wanted
            break
        running = (running + wanted) / 2
    pool = _estimate(loaded(max(running, 1.0)))
    requests = pace if not saturated else min(most_prompts, capacity / max(osl * tpot_s, 1e-12))
    return _assemble(scenario, parts, pool, alone, requests, ttft_s, running, saturated, load)


def _estimate(scenario: Scenario) -> Estimate:
    (result,) = estimate_engines([scenario])
    if isinstance(result, RooflabError):
        raise result
    return result


def decode_pool(scenario: Scenario) -> Scenario:
    """The decode pool of `scenario` by itself, under the sequences that it holds; raises what `estimate_pools` does."""
    running = estimate_pools(scenario).metrics["running"]
    hardware, deployment = next((h, d) for pool, h, d in pool_parts(scenario) if pool.role != "prefill")
    return _decode_alone(scenario, hardware, deployment, running)


def _decode_alone(scenario: Scenario, hardware: Hardware, deployment: Deployment, running: float) -> Scenario:
    """A decode pool with `running` sequences in all; their prompts come with their cache."""
    isl, osl = scenario.workload.mean_prompt_tokens, scenario.workload.mean_output_tokens
    load = Workload(
        isl=_lengths(isl), osl=_lengths(osl), concurrency=max(round(running), 1), shared_prefix=max(int(isl) - 1, 0)
    )
    return Scenario(
        model=scenario.model, hardware=hardware, workload=load, deployment=deployment.changed(prefix_caching=True)
    )


def _batch(
    scenario: Scenario, prefill: list[tuple[Pool, Hardware, Deployment]], isl: float, service_s: float
) -> tuple[float, float]:
    """Prompts that a prefill engine takes in one step, and the step's seconds; one alone where batching does not
    pay."""
    _, hardware, d = prefill[0]
    together = max(int(d.limits.max_num_batched_tokens * d.split.dp // max(isl, 1.0)), 1)
    load = Workload(isl=_lengths(isl), osl=_lengths(1.0), batch=together)
    found = estimate_engines(
        [
            Scenario(
                model=scenario.model,
                hardware=hardware,
                workload=load,
                deployment=d.changed(replicas=1, max_num_seqs=max(d.limits.max_num_seqs, together)),
            )
        ]
    )[0]
    if not isinstance(found, Estimate) or found.metrics["ttft_s_mean"] / together >= service_s:
        return 1.0, service_s
    return float(together), found.metrics["ttft_s_mean"]


def _tail_s(scenario: Scenario, hardware: Hardware, d: Deployment, isl: float) -> float:
    """Seconds of the cache transfer that the prompt's own computation does not hide."""
    transfer = scenario.deployment.cluster.transfer
    sent = float(account(scenario.model, hardware, [d]).sequence_bytes(np.array([isl]))[0])
    rate = transfer.bytes_per_s or hardware.network.bytes_per_s or 1.0
    latency = hardware.network.latency_s if transfer.latency_s is None else transfer.latency_s
    return latency + sent / rate / (scenario.model.layers if transfer.layerwise else 1)


def _assemble(
    scenario: Scenario,
    parts: list[tuple[Pool, Hardware, Deployment]],
    pool: Estimate,
    alone: list[Estimate],
    requests: float,
    ttft_s: float,
    running: float,
    saturated: bool,
    prompt_load: float,
) -> Estimate:
    """The decode pool's metrics with rates, first tokens, power and money of both pools."""
    w = scenario.workload
    isl, osl = w.mean_prompt_tokens, w.mean_output_tokens
    devices = float(sum(d.devices for _, _, d in parts))
    m = dict(pool.metrics)
    generated = requests * osl
    spread = {"mean": 1.0, "p50": 0.9, "p90": 1.0 + prompt_load, "p99": 1.0 + 2.0 * prompt_load}
    for stat, factor in spread.items():
        m[f"ttft_s_{stat}"] = float("inf") if saturated else ttft_s * factor
        m[f"e2e_s_{stat}"] = m[f"ttft_s_{stat}"] + max(osl - 1, 0.0) * m[f"tpot_s_{stat}"]
    rates = {"output_tokens_per_s": generated, "total_tokens_per_s": requests * (isl + osl), "requests_per_s": requests}
    for name, value in rates.items():
        m[name], m[f"{name}_per_gpu"] = value, value / devices
    prefill_w = sum(
        (d.cluster.replicas or 1)
        * (d.split.devices_per_replica * h.device.idle_w * (1 - prompt_load) + prompt_load * e.metrics["power_w"])
        for (p, h, d), e in zip([x for x in parts if x[0].role == "prefill"], alone, strict=True)
    )
    m["power_w"] = pool.metrics["power_w"] + prefill_w
    bills = [(bill(h), d.devices) for _, h, d in parts]
    m["usd_per_hour"] = float(sum(b.usd_per_device_hour * n for b, n in bills))
    node_w = sum((b.host_w_per_device * n) * b.pue for b, n in bills) + m["power_w"] * bills[0][0].pue
    unit = max(generated, 1e-12)
    m["j_per_token"] = m["power_w"] / unit
    m["usd_per_mtok"] = m["usd_per_hour"] / 3600 / unit * 1e6
    m["gco2e_per_mtok"] = node_w / unit / 3.6e6 * bills[0][0].gco2e_per_kwh * 1e6
    m["goodput_requests_per_s"] = 0.0 if saturated and scenario.slo else requests
    m["running"], m["devices"], m["utilisation"] = running, devices, prompt_load
    final = replace(
        scenario, deployment=scenario.deployment.changed(engine=parts[0][2].runtime.engine, tp=parts[0][2].split.tp)
    )
    return Estimate(final, m, saturated)

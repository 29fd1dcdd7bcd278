"""Prompts and token generation in pools of their own, and how the cache travels between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from rooflab.catalogue.hardware import hardware
from rooflab.deploy.engine import engines_of
from rooflab.deploy.pools import pool_parts
from rooflab.memory.account import account
from rooflab.papers.parameters import Fraction, PositiveInt
from rooflab.papers.reasons import Reason, change, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.cluster import Pool, Transfer
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario

__all__ = ["Splitwise"]

_UNHIDDEN_S: Final = ((25e9, 0.008), (float("inf"), 0.005))
"""Link rate a device up to which a layer-wise transfer keeps so many seconds that nothing hides (section 6.1,
measured)."""
_PENDING_TOKENS: Final = 8192
"""Tokens waiting on each prompt machine beyond which token machines help (the authors' setting)."""


class Splitwise(Technique):
    """Give prompts `prefill` engines and answers `decode` engines; both kinds may differ in hardware or power (section
    4).

    `decode_hardware` names other devices for the decode pool (empty: the scenario's), `decode_power` caps them at a
    share of their TDP, `layerwise` sends the cache behind each layer where that pays (short caches go at once, as in
    section 4.3), `lend` lets engines of the decode pool take prompts under load.
    """

    engine = "simulate"
    saves = "tpot_s_p99"
    prefill: PositiveInt = 1
    decode: PositiveInt = 1
    decode_hardware: str = ""
    decode_power: Fraction = 1.0
    layerwise: bool = True
    lend: bool = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models without a cache, static batches, pools on pools, and hardware without engines or links for
        both pools."""
        d, have = scenario.deployment, scenario.hardware
        require(
            scenario.model.kind == "decoder",
            f"{scenario.model.name} generates no tokens after its prompt: there is one phase",
        )
        require(not d.cluster.pools, "the deployment has pools already")
        require(
            scenario.workload.mode != "static",
            "a static batch has one prompt phase and then only decodes: nothing interferes",
        )
        require(d.cluster.autoscale is None, "pools have fixed sizes; take out autoscale")
        require(self.decode_power > 0, "a decode pool without power does nothing")
        own = self.prefill if self.decode_hardware else self.prefill + self.decode
        each = _devices_each(scenario, own)
        short = f"{own} engines of {each} {have.device.name} need {each * own}; there are {have.count}"
        require(each * own <= have.count, short + " (a smaller tp, or decode_hardware, makes room)")
        d = d.changed(tp=d.split.tp or each // (d.split.pp * d.split.dp * d.split.cp), replicas=None)
        pools = (Pool(role="prefill", replicas=self.prefill), self._decode_pool(have, each))
        other = pools[1].hardware or have
        rate = _link(have, other, each * own)
        require(rate > 0, f"{have.device.name} has no link over which a cache could reach another engine")
        lent = _PENDING_TOKENS if self.lend else None
        whole = d.changed(pools=pools, transfer=Transfer(rate, None, False), router="least-loaded", spill_tokens=lent)
        changed = replace(scenario, deployment=whole)
        unhidden_s = next(s for limit, s in _UNHIDDEN_S if rate <= limit)
        if not self.layerwise or _transfer_s(changed) <= unhidden_s:
            return changed
        return changed.with_deployment(transfer=Transfer(rate, unhidden_s, True))

    def _decode_pool(self, have: Hardware, each: int) -> Pool:
        if not self.decode_hardware and self.decode_power == 1:
            return Pool(role="decode", replicas=self.decode)
        count = each * self.decode
        its = (
            hardware(f"{count} x {self.decode_hardware}", "splitwise.decode_hardware") if self.decode_hardware else have
        )
        cap = self.decode_power * its.device.tdp_w if self.decode_power < 1 else None
        return Pool(role="decode", replicas=self.decode, hardware=replace(its, count=count, power_limit_w=cap))

    def __str__(self) -> str:
        plain = type(self)(self.prefill, self.decode).parameters()
        other = [f", {k}={v}" for k, v in self.parameters().items() if v != plain[k]]
        return f"{self.key}(prefill={self.prefill}, decode={self.decode}{''.join(other)})"

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Every split of the engines that there are, five of them where there are more; both pools on the scenario's
        hardware."""
        d = scenario.deployment
        engines = [scenario.hardware.count // _devices_each(scenario, 1)] if d.split.tp else [2, 4]
        tried = [(p, n - p) for n in engines for p in range(1, n)] or [(1, 1)]
        kept = [tried[i] for i in sorted({round(k * (len(tried) - 1) / 4) for k in range(5)})]
        return [cls(prefill=p, decode=q) for p, q in kept]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """Gaps between tokens and waits of prompts with and without pools, and what the cache's journey is."""
        now = after.load
        short = [fact("the pools, split like this, are too small for the load")] if now["pending"] else []
        had = float(engines_of(before.scenario)[0].replicas) if before is not None else math.nan
        return (
            *moved(
                "itl_s_p99", before, after, better="answers wait less between tokens",
                worse="answers wait longer between tokens",
            ),
            *moved(
                "ttft_s_p99", before, after, better="prompts wait less for their first token",
                worse="prompts wait longer for their first token",
            ),
            *short,
            *change("engines that read prompts", had, self.prefill, ""),
            *change("engines that generate", had, self.decode, ""),
            fact("", "tokens of cache that travel a request", now["transferred_tokens"] / max(now["finished"], 1.0)),
        )  # fmt: skip


def _devices_each(scenario: Scenario, engines: int) -> int:
    """Devices of one engine: as deployed, or as large a power of two as `engines` of them leave room for in a host."""
    d = scenario.deployment
    rest = d.split.pp * d.split.dp * d.split.cp
    if d.split.tp:
        return d.split.tp * rest
    room = min(scenario.hardware.count // engines, scenario.hardware.devices_per_host) // rest
    return rest * (1 << max(room.bit_length() - 1, 0))


def _transfer_s(scenario: Scenario) -> float:
    """Seconds in which the cache of a mean prompt travels from pool to pool after the prompt."""
    _, hardware, deployment = pool_parts(scenario)[0]
    memory = account(scenario.model, hardware, [deployment])
    sent = float(memory.sequence_bytes(np.array([scenario.workload.mean_prompt_tokens]))[0])
    return sent / (scenario.deployment.cluster.transfer.bytes_per_s or 1.0)


def _link(a: Hardware, b: Hardware, devices: int) -> float:
    """Bytes/s a device from pool to pool: the scale-up link inside one host of one kind, else the slower network."""
    if a.device.key == b.device.key and devices <= a.devices_per_host:
        inside = a.device.scale_up if a.device.scale_up.topology != "none" else a.device.host_link
        return inside.bytes_per_s
    return min(a.network.bytes_per_s, b.network.bytes_per_s)

"""Pools of a disaggregated deployment, each completed on its own hardware."""

from __future__ import annotations

from dataclasses import replace

from rooflab.deploy.complete import complete_deployment, resident_tokens
from rooflab.deploy.defaults import users_at_once
from rooflab.errors import InputError
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario

__all__ = ["pool_parts"]


def pool_parts(scenario: Scenario) -> list[tuple[Pool, Hardware, Deployment]]:
    """Each pool with its hardware and completed deployment. Raises InputError when the pools want more devices than
    there are."""
    length, cross = resident_tokens(scenario.model, scenario.workload)
    users = users_at_once(scenario.workload)
    out: list[tuple[Pool, Hardware, Deployment]] = []
    left = scenario.hardware.count
    for i, pool in enumerate(scenario.deployment.cluster.pools):
        own = {k: getattr(pool, k) for k in ("tp", "pp", "ep", "dp") if getattr(pool, k) is not None}
        base = scenario.deployment.changed(pools=(), replicas=pool.replicas, **own)
        if pool.hardware is not None:
            hardware = pool.hardware
        else:
            splits = (
                base
                if base.split.tp
                else complete_deployment(
                    scenario.model, scenario.hardware, base.changed(replicas=1), length, cross, users=users
                )
            )
            wanted = splits.split.devices_per_replica * pool.replicas
            if wanted > left:
                what = f"{pool.role} takes {wanted} devices; {left} of the {scenario.hardware.count} are left"
                raise InputError(what, f"deployment.pools[{i}].replicas")
            left -= wanted
            base, hardware = splits, replace(scenario.hardware, count=wanted)
        done = complete_deployment(
            scenario.model, hardware, base.changed(replicas=pool.replicas), length, cross, users=users
        )
        out.append((pool, hardware, done))
    return out

"""Filling in what a scenario leaves open (engine, tensor parallelism, replicas), and saying why it cannot be done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rooflab.deploy.defaults import users_at_once, with_engine_limits
from rooflab.deploy.host_split import chooses_by_itself, with_host_split
from rooflab.errors import Infeasible, InputError, unknown
from rooflab.memory.account import MemoryAccount, account
from rooflab.memory.explain import does_not_fit
from rooflab.operators.split import check_split, split_problem
from rooflab.scenario.attention import Attention
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.dtype import dtype
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = ["complete", "complete_deployment", "completed", "default_engine", "resident_tokens"]


_ROOM = 0.25
"""Share of the usable memory that the split chosen by default leaves to the cache, where one of the splits does."""


_BY_LAYERS = ("llamacpp",)
"""Engines that split by layers unless told otherwise."""


def default_engine(model: Model, hardware: Hardware) -> str:
    """The engine that people use for a kind of model on a kind of device; a file of llama.cpp's or a folder of MLX's
    asks for its own."""
    server = hardware.device.kind in ("gpu", "npu", "tpu")
    if dtype(model.dtype).everywhere:
        return "mlx" if model.dtype.startswith("mlx-") and hardware.device.kind == "apple" else "llamacpp"
    if model.kind != "decoder":
        return "pytorch" if server else "onnxruntime"
    return "vllm" if server else "llamacpp"


def resident_tokens(model: Model, workload: Workload) -> tuple[float, float]:
    """Tokens of a whole sequence in the decoder's cache, and in the encoder's."""
    written = workload.mean_output_tokens * workload.beams
    if model.kind == "encoder-decoder":
        return written, workload.mean_prompt_tokens
    if model.kind in ("encoder", "vision"):
        return 0.0, 0.0
    return workload.mean_prompt_tokens + written, 0.0


def complete(scenario: Scenario) -> Scenario:
    """The scenario with every open field of its deployment chosen.

    Engine: the usual one.  `tp`: the smallest power of two (then any divisor) that leaves a quarter of the memory to
    the cache, or else at which one sequence of the workload fits, going over `pp` when a host is not enough.
    `replicas`: as many as the hardware holds.
    Raises InputError for impossible splits, Infeasible when nothing fits.
    """
    return replace(scenario, deployment=completed(scenario)[0])


def completed(scenario: Scenario) -> tuple[Deployment, MemoryAccount]:
    """The deployment of `complete` with its memory account; raises what `complete` does."""
    model, hardware = scenario.model, scenario.hardware
    length, cross = resident_tokens(model, scenario.workload)
    deployment, memory = _chosen(
        model, hardware, scenario.deployment, length, cross, users=users_at_once(scenario.workload)
    )
    if memory is None:
        memory = account(model, hardware, [deployment])
    if float(memory.sequences(np.array([length]), cross)[0]) < 1.0:
        raise Infeasible(does_not_fit(model, hardware, deployment, length))
    return deployment, memory


def complete_deployment(
    model: Model, hardware: Hardware, deployment: Deployment, length: float, cross: float, *, users: int = 0
) -> Deployment:
    """The deployment with engine, limits, splits and replicas chosen and checked; that it fits is checked only where
    `tp` was open. `users`: sequences that the load asks for at once (`rooflab.deploy.defaults`)."""
    return _chosen(model, hardware, deployment, length, cross, users=users)[0]


def _chosen(
    model: Model, hardware: Hardware, deployment: Deployment, length: float, cross: float, *, users: int
) -> tuple[Deployment, MemoryAccount | None]:
    """As `complete_deployment`, with the account where the choice of `tp` made it."""
    memory: MemoryAccount | None = None
    if not deployment.runtime.engine:
        deployment = deployment.changed(engine=default_engine(model, hardware))
    deployment = with_engine_limits(deployment, hardware.device, users)
    _check_offload(model, hardware, deployment)
    if chooses_by_itself(deployment):
        deployment = with_host_split(model, hardware, deployment, length, cross)
    if deployment.split.tp is None:
        deployment, memory = _with_tp(model, hardware, deployment, length, cross)
    if deployment.split.ep is None:
        deployment = deployment.changed(ep=1)
    check_split(model, deployment)
    _check_devices(hardware, deployment)
    if deployment.cluster.replicas is None:
        deployment = deployment.changed(replicas=max(hardware.count // deployment.split.devices_per_replica, 1))
    return deployment, memory


def _check_offload(model: Model, hardware: Hardware, deployment: Deployment) -> None:
    offload = deployment.runtime.offload
    if offload is None:
        return
    tiers = {t.name: t for t in hardware.tiers}
    for key, tier in (("weights", offload.weights), ("kv", offload.kv)):
        if tier is not None and tier not in tiers:
            raise unknown("memory tier of this hardware", tier, tiers, f"deployment.offload.{key}")
    if offload.computes:
        _check_host(model, hardware, deployment, offload)
    plain = all(isinstance(m, Attention) for run in model.runs for m in run.block.mixers)
    if offload.attention == "cpu" and not (plain and model.kind == "decoder"):
        raise InputError(
            f"attention on the CPU is priced for caches of keys and values; {model.name} has others",
            "deployment.offload",
        )


def _check_host(model: Model, hardware: Hardware, deployment: Deployment, offload: Offload) -> None:
    """Layers and experts on the CPU need an engine that computes there, a host with memory of its own, and layers."""
    if deployment.runtime.engine != "llamacpp":
        what = "gpu_layers" if offload.gpu_layers is not None else "cpu_experts"
        raise InputError(
            f"layers and experts on the CPU are priced for llamacpp, not {deployment.runtime.engine}",
            f"deployment.offload.{what}",
        )
    if not any(t.name == "dram" for t in hardware.tiers) or hardware.device.kind != "gpu":
        raise InputError(f"{hardware.device.key} has no host memory behind it", "deployment.offload")
    if offload.cpu_experts and not model.is_moe:
        raise InputError(f"{model.name} has no routed experts; leave cpu_experts out", "deployment.offload.cpu_experts")


def _check_devices(hardware: Hardware, deployment: Deployment) -> None:
    split, replicas = deployment.split, deployment.cluster.replicas or 1
    per = split.devices_per_replica
    if per * replicas > hardware.count:
        raise InputError(
            f"tp {split.tp} x pp {split.pp} x dp {split.dp} x cp {split.cp} x replicas {replicas} "
            f"is {per * replicas} devices; the hardware has {hardware.count}",
            "deployment.replicas" if deployment.cluster.replicas and per <= hardware.count else "deployment.tp",
        )
    if per > 1 and hardware.device.scale_up.topology == "none":
        raise InputError(f"{hardware.device.key} devices are not joined by any link; use replicas", "deployment.tp")


def _stages(model: Model, hardware: Hardware, deployment: Deployment, tp: int) -> int:
    """Most pipeline stages that devices and layers allow."""
    return min(hardware.count // (tp * deployment.split.dp * deployment.split.cp), model.layers)


def _with_tp(
    model: Model, hardware: Hardware, deployment: Deployment, length: float, cross: float
) -> tuple[Deployment, MemoryAccount]:
    """The smallest split that fits, and its account: tensor parallelism inside a host, then pipeline stages over hosts;
    llama.cpp has stages alone."""
    other = deployment.split.pp * deployment.split.dp * deployment.split.cp
    joined = hardware.device.scale_up.topology != "none"
    most = max(min(hardware.count // other, hardware.devices_per_host), 1) if joined else 1
    inside = sorted(range(1, most + 1), key=lambda t: ((t & (t - 1)) != 0, t))
    widest = max(t for t in inside if not t & (t - 1))
    trials = [(deployment.split.pp, tp) for tp in inside]
    if deployment.runtime.engine in _BY_LAYERS and deployment.split.pp == 1:
        trials = [(pp, 1) for pp in range(1, _stages(model, hardware, deployment, 1) + 1)] if joined else [(1, 1)]
    elif deployment.split.pp == 1:
        trials += [(pp, widest) for pp in range(2, _stages(model, hardware, deployment, widest) + 1)]
    valid, fitting = [], []
    for pp, tp in trials:
        trial = deployment.changed(tp=tp, pp=pp)
        if trial.split.devices_per_replica > hardware.count or split_problem(model, trial):
            continue
        valid.append(trial)
        memory = account(model, hardware, [trial])
        if float(memory.sequences(np.array([length]), cross)[0]) >= 1.0:
            if float(memory.free_bytes[0]) >= _ROOM * float(memory.capacity_bytes[0]):
                return trial, memory
            fitting.append((trial, memory))
    if fitting:
        return fitting[0]
    if not valid:  # nothing can be cut at all: let the check say why for the plainest split
        check_split(model, deployment.changed(tp=1))
        raise InputError(
            f"no split of {model.name} over {hardware.count} devices agrees with dp {deployment.split.dp}, cp "
            f"{deployment.split.cp}",
            "deployment",
        )
    raise Infeasible(does_not_fit(model, hardware, max(valid, key=lambda d: d.split.devices_per_replica), length))

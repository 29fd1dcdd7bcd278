"""Why a model does not fit, and the smallest changes that would make it fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rooflab.memory.account import account
from rooflab.operators.formats import formats_of
from rooflab.operators.split import split_problem
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.units import format_quantity

__all__ = ["does_not_fit"]


def does_not_fit(model: Model, hardware: Hardware, deployment: Deployment, length: float) -> str:
    """One line: what is needed, what there is, and up to three changes, smallest first, with what they would hold."""
    memory = account(model, hardware, [deployment])
    devices = deployment.devices_per_replica
    formats = formats_of(model, hardware.device, deployment)
    weights = float(memory.weights_bytes[0])
    name = formats.experts.name if model.is_moe else formats.weights.name

    def size(per_device: float) -> str:
        return format_quantity(per_device * devices, "B")

    held = f"{devices} x {hardware.device.key} hold {size(hardware.device.memory_bytes)}"
    need = f"{model.name} {name} needs {size(weights)} of weights, {held}"
    if weights < float(memory.capacity_bytes[0]):
        left = size(max(float(memory.free_bytes[0]), 0.0))
        wanted = size(float(memory.sequence_bytes(np.array([length]))[0]))
        need += f"; {left} remain beside activations and reserve, one sequence of {length:,.0f} tokens wants {wanted}"
    changes = _changes(model, hardware, deployment, length)
    return f"does not fit: {need}. " + ("; ".join(changes) + "." if changes else "No single change of format or split fits it.")


def _changes(model: Model, hardware: Hardware, deployment: Deployment, length: float) -> list[str]:
    found = []
    for weights in ("fp8", "int4"):
        trial = replace(deployment, weights=weights, experts=None)
        held = _held(model, hardware, trial, length)
        if held >= 1:
            found.append(f"{weights} weights on these devices hold {held:,.0f} sequences of {length:,.0f}")
            break
    wider = [t for t in (2, 4, 8, 16, 32, 64) if deployment.tp and t > deployment.tp and t <= hardware.devices_per_host]
    for tp in wider:
        trial = replace(deployment, tp=tp)
        if trial.devices_per_replica <= max(hardware.count, hardware.devices_per_host) and not split_problem(model, trial):
            held = _held(model, hardware, trial, length)
            if held >= 1:
                found.append(f"tp {tp} ({trial.devices_per_replica} devices) holds {held:,.0f}")
                break
    for pp in (2, 3, 4, 6, 8, 16):
        trial = replace(deployment, pp=deployment.pp * pp)
        if not split_problem(model, trial):
            held = _held(model, hardware, trial, length)
            if held >= 1:
                found.append(f"{trial.devices_per_replica} devices (pp {trial.pp}) hold {held:,.0f} in the same format")
                break
    return found[:3]


def _held(model: Model, hardware: Hardware, deployment: Deployment, length: float) -> float:
    return float(np.floor(account(model, hardware, [deployment]).sequences(np.array([length]))[0]))

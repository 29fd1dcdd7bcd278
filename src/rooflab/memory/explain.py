"""Why a model does not fit, and the smallest changes that would make it fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rooflab.memory.account import MemoryAccount, account
from rooflab.operators.formats import formats_of
from rooflab.operators.split import split_problem
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.units import format_quantity

__all__ = ["Misfit", "does_not_fit"]


def does_not_fit(model: Model, hardware: Hardware, deployment: Deployment, length: float) -> str:
    """One line: what is needed, what there is, and up to three changes, smallest first, with what they would hold."""
    return Misfit(model, hardware, deployment).why(length)


class Misfit:
    """Explains why a deployment does not fit, for any length of sequence; accounts of the changes it tries are kept."""

    def __init__(self, model: Model, hardware: Hardware, deployment: Deployment) -> None:
        self.model, self.hardware, self.deployment = model, hardware, deployment
        self._accounts: dict[Deployment, MemoryAccount] = {}

    def why(self, length: float) -> str:
        """The line of `does_not_fit`."""
        model, hardware, deployment = self.model, self.hardware, self.deployment
        memory = self._account(deployment)
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
        changes = self._changes(length)
        return f"does not fit: {need}. " + ("; ".join(changes) + "." if changes else "No single change of format or split fits it.")

    def _changes(self, length: float) -> list[str]:
        deployment, hardware = self.deployment, self.hardware
        found = []
        for weights in ("fp8", "int4"):
            held = self._held(replace(deployment, weights=weights, experts=None), length)
            if held >= 1:
                found.append(f"{weights} weights on these devices hold {held:,.0f} sequences of {length:,.0f}")
                break
        wider = [t for t in (2, 4, 8, 16, 32, 64) if deployment.tp and t > deployment.tp and t <= hardware.devices_per_host]
        for tp in wider:
            trial = replace(deployment, tp=tp)
            if trial.devices_per_replica <= max(hardware.count, hardware.devices_per_host) and not split_problem(self.model, trial):
                held = self._held(trial, length)
                if held >= 1:
                    found.append(f"tp {tp} ({trial.devices_per_replica} devices) holds {held:,.0f}")
                    break
        for pp in (2, 3, 4, 6, 8, 16):
            trial = replace(deployment, pp=deployment.pp * pp)
            if not split_problem(self.model, trial):
                held = self._held(trial, length)
                if held >= 1:
                    found.append(f"{trial.devices_per_replica} devices (pp {trial.pp}) hold {held:,.0f} in the same format")
                    break
        return found[:3]

    def _held(self, deployment: Deployment, length: float) -> float:
        return float(np.floor(self._account(deployment).sequences(np.array([length]))[0]))

    def _account(self, deployment: Deployment) -> MemoryAccount:
        known = self._accounts.get(deployment)
        if known is None:
            known = self._accounts[deployment] = account(self.model, self.hardware, [deployment])
        return known

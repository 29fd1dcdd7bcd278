"""Fitting the factors of vision networks, by device and kind of device.

Residuals are log(predicted / measured) under a soft-L1 loss; factors are drawn towards a common prior, so that what a
device's rows do not tell stays where the others put it.  Besides the fit in sample, whole model families and whole
devices are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.vision import CLASSES, COUNT_FACTORS, LAYER_FACTORS, LayerTable, counts_s, layers_s
from rooflab.estimator.vision import FORMATS, Counts
from rooflab.evidence.rows.vision import VisionQuestion
from rooflab.operators.networks import Network

__all__ = ["counts_model", "device_entry", "fit_factors", "layers_model", "members_of"]

Array = npt.NDArray[np.float64]
Model = Callable[[Array], Array]

# conv, grouped, depthwise, linear, attention, weights, dense / depthwise / attention / pass bytes, launch
_LAYER_PRIOR: Final = np.array([1.3, 2.0, 40.0, 1.3, 2.0, 1.3, 1.3, 1.5, 2.0, 0.6, 4.0])
_LAYER_LEAST: Final = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 0.2, 0.05, 0.5])
_COUNT_PRIOR: Final = np.array([1.3, 6.0, 1.5, 10.0, 1.5])
_COUNT_LEAST: Final = np.array([1.0, 0.5, 1.0, 1.0, 0.8])
_PULL: Final = 0.1


def _setting(q: VisionQuestion) -> tuple[float, float, float]:
    compute, element_bytes = FORMATS[q.precision]
    return q.machine.device.peak(compute), q.machine.device.memory_bytes_per_s, element_bytes


def layers_model(asked: Sequence[VisionQuestion]) -> Model:
    """Images a second of questions with layers, as a function of the factors."""
    tables, rows, peaks, bandwidths = [], [], [], []
    for i, q in enumerate(asked):
        assert isinstance(q.network, Network)
        peak, bandwidth, element_bytes = _setting(q)
        table = LayerTable.of(q.network.layers, q.batch, element_bytes)
        tables.append(table)
        rows.append(np.full(len(table.kinds), i))
        peaks.append(np.full(len(table.kinds), peak))
        bandwidths.append(np.full(len(table.kinds), bandwidth))
    owner, peak_all, bandwidth_all = np.concatenate(rows), np.concatenate(peaks), np.concatenate(bandwidths)
    # seconds at the datasheet's rates, so that layers of all devices are priced at once
    whole = LayerTable(
        np.concatenate([t.kinds for t in tables]),
        np.concatenate([t.flops for t in tables]) / peak_all,
        np.concatenate([t.weight_bytes for t in tables]) / bandwidth_all,
        np.concatenate([t.activation_bytes for t in tables]) / bandwidth_all,
    )
    batches = np.array([float(q.batch) for q in asked])
    return lambda factors: batches / np.bincount(owner, layers_s(whole, factors, 1.0, 1.0), len(asked))


def counts_model(asked: Sequence[VisionQuestion]) -> Model:
    """Images a second of any questions from their counts alone, as a function of the factors."""
    settings = np.array([_setting(q) for q in asked])
    batches = np.array([float(q.batch) for q in asked])
    macs = np.array([q.network.macs for q in asked]) * batches
    moved = np.array([q.network.activations for q in asked]) * batches * settings[:, 2]
    weights = np.array([q.network.params for q in asked]) * settings[:, 2]
    peaks, bandwidths = settings[:, 0], settings[:, 1]
    return lambda factors: batches / counts_s(macs, moved, weights, factors, peak_flops=peaks, bytes_per_s=bandwidths)


def fit_factors(model: Model, measured: Array, prior: Array, least: Array, pull: float = _PULL) -> Array:
    """Factors that best explain `measured`."""
    from scipy.optimize import least_squares

    def residuals(logs: Array) -> Array:
        return np.append(np.log(model(np.exp(logs)) / measured), pull * (logs - np.log(prior)))

    bounds = (np.log(least), np.log(np.maximum(least, prior) * 1000))
    start = np.log(np.maximum(prior, least * 1.001))
    out: Array = np.exp(least_squares(residuals, start, bounds=bounds, loss="soft_l1", f_scale=0.2).x)
    return out


def _measured(asked: Sequence[VisionQuestion]) -> Array:
    return np.array([q.measured for q in asked])


def _error(ratio: Array) -> dict[str, float]:
    error = np.abs(ratio - 1.0)
    return {"median": round(float(np.median(error)), 3), "p90": round(float(np.quantile(error, 0.9)), 3)}


def _fit(asked: Sequence[VisionQuestion], by_layers: bool) -> tuple[Array, dict[str, Any]]:
    """Factors and errors: in sample, and with each model family left out in turn (five parts)."""
    make, prior, least = (
        (layers_model, _LAYER_PRIOR, _LAYER_LEAST) if by_layers else (counts_model, _COUNT_PRIOR, _COUNT_LEAST)
    )
    factors = fit_factors(make(asked), _measured(asked), prior, least)
    names = sorted({q.group.split("/")[0] for q in asked})
    left = np.empty(len(asked))
    for part in range(5):
        out = set(names[part::5])
        here = [i for i, q in enumerate(asked) if q.group.split("/")[0] in out]
        rest = [q for q in asked if q.group.split("/")[0] not in out]
        held = [asked[i] for i in here]
        if held and rest:
            left[here] = make(held)(fit_factors(make(rest), _measured(rest), prior, least)) / _measured(held)
    inside = _error(make(asked)(factors) / _measured(asked))
    return factors, {
        "rows": len(asked),
        **inside,
        "left_out_median": _error(left)["median"],
        "left_out_p90": _error(left)["p90"],
    }


def members_of(asked: Sequence[VisionQuestion]) -> dict[str, list[str]]:
    """Whose rows each entry is fitted to: every device alone, and the cards and the processors together."""
    keys = sorted({q.machine.device.key for q in asked})
    together = {kind: [k for k in keys if k.startswith(prefix)] for kind, prefix in (("gpu", "rtx"), ("cpu", "i9"))}
    return {key: [key] for key in keys} | together


def device_entry(asked: Sequence[VisionQuestion], source: str) -> dict[str, Any]:
    """Factors and errors of a device, or of devices together, as their file holds them."""
    layered = [q for q in asked if isinstance(q.network, Network)]
    factors, errors = _fit(layered, True)
    entry: dict[str, Any] = {
        "layers": _named(LAYER_FACTORS, factors),
        "layers_fit": errors,
        "counts": {},
        "counts_fit": {},
        "source": source,
    }
    for kind in CLASSES:
        mine = [q for q in asked if _class(q) == kind]
        factors, errors = _fit(mine, False)
        entry["counts"][kind], entry["counts_fit"][kind] = _named(COUNT_FACTORS, factors), errors
    return entry


def _class(q: VisionQuestion) -> str:
    if isinstance(q.network, Counts):
        return q.network.kind
    return "transformer" if any(layer.kind == "attention" for layer in q.network.layers) else "conv"


def _named(names: Sequence[str], factors: Array) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in zip(names, factors, strict=True)}

"""The file of engine and device constants: `costs/fits/serving.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rooflab.costs.engine_constants import DeviceFactors, EngineOverhead, ServingCalibration

__all__ = ["as_text"]


def as_text(table: ServingCalibration) -> str:
    """A calibration as its file holds it: one line an entry, constants with three significant digits, defaults left
    out."""
    content = _record(table)
    return "{\n" + ",\n".join(f" {json.dumps(k)}: {_value(k, v)}" for k, v in content.items()) + "\n}\n"


def _record(table: ServingCalibration) -> dict[str, Any]:
    return {
        "name": "shipped",
        "prior": _entry(table.prior, EngineOverhead()),
        "slow_host": {**_entry(table.slow_host, EngineOverhead()), "layer_s": 0.0},
        "contended_host": {**_entry(table.contended_host, EngineOverhead()), "layer_s": 0.0},
        "eager_layer_s": table.eager_layer_s,
        "engines": {k: _entry(v, EngineOverhead()) for k, v in sorted(table.engines.items())},
        "devices": {k: _entry(v, DeviceFactors()) for k, v in sorted(table.devices.items())},
    }


def _entry(value: EngineOverhead | DeviceFactors, default: EngineOverhead | DeviceFactors) -> dict[str, Any]:
    kept = {k: v for k, v in asdict(value).items() if v != getattr(default, k) or k in ("provenance", "source")}
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in kept.items()}


def _value(key: str, held: Mapping[str, Any]) -> str:
    if key not in ("engines", "devices"):
        return json.dumps(held, ensure_ascii=False)
    lines = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in held.items())
    return "{\n" + ",\n".join(lines) + "\n }"

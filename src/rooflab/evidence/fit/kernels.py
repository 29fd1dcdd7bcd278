"""Fitting the constants of `rooflab.costs` to measured kernel tables.

Residuals are log(predicted / measured) under a soft-L1 loss of scale 0.15, so that a row twice too slow counts like one
twice too fast and odd rows pull little.  Shares are bounded by 1: no fit may beat the datasheet.  An engine's own
constants ship only where they clearly beat those of all engines together on its rows; each framework weighs the same.
A framework that is over 2.5 times slower than the fastest one on the same work is left out of that kernel: it ran a
fallback or timed work outside the kernel (a quantiser on the host), which is no property of the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from rooflab.costs.attention import DecodeCurve, decode_attention_s, mla_decode_s, mla_prefill_s, prefill_attention_s
from rooflab.costs.calibration import GEMM_COMPUTE
from rooflab.costs.collective import all_gather_s, all_reduce_s, moe_exchange_s
from rooflab.costs.elementwise import ElementwiseCurve
from rooflab.costs.fit_file import CURVE_TYPES, Curve
from rooflab.costs.gemm import GemmCurve, batched_gemm_s, gemm_s
from rooflab.costs.moe import moe_s
from rooflab.costs.recurrent import recurrent_decode_s, recurrent_prefill_s
from rooflab.evidence.fit.kernel_attention import attention, latent_attention, latent_block, recurrent
from rooflab.evidence.fit.kernel_links import collectives, exchange
from rooflab.evidence.fit.kernel_products import experts, products
from rooflab.evidence.fit.kernel_rows import Rows
from rooflab.evidence.fit.kernel_tables import MeasuredDevice, Tables

__all__ = ["Fitted", "Form", "device_entry", "fit_device", "fit_rows", "form_of", "predict"]

Array = NDArray[np.float64]
_SAMPLE: Final = 2400  # rows of a framework that enter one fit; the error is taken over all
_US: Final = 1e-6
_SCALE: Final = 0.15
_CLEARLY: Final = 0.12  # share of the loss that an engine's own constants must save to ship
_FALLBACK: Final = 2.5


@dataclass(frozen=True, slots=True)
class Form:
    """Constants of a kernel to be fitted: start, least and greatest value by name; `fixed` are not fitted."""

    free: dict[str, tuple[float, float, float]]
    fixed: dict[str, float] = field(default_factory=dict)


_T0: Final = (6 * _US, 0.5 * _US, 200 * _US)
_SHARE: Final = (0.7, 0.02, 1.0)
_GEMM: Final = {"t0_s": _T0, "ec": _SHARE, "em": _SHARE, "q": (2.0, 1.2, 6.0)}
_DECODE: Final = {
    "t0_s": (10 * _US, 1 * _US, 100 * _US),
    "em": _SHARE,
    "ec": (0.15, 0.01, 1.0),
    "s0_tokens": (100.0, 1.0, 600.0),
}
_LINK: Final = {"a_s": (6 * _US, 1 * _US, 400 * _US), "r_s": (1 * _US, 1e-9, 30 * _US), "b": (0.7, 0.01, 1.0)}
_FORMS: Final[dict[str, Form]] = {
    "gemm": Form(_GEMM | {"a": (2.0, 0.01, 8.0)}),
    "gemm/bf16": Form(_GEMM, {"a": 0.0}),
    "gemm/int8": Form(_GEMM, {"a": 0.0}),
    "gemm/int4": Form(_GEMM, {"a": 0.0}),
    "decode": Form(_DECODE),
    "mla_decode": Form(_DECODE),
    "prefill": Form({"t0_s": (10 * _US, 1 * _US, 200 * _US), "e": (0.6, 0.02, 1.0), "narrow": (0.3, 0.001, 0.9),
    "io": _SHARE}),
    "mla_prefill": Form({"t0_s": (10 * _US, 1 * _US, 200 * _US), "e": (0.6, 0.02, 1.0), "io": _SHARE}, {"narrow": 0.0}),
    "moe": Form(
        {
            "t0_s": (30 * _US, 3 * _US, 300 * _US), "ec": (0.6, 0.02, 1.0), "em": (0.85, 0.05, 1.0),
            "a": (2.0, 0.01, 15.0),
            "pad_tokens": (120.0, 1.0, 500.0), "alpha": (0.95, 0.3, 3.0), "heat": (0.2, 0.001, 1.0),
            "remote": (1.0, 0.01, 30.0),
        }
    ),
    "all_reduce": Form(
        {"a_s": (5 * _US, 1 * _US, 100 * _US), "r_s": (0.5 * _US, 1e-9, 30 * _US), "b1": (0.5, 0.02, 1.0),
        "b2": (0.65, 0.02, 1.0),
         "x_s": (8 * _US, 0.1 * _US, 200 * _US)}
    ),
    "link": Form(_LINK),
    "gdn_decode": Form({"t0_s": (8 * _US, 0.5 * _US, 100 * _US), "em": (0.7, 0.02, 1.0)}, {"ec": 1.0}),
    "gdn_prefill": Form({"t0_s": (30 * _US, 1 * _US, 400 * _US), "em": (0.6, 0.02, 1.0), "ec": (0.1, 0.002, 1.0)}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fitted:
    """A curve and how well it does on its rows: median and p90 of |predicted/measured − 1|, and the mean loss of its
    fit."""

    curve: Curve
    rows: int
    median: float
    p90: float
    loss: float


def predict(device: MeasuredDevice, key: str, curve: Any, rows: Rows) -> Array:
    """Seconds of `rows` of kernel `key` on `device` with `curve`."""
    kernel, _, fmt = key.partition("/")
    args: dict[str, Any] = dict(rows.arguments)
    rates = {"peak_flops": device.peak("bf16"), "bytes_per_s": device.memory_bytes_per_s}
    link = {"link_bytes_per_s": device.link_bytes_per_s}
    if kernel == "gemm":
        return np.asarray(gemm_s(**args, **{**rates, "peak_flops": device.peak(GEMM_COMPUTE[fmt])}, curve=curve))
    if kernel == "moe":
        alpha = np.where(args.pop("balanced") > 0, np.inf, curve.alpha)
        return np.asarray(
            moe_s(**args, **{**rates, "peak_flops": device.peak(GEMM_COMPUTE[fmt])}, curve=curve, alpha=alpha)
        )
    if kernel in _PRICES_BY_RATE:
        return np.asarray(_PRICES_BY_RATE[kernel](**args, **rates, curve=curve))
    if kernel == "gdn_decode":
        return np.asarray(recurrent_decode_s(**args, bytes_per_s=device.memory_bytes_per_s, curve=curve))
    if kernel == "all_reduce":
        return np.asarray(all_reduce_s(**args, **link, curve=curve))
    if kernel == "moe_all_to_all":
        return np.asarray(moe_exchange_s(**args, **link, curve=curve))
    return np.asarray(all_gather_s(args["message_bytes"], args["ranks"], **link, curve=curve))


_PRICES_BY_RATE: Final[dict[str, Callable[..., Any]]] = {
    "decode": decode_attention_s,
    "prefill": prefill_attention_s,
    "mla_decode": mla_decode_s,
    "mla_prefill": mla_prefill_s,
    "gdn_prefill": recurrent_prefill_s,
}


def form_of(device: MeasuredDevice, key: str) -> Form:
    """The constants of kernel `key` that are fitted on `device`, with their bounds."""
    kernel = key.split("/", maxsplit=1)[0]
    form = _FORMS.get(key) or _FORMS.get(kernel) or _FORMS["link"]
    if kernel == "moe_all_to_all":  # one group size in the tables
        return Form({k: v for k, v in form.free.items() if k != "r_s"}, {"r_s": 0.0})
    if kernel in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all") and device.link_topology == "bus":
        return Form(form.free | {"share": (0.5, 0.001, 3.0)}, form.fixed)
    return form


def fit_rows(device: MeasuredDevice, key: str, groups: Sequence[Rows], seed: int = 0) -> Fitted:
    """The curve of `key` that fits `groups` (one a framework, each sampled alike) best in log-ratio."""
    from scipy.optimize import least_squares

    random = np.random.default_rng(seed)
    form, kind = form_of(device, key), CURVE_TYPES[key.split("/", maxsplit=1)[0]]
    sampled = [g.take(random.choice(len(g), min(len(g), _SAMPLE), replace=False)) for g in groups if len(g)]
    start, low, high = np.log(np.array(list(form.free.values()))).T
    measured = np.concatenate([g.seconds for g in sampled])

    def curve_of(x: Array) -> Curve:
        return kind(**dict(zip(form.free, np.exp(x).tolist(), strict=True)), **form.fixed)

    def residuals(x: Array) -> Array:
        curve = curve_of(x)
        predicted = np.concatenate([predict(device, key, curve, g) for g in sampled])
        return np.asarray(np.log(predicted / measured))

    # three starts: terms that hardly show at first (a share of a kernel bound elsewhere) can hide the valley
    starts = [start, np.clip(start + 0.7, low, high), np.clip(start - 0.7, low, high)]
    found = [
        least_squares(residuals, x, bounds=(low, high), loss="soft_l1", f_scale=_SCALE, max_nfev=60) for x in starts
    ]
    return score(device, key, curve_of(min(found, key=lambda f: float(f.cost)).x), groups)


def score(device: MeasuredDevice, key: str, curve: Curve, groups: Sequence[Rows]) -> Fitted:
    """A curve with its error over all rows of `groups`."""
    predicted, measured = (
        np.concatenate(part) for part in ([predict(device, key, curve, g) for g in groups], [g.seconds for g in groups])
    )
    return _error(curve, predicted, measured)


def _error(curve: Curve, predicted: Array, measured: Array) -> Fitted:
    errors = np.abs(predicted / measured - 1.0)
    loss = np.sqrt(1.0 + (np.log(predicted / measured) / _SCALE) ** 2) - 1.0
    return Fitted(curve, len(errors), float(np.median(errors)), float(np.quantile(errors, 0.9)), float(np.mean(loss)))


_READERS: Final = (
    products,
    attention,
    latent_attention,
    latent_block,
    experts,
    collectives,
    exchange,
    recurrent,
)
"""Every kernel that is priced."""


def fit_device(tables: Tables) -> dict[str, dict[str, Fitted]]:
    """Fits of a device by engine ("" all together) and key."""
    device = tables.device
    by_key: dict[str, dict[str, Rows]] = {}
    for reader in _READERS:
        for engine, key, rows in reader(tables):
            if len(rows) >= 20:
                by_key.setdefault(key, {})[engine] = rows
    out: dict[str, dict[str, Fitted]] = {"": {}}
    modules = by_key.pop("mla_layer", {})
    for key, groups in by_key.items():
        own = {engine: fit_rows(device, key, [rows]) for engine, rows in groups.items()}
        frameworks = [engine for engine in groups if engine != "nccl"] or list(groups)
        usual = _without_fallbacks(device, key, groups, own, frameworks)
        pooled = out[""][key] = (
            fit_rows(device, key, [groups[engine] for engine in usual]) if len(usual) > 1 else own[usual[0]]
        )
        for engine in [*usual, *(e for e in groups if e not in frameworks)]:
            common = score(device, key, pooled.curve, [groups[engine]])
            if own[engine].loss < (1.0 - _CLEARLY) * common.loss:
                out.setdefault(engine, {})[key] = own[engine]
    layers = {engine: _mla_layer(device, rows, engine, out) for engine, rows in modules.items()}
    if layers:
        # what no engine can do without: modules timed without a graph show up to 60 µs of launches (the same kernels on
        # B200 and B300 9 and 62 µs), which a served step does not have
        out[""]["mla_layer"] = min(layers.values(), key=lambda fit: cast(ElementwiseCurve, fit.curve).t0_s)
    return out


def _mla_layer(device: MeasuredDevice, rows: Rows, engine: str, fits: dict[str, dict[str, Fitted]]) -> Fitted:
    """Time of DeepSeek-V3's decode attention block beyond its parts (median, not below 0), and the error of the whole
    with it."""
    batch, heads = rows.arguments["sequences"], rows.arguments["heads"]
    gemm = cast(GemmCurve, fits[""]["gemm/bf16"].curve)
    rates = {"peak_flops": device.peak("bf16"), "bytes_per_s": device.memory_bytes_per_s}

    def product(groups: Array | float, n: Array | float, k: Array | float) -> Array:
        return np.asarray(batched_gemm_s(groups, batch, n, k, weight_bytes=2.0, act_bytes=2.0, **rates, curve=gemm))

    projections = product(1.0, 2112.0, 7168.0) + product(1.0, heads * 192, 1536.0) + product(1.0, 7168.0, heads * 128)
    absorbed = product(heads, 512.0, 128.0) + product(heads, 128.0, 512.0)
    own = fits.get(engine, {}).get("mla_decode/bf16") or fits[""]["mla_decode/bf16"]
    latent = {"kv_rank": 512.0, "rope_dim": 64.0, "kv_bytes": 2.0}
    attention = mla_decode_s(**rows.arguments, **latent, **rates, curve=cast(DecodeCurve, own.curve))
    parts = np.asarray(projections + absorbed + attention)
    extra_s = max(float(np.median(rows.seconds - parts)), 0.0)
    return _error(ElementwiseCurve(t0_s=extra_s, em=1.0), parts + extra_s, rows.seconds)


def _without_fallbacks(
    device: MeasuredDevice, key: str, groups: dict[str, Rows], own: dict[str, Fitted], frameworks: list[str]
) -> list[str]:
    """The frameworks that are not over `_FALLBACK` times slower than the fastest, on the shortest or the longest
    quarter of all rows."""
    medians: dict[str, Array] = {}
    for engine in frameworks:
        parts = []
        for end in (0.25, 0.75):
            priced = [predict(device, key, own[engine].curve, _end(groups[other], end)) for other in frameworks]
            parts.append(float(np.mean([np.mean(np.log(p)) for p in priced])))
        medians[engine] = np.array(parts)
    fastest = np.min(list(medians.values()), axis=0)
    return [engine for engine in frameworks if float(np.max(medians[engine] - fastest)) < np.log(_FALLBACK)]


def _end(rows: Rows, quantile: float) -> Rows:
    """The rows below (0.25) or above (0.75) a quantile of measured time."""
    edge = np.quantile(rows.seconds, quantile)
    return rows.take(rows.seconds >= edge if quantile > 0.5 else rows.seconds <= edge)


def device_entry(tables: Tables, date: str) -> dict[str, Any]:
    """The calibration file of a device, constants rounded to four digits."""
    device, curves = tables.device, dict[str, Any]()
    for engine, by_key in fit_device(tables).items():
        curves[engine] = {}
        for key, fit in by_key.items():
            constants = {name: float(f"{getattr(fit.curve, name):.4g}") for name in fit.curve.__dataclass_fields__}
            curves[engine][key] = constants | {
                "rows": fit.rows,
                "median": round(fit.median, 3),
                "p90": round(fit.p90, 3),
            }
    return {
        "device": device.key,
        "memory_bytes_per_s": device.memory_bytes_per_s,
        "link_topology": device.link_topology,
        "source": "kernel tables of aiconfigurator-core 0.12.0 (Apache-2.0)",
        "fitted": date,
        "curves": curves,
    }

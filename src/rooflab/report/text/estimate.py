"""An estimate on one screen: the answer, why, its limit, memory, cost, and where the numbers come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rooflab.costs.calibration import KernelCalibration, calibration_for
from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.bill import bill
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.context import beyond_context, longest_sequence
from rooflab.deploy.runs_on import runs_elsewhere
from rooflab.deploy.simulated import simulated_only
from rooflab.estimator.serving.answer import Estimate
from rooflab.memory.account import MemoryAccount, account
from rooflab.report.text.console import labelled, literal
from rooflab.report.text.headline import deployment_words, load_words, targets_words, title
from rooflab.report.text.trust import digits_of, trust_words
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rooflab.estimator.serving.breakdown import OperatorRow

__all__ = ["account_lines", "show_breakdown", "show_estimate"]

_PARTS = ("weights_bandwidth", "arithmetic", "attention", "communication", "host", "offload")
_MEANING = {
    "weights_bandwidth": "reading weights",
    "arithmetic": "arithmetic",
    "attention": "attention",
    "communication": "communication",
    "host": "host and launches",
    "offload": "offloading",
}


def show_estimate(estimate: Estimate, out: Console, *, engine_given: bool = True) -> None:
    """Print one estimate. `engine_given`: somebody chose the engine; where nobody did, a line says which is priced."""
    s = estimate.scenario
    out.print(f"[bold]{literal(title(s))}[/]")
    wanted = targets_words(s)
    out.print(literal(load_words(s.workload, s.model)) + (f" · wanted: {wanted}" if wanted else ""))
    out.print(literal(deployment_words(s.deployment, s.model)))
    out.print()
    for line in _answer(estimate):
        out.print(f"  {line}")
    if too_long := beyond_context(s):
        out.print(f"  [red]refused[/]: {literal(too_long)}", soft_wrap=True)
    if not estimate.saturated:
        out.print(_latencies(estimate))
    out.print()
    for name, text in account_lines(estimate):
        out.print(labelled(name, text, out.width), soft_wrap=True)
        if name == "Trust" and not engine_given:
            usual = ENGINES[s.deployment.runtime.engine]
            out.print(
                labelled(
                    "",
                    f"no engine was given: {usual} is priced, the usual one of such hardware; the "
                    "intervals are of its errors, another may lie outside them",
                    out.width,
                ),
                soft_wrap=True,
            )


def _answer(estimate: Estimate) -> list[str]:
    """Throughput, and whether the wish is met."""
    m, kind = estimate.metrics, estimate.scenario.model.kind
    words = []
    if kind in ("decoder", "encoder-decoder"):
        digits = digits_of(estimate, "output_tokens_per_s")
        words += [f"[bold]{significant(m['output_tokens_per_s'], digits)}[/] output tokens/s"]
        words += [f"{significant(m['output_tokens_per_s_per_gpu'], digits)} per device"] if m["devices"] > 1 else []
    what = "images/s" if kind == "vision" else "requests/s"
    words.append(f"[bold]{significant(m['requests_per_s'])}[/] {what}")
    if kind == "decoder":
        words.append(f"{significant(m['running'])} sequences running of {significant(m['max_running'])} that fit")
    verdict = _verdict(estimate)
    return [" · ".join(words), verdict] if verdict else [" · ".join(words)]


def _verdict(estimate: Estimate) -> str:
    s, m = estimate.scenario, estimate.metrics
    if estimate.saturated:
        served = significant(m["requests_per_s"])
        return (
            f"[red]saturated[/]: requests arrive faster than the {served}/s that can be served; waits grow without end"
        )
    if not s.slo:
        return f"{significant(m['utilisation'] * 100)} % busy" if s.workload.mode in ("open", "trace") else ""
    broken = estimate.meets()
    if not broken:
        return "[green]meets every target[/]"
    return "[red]misses[/] " + ", ".join(
        f"{key.rsplit('_', 1)[0].upper()} {key.rsplit('_', 1)[1]}: {format_seconds(got)} against "
        f"{format_seconds(limit)}"
        for key, got, limit in broken
    )


def _latencies(estimate: Estimate) -> Table:
    m, kind = estimate.metrics, estimate.scenario.model.kind
    table = _table(("", "left"), ("mean", "right"), ("p50", "right"), ("p90", "right"), ("p99", "right"))
    rows = (
        [("TTFT", "ttft_s"), ("TPOT", "tpot_s"), ("end to end", "e2e_s")]
        if kind in ("decoder", "encoder-decoder")
        else [("latency", "e2e_s")]
    )
    for label, name in rows:
        values = [m[f"{name}_{q}"] for q in ("mean", "p50", "p90", "p99")]
        if not math.isnan(values[0]):
            digits = [digits_of(estimate, f"{name}_{q}") for q in ("mean", "p50", "p90", "p99")]
            table.add_row(label, *(format_seconds(v, d) for v, d in zip(values, digits, strict=True)))
    return table


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left")
    table.columns[0].style = "bold"
    return table


def account_lines(estimate: Estimate) -> Iterable[tuple[str, str]]:
    """What stands below the figures, by name: why, limit, memory, cost, notes, trust."""
    m, s = estimate.metrics, estimate.scenario
    shares = sorted(((m[f"share_{part}"], _MEANING[part]) for part in _PARTS), reverse=True)
    spent = ", ".join(f"{significant(100 * share, 2)} % {name}" for share, name in shares if share >= 0.01)
    yield (
        "Why",
        f"a mean step spends {spent}; MFU {significant(100 * m['mfu'], 2)} %, MBU {significant(100 * m['mbu'], 2)} %",
    )
    limit = m["limit_output_tokens_per_s_per_gpu"]
    unit = "output tokens/s per device" if limit > 0 else "images/s" if s.model.kind == "vision" else "requests/s"
    bound = limit if limit > 0 else m["requests_per_s"] / m["limit_ratio"]
    reached = significant(100 * m["limit_ratio"], 2)
    yield (
        "Limit",
        f"{significant(bound)} {unit} is the physical bound of this work at this load; this reaches {reached} %",
    )
    yield "Memory", _memory(estimate)
    yield "Cost", _cost(estimate)
    if names := simulated_only(s):
        one = len(names) == 1
        yield (
            "Note",
            f"{', '.join(names)} {'is' if one else 'are'} not in the closed form: these figures are without "
            f"{'it' if one else 'them'}; rooflab simulate has {'it' if one else 'them'}",
        )
    if why := runs_elsewhere(s.deployment.runtime.engine, s.hardware.device):
        yield "Note", f"{why}: these figures are of an engine like it"
    yield "Trust", trust_words(estimate)
    yield "", _constants(estimate)


def _memory(estimate: Estimate) -> str:
    s, m = estimate.scenario, estimate.metrics
    memory = account(s.model, s.hardware, [s.deployment])
    total = s.hardware.device.memory_bytes

    def size(value: Any) -> str:
        return format_quantity(float(np.asarray(value).reshape(-1)[0]), "B")

    parts = [
        f"{size(memory.weights_bytes)} weights",
        f"{size(memory.activations_bytes)} activations",
        f"{size(memory.reserve_bytes)} engine",
    ]
    room = max(float(memory.free_bytes[0]), 0.0)
    if s.model.kind != "decoder":
        return f"per device {size(total)}: " + ", ".join(parts) + f", {size(room)} left"
    used = min(float(m["kv_bytes"]), room)
    length, cross = resident_tokens(s.model, s.workload)
    one = size(memory.sequence_bytes(np.array([length]), cross))
    unused = size(total - float(memory.capacity_bytes[0]))
    off = s.deployment.runtime.offload
    there = " in the host's memory" if off is not None and (off.kv or off.gpu_layers == 0) else ""
    parts += [f"{size(used)} cache in use{there} ({one} a sequence of {length:,.0f})"]
    parts += [f"{size(room - used)} free for more"]
    return (
        f"per device {size(total)}: "
        + ", ".join(parts)
        + f"; {unused} not given to the engine{_cache_words(s, memory)}"
    )


def _cache_words(s: Scenario, memory: MemoryAccount) -> str:
    """The cache as engines log it: tokens of one engine, and how many sequences of the longest kind."""
    each, most = float(memory.kv_bytes_per_token[0]), longest_sequence(s)
    if each <= 0.0 or most is None or not memory.fits[0]:
        return ""
    full = float(memory.sequences(np.array([float(most)]))[0])
    tokens = full * most if full >= 1.0 else float(memory.free_bytes[0]) / each * float(memory.dp[0])
    return f". KV cache of an engine: {tokens:,.0f} tokens, {significant(full, 3)} sequences of {most:,}"


def _cost(estimate: Estimate) -> str:
    m = estimate.metrics
    charges = bill(estimate.scenario.hardware)
    words = []
    if math.isfinite(m["usd_per_mtok"]):
        words.append(
            f"${significant(m['usd_per_mtok'])} per million tokens at ${significant(charges.usd_per_device_hour)} a "
            f"device-hour"
        )
    else:
        words.append("no price known for this device (--price sets one)")
    if math.isfinite(m["j_per_token"]):
        words.append(f"{format_quantity(m['j_per_token'], 'J')} a token ({format_quantity(m['power_w'], 'W')})")
        words.append(
            f"{significant(m['gco2e_per_mtok'])} gCO2e per million at {significant(charges.gco2e_per_kwh)} g/kWh, PUE "
            f"{charges.pue:g}"
        )
    return " · ".join(words)


def _constants(estimate: Estimate) -> str:
    s = estimate.scenario
    kernels = calibration_for(s.hardware.device, s.deployment.runtime.engine)
    overhead = engine_overhead(s.deployment.runtime, moe=s.model.is_moe, family=s.hardware.device.family)
    return f"kernels {kernels.provenance}: {kernels.rule}{_fit_error(kernels)}; engine overhead {overhead.provenance}"


def _fit_error(kernels: KernelCalibration) -> str:
    """Rows and median error of the fitted curves, over kernels."""
    fits = [fit for fit in kernels.fits.values() if fit.provenance == "fitted" and fit.rows]
    if not fits:
        return ""
    rows = sum(fit.rows for fit in fits)
    typical = sorted(fit.median_error for fit in fits)[len(fits) // 2]
    return f" ({rows:,} kernel timings, median error {significant(100 * typical, 2)} %)"


def show_breakdown(rows: Sequence[OperatorRow], out: Console) -> None:
    """Print the operators of each phase, longest first."""
    for phase in dict.fromkeys(row.phase for row in rows):
        here = [row for row in rows if row.phase == phase]
        total = sum(row.seconds for row in here)
        out.print()
        out.print(f"[bold]One {phase} step[/] {format_seconds(total)}")
        table = _table(
            ("operator", "left"), ("time", "right"), ("share", "right"), ("limit", "right"), ("FLOP", "right"),
            ("memory", "right"),
            ("links", "right"), ("FLOP/B", "right"), ("bound by", "left"), ("constants", "left"),
        )  # fmt: skip
        for row in here:
            table.add_row(
                literal(row.name), format_seconds(row.seconds), f"{100 * row.share:.1f} %",
                format_seconds(row.limit_s) if row.limit_s else "",
                format_quantity(row.flops, "") if row.flops else "",
                format_quantity(row.bytes, "B") if row.bytes else "",
                format_quantity(row.link_bytes, "B") if row.link_bytes else "",
                significant(row.intensity) if row.intensity else "",
                row.bound_by, row.provenance,
            )  # fmt: skip
        out.print(table)

"""A simulation on one screen: whether it held, throughput, the latency distribution, what filled up, what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rooflab.report.text.console import INDENT, labelled, literal
from rooflab.report.text.headline import load_words, targets_words, title
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.results.steady import unsteady_words
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["show_simulation"]

_STATISTICS = ("mean", "p50", "p90", "p99", "p999")
_LATENCIES = (("TTFT", "ttft_s"), ("TPOT", "tpot_s"), ("ITL", "itl_s"), ("end to end", "e2e_s"), ("in line", "queue_s"))


def show_simulation(scenario: Scenario, result: ServingResult, out: Console) -> None:
    """Print one result."""
    m = result.metrics
    out.print(f"[bold]{literal(title(scenario))}[/]")
    wanted = targets_words(scenario)
    out.print(literal(load_words(scenario.workload, scenario.model)) + (f" · wanted: {wanted}" if wanted else ""))
    out.print()
    per_device = f" · {significant(m['output_tokens_per_s_per_gpu'], 4)} per device" if result.devices > 1 else ""
    out.print(
        f"  [bold]{significant(m['output_tokens_per_s'], 4)}[/] output tokens/s{per_device} · "
        f"{significant(m['requests_per_s'])} requests/s"
    )
    out.print(f"  {_verdict(result)}")
    out.print(_latencies(result))
    out.print()
    for name, text in _account(scenario, result):
        out.print(labelled(name, text, out.width), soft_wrap=True)


def _verdict(result: ServingResult) -> str:
    m = result.metrics
    done = f"{m['finished']:,.0f} of {m['requests']:,.0f} requests in {format_seconds(m['duration_s'])}"
    if result.run.stranded:
        return f"[red]stuck[/] after {done}: {result.stuck()}"
    if not result.run.complete:
        return f"[yellow]interrupted[/] after {done}"
    broken = result.broken()
    if broken:
        words = ", ".join(
            f"{literal(key)}: {format_seconds(got)} against {format_seconds(limit)}" for key, got, limit in broken
        )
        return f"[red]misses[/] {words} · {done}"
    held = "[green]meets every target[/] · " if result.slo or any(c.slo for c in result.classes) else ""
    return held + done


def _latencies(result: ServingResult) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim", show_edge=False)
    table.add_column("", style="bold")
    for statistic in _STATISTICS:
        table.add_column(statistic.replace("p999", "p99.9"), justify="right")
    for label, name in _LATENCIES:
        values = [result.metrics[f"{name}_{statistic}"] for statistic in _STATISTICS]
        if math.isfinite(values[0]):
            table.add_row(label, *(format_seconds(v) if math.isfinite(v) else "–" for v in values))
    return table


def _account(scenario: Scenario, result: ServingResult) -> Iterable[tuple[str, str]]:
    """The lines below the table: name and text."""
    m = result.metrics
    waiting = f"{significant(m['waiting_mean'])} waiting on average (at most {significant(m['waiting_max'])})"
    load = [
        f"{significant(m['running_mean'])} running and {waiting}",
        f"{100 * m['utilisation']:.0f} % busy",
    ]
    if "kv_occupancy_mean" in m:
        load.append(f"cache {100 * m['kv_occupancy_mean']:.0f} % full, at most {100 * m['kv_occupancy_max']:.0f} %")
    yield "Load", "; ".join(load)
    if scenario.workload.mode == "open" and (words := unsteady_words(result)):
        yield "Note", words
    events = (
        [f"{significant(100 * m['cached_fraction'], 2)} % of prompt tokens found in the prefix cache"]
        if m["cached_fraction"]
        else []
    )
    names = {
        "preemptions": "preemptions",
        "rejected": "requests turned away",
        "impossible": "requests too long for any replica",
    }
    events += [f"{m[name]:,.0f} {words}" for name, words in names.items() if m[name]]
    if events:
        yield "Events", "; ".join(events)
    if result.slo or any(c.slo for c in result.classes):
        goodput = significant(m["goodput_requests_per_s"])
        yield (
            "Goodput",
            f"{goodput} requests/s within every limit, {100 * m['slo_attainment']:.1f} % of those that arrived",
        )
    for name, part in result.by_class().items() if len(result.classes) > 1 else ():
        ttft, tpot = format_seconds(part["ttft_s_p99"]), format_seconds(part["tpot_s_p99"])
        yield name[: INDENT - 1], f"TTFT p99 {ttft}, TPOT p99 {tpot}, {part['finished']:,.0f} requests"
    money = f"${significant(m['usd_per_mtok'])} per million tokens · " if "usd_per_mtok" in m else ""
    yield "Cost", f"{money}{format_quantity(m['j_per_token'], 'J')} a token ({format_quantity(m['power_w'], 'W')})"

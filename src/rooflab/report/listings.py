"""What `rooflab catalogue` lists: for each kind the rows as data, and the columns that a table shows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rooflab.units import format_quantity, significant

__all__ = ["LISTINGS", "Listing", "matches"]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of fact: how to get its rows, and the text of each column of a row."""

    summary: str
    rows: Callable[[], list[dict[str, Any]]]
    columns: Mapping[str, Callable[[Row], str]]
    numeric: frozenset[str] = frozenset()

    def cells(self, row: Row) -> dict[str, Any]:
        """The row as text by column, with its source lines."""
        return {name: text(row) for name, text in self.columns.items()} | {"sources": source_lines(row)}


def matches(row: Row, words: Sequence[str]) -> bool:
    """Whether a row's own text (not its sources) contains every word."""
    text = " ".join(str(value) for name, value in row.items() if name not in ("sources", "source")).lower()
    return all(word.lower() in text for word in words)


def source_lines(row: Row) -> list[str]:
    """Sources of a row's figures, figures with the same source together."""
    if "sources" not in row:
        return [str(row["source"])] if row.get("source") else []
    by_source: dict[str, list[str]] = {}
    for figure, source in row["sources"].items():
        by_source.setdefault(source, []).append(figure)
    return [f"{', '.join(figures)}: {source}" for source, figures in by_source.items()]


def _get(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(key) is None else str(row[key])


def _quantity(key: str, unit: str, digits: int = 3) -> Callable[[Row], str]:
    return lambda row: format_quantity(row[key], unit, digits) if row.get(key) else ""


def _list(key: str) -> Callable[[Row], str]:
    return lambda row: ", ".join(row[key])


def _models() -> list[dict[str, Any]]:
    from rooflab.catalogue.models import list_models

    return list_models()


def _hardware() -> list[dict[str, Any]]:
    from rooflab.catalogue.devices import list_devices

    return list_devices()


def _links() -> list[dict[str, Any]]:
    from rooflab.catalogue.links import list_links

    return list_links()


def _hosts() -> list[dict[str, Any]]:
    from rooflab.catalogue.hosts import list_hosts

    return list_hosts()


def _prices() -> list[dict[str, Any]]:
    from rooflab.catalogue.prices import list_prices

    return list_prices()


def _grid() -> list[dict[str, Any]]:
    from rooflab.catalogue.grid import list_grid

    return list_grid()


def _pue() -> list[dict[str, Any]]:
    from rooflab.catalogue.grid import list_pue

    return list_pue()


def _workloads() -> list[dict[str, Any]]:
    from rooflab.catalogue.workloads import list_workloads, workload_entry

    rows = []
    for key in list_workloads():
        entry = workload_entry(key)
        rows.append(
            {
                "key": key,
                "isl_mean": entry.isl.mean,
                "osl_mean": entry.osl.mean,
                **entry.as_json(),
                "source": f"{entry.source} {entry.url}",
            }
        )
    return rows


def _engines() -> list[dict[str, Any]]:
    from rooflab.costs.engine_constants import engine_overhead
    from rooflab.scenario.runtime import ENGINES, Runtime

    rows = []
    for key, name in ENGINES.items():
        found = engine_overhead(Runtime(engine=key), moe=False)
        rows.append(
            {
                "key": key,
                "name": name,
                "step_s": found.fixed_s,
                "layer_s": found.layer_s,
                "sequence_s": found.sequence_s,
                "provenance": found.provenance,
                "source": found.source,
            }
        )
    return rows


def _metrics() -> list[dict[str, Any]]:
    from rooflab.metrics.registry import METRICS

    return [
        {
            "key": m.name,
            "unit": m.unit,
            "better": m.better,
            "kind": m.kind,
            "of": list(m.of),
            "needs": list(m.needs),
            "formula": m.formula,
        }
        for m in METRICS.values()
    ]


def _params(key: str) -> Callable[[Row], str]:
    return lambda row: format_quantity(row[key], "").strip().replace("G", "B")


def _peak(*formats: str) -> Callable[[Row], str]:
    """The dense peak of the first of `formats` that a device has."""

    def cell(row: Row) -> str:
        peaks = [row["peak_flops"][name] for name in formats if row["peak_flops"].get(name)]
        return format_quantity(peaks[0], "FLOP/s") if peaks else ""

    return cell


LISTINGS: Final[dict[str, Listing]] = {
    "models": Listing(
        "Architectures with parameter counts computed from their shapes.",
        _models,
        {
            "model": _get("key"), "parameters": _params("params"), "active": _params("active"),
            "layers": _get("layers"),
            "hidden": _get("hidden"), "heads": _get("heads"), "cache/token": lambda r: f"{r['kv']:,}",
            "stored in": _get("dtype"),
        },
        frozenset({"parameters", "active", "layers", "hidden", "heads", "cache/token"}),
    ),
    "hardware": Listing(
        "Accelerators and processors.",
        _hardware,
        {
            "device": _get("key"), "year": _get("year"), "memory": _quantity("memory_bytes", "B"),
            "bandwidth": _quantity("memory_bytes_per_s", "B/s"),
            "bf16/fp16": _peak("bf16", "fp16"),
            "fp8/int8": _peak("fp8", "int8"),
            "TDP": _quantity("tdp_w", "W"), "scale-up": _get("scale_up"),
            "each way": _quantity("scale_up_bytes_per_s", "B/s"),
        },
        frozenset({"year", "memory", "bandwidth", "bf16/fp16", "fp8/int8", "TDP", "each way"}),
    ),
    "links": Listing(
        "Connections between devices, hosts and memories.",
        _links,
        {
            "link": _get("key"), "kind": _get("kind"), "scope": _get("scope"),
            "each way": _quantity("bytes_per_s", "B/s"),
            "latency": _quantity("latency_s", "s"), "topology": _get("topology"),
        },
        frozenset({"each way", "latency"}),
    ),
    "hosts": Listing(
        "Machines: how many devices sit together, and what is around them.",
        _hosts,
        {
            "host": _get("key"), "device": _get("device"), "devices": _get("devices"), "network": _get("network"),
            "per device": _quantity("network_bytes_per_s_per_device", "B/s"), "DRAM": _quantity("memory_bytes", "B"),
            "NVMe": _quantity("nvme_bytes", "B"), "overhead": _quantity("overhead_w", "W"),
        },
        frozenset({"devices", "per device", "DRAM", "NVMe", "overhead"}),
    ),
    "prices": Listing(
        "Quotes for a device-hour, with their dates.",
        _prices,
        {
            "device": _get("device"), "provider": _get("provider"),
            "USD/device-hour": lambda r: significant(r["usd_per_device_hour"]),
            "tier": _get("tier"), "date": _get("date"), "instance": _get("instance"),
        },
        frozenset({"USD/device-hour"}),
    ),
    "grid": Listing(
        "Carbon intensity of electricity by region.",
        _grid,
        {"region": _get("region"), "name": _get("name"), "gCO2e/kWh": _get("gco2e_per_kwh"), "year": _get("year")},
        frozenset({"gCO2e/kWh", "year"}),
    ),
    "pue": Listing(
        "Power usage effectiveness of data centres.",
        _pue,
        {"site": _get("site"), "name": _get("name"), "PUE": _get("pue"), "year": _get("year")},
        frozenset({"PUE", "year"}),
    ),
    "workloads": Listing(
        "Public traces as fitted distributions, for workload.like.",
        _workloads,
        {
            "workload": _get("key"), "title": _get("title"), "rows": lambda r: f"{r['rows']:,}",
            "mean in": lambda r: f"{r['isl_mean']:,.0f}", "mean out": lambda r: f"{r['osl_mean']:,.0f}",
            "rate": lambda r: f"{significant(r['rate'])}/s" if r["rate"] else "",
            "reused": lambda r: f"{100 * r['reused_fraction']:.0f} %" if r["reused_fraction"] else "",
        },
        frozenset({"rows", "mean in", "mean out", "rate", "reused"}),
    ),
    "engines": Listing(
        "Serving engines and the host time that each adds to a step.",
        _engines,
        {
            "engine": _get("key"), "name": _get("name"), "a step": _quantity("step_s", "s"),
            "a layer": _quantity("layer_s", "s"),
            "a sequence": _quantity("sequence_s", "s"), "constants": _get("provenance"),
        },
        frozenset({"a step", "a layer", "a sequence"}),
    ),
    "metrics": Listing(
        "Every metric: unit, formula, which way is better.",
        _metrics,
        {"metric": _get("key"), "unit": _get("unit"), "better": _get("better"), "from": _list("of"),
        "formula": _get("formula")},
    ),
}  # fmt: skip

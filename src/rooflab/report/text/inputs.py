"""Kinds of input, and what a file of one holds, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rooflab.report.text.catalogue import show_rows
from rooflab.report.text.console import console
from rooflab.units import significant

__all__ = ["show_kind", "show_kinds", "show_summary"]

_MOST_COLUMNS = 40


def show_kinds(records: Sequence[Mapping[str, Any]]) -> None:
    """One line a kind."""
    rows = [
        {
            "kind": r["kind"],
            "what": r["does"],
            "read from": " ".join("folder" if f["suffix"] == "/" else f["suffix"] for f in r["formats"]),
            "samples": " ".join(s["name"] for s in r["samples"]),
        }
        for r in records
    ]
    show_rows(("kind", "what", "read from", "samples"), rows, console(), numeric=frozenset(), sources=False)


def show_kind(record: Mapping[str, Any]) -> None:
    """Fields, formats, samples and disturbances of a kind."""
    _line(f"{record['kind']}: {record['does']}")
    _listed("fields", [(name, what) for name, what in record["fields"].items()])
    _listed("formats", [("folder" if f["suffix"] == "/" else f["suffix"], _format(f)) for f in record["formats"]])
    samples = [(s["name"], f"{s['what']} ({s['source']}; {s['licence']})") for s in record["samples"]]
    _listed("samples", samples)
    ways = [(d["name"], d["what"]) for d in record["disturbances"]]
    more = [(f"and {len(ways) - 12} more", "")] if len(ways) > 12 else []
    _listed(f"disturbances of {record['samples'][0]['name']}", [*ways[:12], *more])
    _listed("not here", list(record["lacks"].items()))
    _listed("becomes", [(way["kind"], way["what"]) for way in record["becomes"]])
    _line(f"start from one: rooflab inputs {record['kind']} --example")


def _format(form: Mapping[str, Any]) -> str:
    needs = f"needs rooflab[{form['needs']}]" if form["needs"] else ""
    return "; ".join(part for part in (form["what"], "" if form["written"] else "read only", needs) if part)


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    _line(title)
    width = max(len(name) for name, _ in rows)
    for name, what in rows:
        _line(f"  {name:<{width}}  {what}".rstrip())


def _line(text: str) -> None:
    """A line as it is: names in files are not markup, and hold no control characters when they are shown."""
    console().print("".join(c if c.isprintable() else "?" for c in text), markup=False, soft_wrap=True)


def show_summary(record: Mapping[str, Any]) -> None:
    """Counts, columns with their ranges, and what is odd."""
    counts = ", ".join(f"{value:,} {name}" for name, value in record["counts"].items() if value)
    _line(f"{record['file']}: {record['kind']}, {counts}")
    rows = [
        {
            "name": _shown(c["name"]),
            "type": c["type"],
            "shape": " x ".join(f"{n:,}" for n in c["shape"]),
            "unit": c["unit"],
            "least": _number(c["low"]),
            "most": _number(c["high"]),
            "distinct": "" if c["distinct"] is None else f"{c['distinct']:,}",
            "for example": _shown(c["example"]),
        }
        for c in record["columns"][:_MOST_COLUMNS]
    ]
    show_rows(
        ("name", "type", "shape", "unit", "least", "most", "distinct", "for example"), rows, console(),
        numeric=frozenset({"shape", "least", "most", "distinct"}), sources=False,
    )  # fmt: skip
    if len(record["columns"]) > _MOST_COLUMNS:
        _line(f"and {len(record['columns']) - _MOST_COLUMNS} more columns (--json has all)")
    for words in record["odd"][:_MOST_COLUMNS]:
        _line(f"odd: {words}")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    return significant(value, 4) if 1e-4 <= abs(value) < 1e9 else f"{value:.3g}"

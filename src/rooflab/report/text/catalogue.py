"""Rows of the catalogue as a table, with the sources of their figures below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rooflab.report.text.console import literal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_rows"]


def show_rows(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], out: Console, *, numeric: frozenset[str], sources: bool
) -> None:
    """Print `rows` (cells as text by column name); `sources`: also the source lines that each row has under
    "sources"."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), show_edge=False)
    for i, name in enumerate(columns):
        table.add_column(
            name, justify="right" if name in numeric else "left", style="bold" if i == 0 else None, overflow="fold"
        )
    for row in rows:
        table.add_row(*(literal(str(row[name])) for name in columns))
    out.print(table)
    if not sources:
        return
    for row in rows:
        out.print(f"[bold]{literal(str(row[columns[0]]))}[/]")
        for line in row["sources"]:
            out.print(f"  {literal(line)}", soft_wrap=True)

"""A calibration as text: errors before and after, what was fitted, what was refused and why."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rich.console import Console

    from rooflab.evidence.calibrate import Calibration, Constant

__all__ = ["show_calibration"]

_NOTHING_S = 1e-9
"""Seconds below which a constant is shown as none."""


def show_calibration(calibration: Calibration, out: Console) -> None:
    """Print each fit and its constants."""
    from rich.table import Table

    for stage in calibration.stages:
        verdict = "" if stage.kept else " [red]kept as shipped: left-out rows get no better[/]"
        out.print(f"[bold]{stage.name}[/] · {len(stage.rows)} rows{verdict}", soft_wrap=True)
        out.print(
            f"  median error {_percent(stage.before[0])} before, {_percent(stage.after[0])} after, "
            f"{_percent(stage.left_out[0])} on configurations left out (p90 {_percent(stage.before[1])}, {_percent(stage.after[1])}, "
            f"{_percent(stage.left_out[1])})",
            soft_wrap=True,
        )
        table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim", show_edge=False)
        for name, side in (("constant", "left"), ("shipped", "right"), ("now", "right"), ("±", "right"), ("", "left")):
            table.add_column(name, justify="right" if side == "right" else "left", no_wrap=bool(name), min_width=8 if name else 20)
        for c in stage.constants:
            table.add_row(
                f"{c.owner} {c.name}",
                _value(c, c.shipped),
                _value(c, c.value) if c.fitted else "",
                _value(c, c.deviation) if c.fitted else "",
                f"[dim]not fitted: {c.refused}[/]" if c.refused else "",
            )
        out.print(table)
        out.print()
    for reason, n in Counter(calibration.unused.values()).most_common():
        out.print(f"{n} rows not used: {reason}", soft_wrap=True, markup=False)


def _value(c: Constant, value: float) -> str:
    if c.name.endswith("_s"):
        return format_seconds(value if value >= _NOTHING_S else 0.0)
    return significant(value)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100:.1f} %"

"""A calibration as text: what came of it first, then each fit, what stays as shipped and why, which rows no fit
used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rooflab.report.text.console import literal
from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rich.console import Console

    from rooflab.evidence.calibrate.calibrate import Calibration, Constant, Stage

__all__ = ["show_calibration"]

_NOTHING_S: Final = 1e-9
"""Seconds below which a constant is shown as none."""
_NAMED: Final = 3
"""Rows of one reason that are named before the rest are counted."""


def show_calibration(
    calibration: Calibration, out: Console, *, not_modelled: Mapping[str, str] | None = None, quiet: bool = False
) -> None:
    """Print a calibration; `not_modelled` are rows that are no questions to the engine, by id, with the reason."""
    left_out = {**(not_modelled or {}), **calibration.unused}
    out.print(_answer(calibration, len(left_out)), soft_wrap=True)
    if not quiet:
        for stage in calibration.stages:
            out.print()
            _stage(stage, out)
    if left_out:
        out.print()
        for reason, n in Counter(left_out.values()).most_common():
            names = [i for i, r in left_out.items() if r == reason]
            more = f" and {n - _NAMED} more" if n > _NAMED else ""
            rows = f"{n} row{'s' if n > 1 else ''} not used ({', '.join(names[:_NAMED])}{more})"
            out.print(literal(f"{rows}: {reason}"), soft_wrap=True)


def _answer(c: Calibration, left_out: int) -> str:
    fitted = [k for s in c.stages if s.kept for k in s.constants if k.fitted]
    used = sum(len(s.rows) for s in c.stages)
    if not fitted:
        return (
            f"[bold]Nothing fitted[/]: {used} rows tell no constant better than the shipped ones ({left_out} rows "
            f"not used)"
        )
    owners = list(dict.fromkeys(k.owner for k in fitted))
    more = f" and {len(owners) - _NAMED} more" if len(owners) > _NAMED else ""
    of = f"{literal(', '.join(owners[:_NAMED]))}{more}"
    return (
        f"[bold]{len(fitted)} constant{'s' * (len(fitted) > 1)} fitted[/] of {of}, to {used} rows ({left_out} not used)"
    )


def _stage(stage: Stage, out: Console) -> None:
    from rich.table import Table

    out.print(
        f"[bold]{literal(stage.name)}[/] · {len(stage.rows)} rows{'' if stage.kept else ' · [red]stays as shipped[/]'}",
        soft_wrap=True,
    )
    out.print(
        f"  median error {_percent(stage.before[0])} before, {_percent(stage.after[0])} after, "
        f"{_percent(stage.left_out[0])} on configurations left out (p90 {_percent(stage.before[1])}, "
        f"{_percent(stage.after[1])}, "
        f"{_percent(stage.left_out[1])})",
        soft_wrap=True,
    )
    fitted = [c for c in stage.constants if c.fitted]
    if fitted:
        table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim", show_edge=False)
        for name, side in (("constant", "left"), ("shipped", "right"), ("now", "right"), ("±", "right"), ("", "left")):
            table.add_column(
                name, justify="right" if side == "right" else "left", no_wrap=bool(name), min_width=8 if name else 20
            )
        for c in fitted:
            also = (
                f"[dim]also stands for {literal(', '.join(c.stands_for))}: these rows cannot tell them apart[/]"
                if c.stands_for
                else ""
            )
            table.add_row(
                literal(f"{c.owner} {c.name}"), _value(c, c.shipped), _value(c, c.value), _value(c, c.deviation), also
            )
        out.print(table)
    for reason, names in _refused(stage.constants).items():
        out.print(f"  [dim]not fitted: {literal(', '.join(names))}: {literal(reason)}[/]", soft_wrap=True)


def _refused(constants: Sequence[Constant]) -> dict[str, list[str]]:
    """Names of constants that stay as shipped, by reason; those of devices with the device."""
    owners = {c.owner for c in constants}
    out: dict[str, list[str]] = {}
    for c in constants:
        if c.refused:
            out.setdefault(c.refused, []).append(
                c.name if len(owners) == 1 or "/" in c.owner else f"{c.owner} {c.name}"
            )
    return out


def _value(c: Constant, value: float) -> str:
    if c.name.endswith("_s"):
        return format_seconds(value if value >= _NOTHING_S else 0.0)
    return significant(value)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share * 100:.1f} %"

"""One fit after the other: what the stages of serving share, and what each leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from rooflab.costs.engine_constants import EngineOverhead, ServingCalibration, using
from rooflab.evidence.fit.priors import Prior
from rooflab.evidence.fit.serving import Fit, FitRow, fit_group
from rooflab.evidence.rows.predict import is_rate, predict, times

__all__ = ["FEWEST", "FEWEST_OF_DEVICE", "Apply", "Fitting", "Group", "holds_out", "without_device"]

Group = tuple[str, str, str]
"""Source, model, accelerator."""
Apply = Callable[[Mapping[str, float], ServingCalibration], ServingCalibration]
"""(constants, table) → the table with these constants."""

FEWEST: Final = 8
"""A group of fewer rows keeps the constants of the next more general entry."""
FEWEST_OF_DEVICE: Final = 4
"""A device of fewer rows keeps the shares of its relative or family."""
_ROUNDS_NEAR: Final = 2
"""Times that slopes are drawn where constants start near others that were fitted."""


class Fitting:
    """Rows to fit to, and what the fits so far have left: held-out predictions by row id, and constants without each
    group.

    With `near`, constants start from that calibration's and are drawn up to twice, without held-out errors. `tell`
    hears a line of each fit.
    """

    def __init__(
        self, rows: Sequence[FitRow], date: str, near: ServingCalibration | None, tell: Callable[[str], None]
    ) -> None:
        self.rows, self.date, self.near, self.tell = rows, date, near, tell
        self.held: dict[str, float] = {}
        self._left_out: list[tuple[Mapping[Group, Mapping[str, float]], Apply]] = []

    def without(self, group: Group, *, table: ServingCalibration) -> ServingCalibration:
        """A trained table with the constants of engines and hosts as they come out without a group's rows."""
        for values, apply in self._left_out:
            if group in values:
                table = apply(values[group], table)
        return table

    def fit(
        self,
        rows: Sequence[FitRow],
        priors: Mapping[str, Prior],
        start: Mapping[str, float],
        apply: Callable[[Mapping[str, float]], ServingCalibration],
        *,
        rounds: int = 3,
        outliers: bool = False,
        held_out: bool = False,
    ) -> Fit:
        """A stage's fit; `held_out`: what follows needs its held-out errors in any case."""
        if self.near is not None:
            rounds = min(rounds, _ROUNDS_NEAR)
        return fit_group(
            rows, priors, start, apply, rounds=rounds, outliers=outliers, held_out=held_out or self.near is None
        )

    def done(self, name: str, rows: Sequence[FitRow], fit: Fit, apply: Apply | None = None) -> None:
        """Keep what a fit held out; `apply` where its constants take part in predictions without a group."""
        if apply is not None:
            self._left_out.append((fit.without, apply))
        for row, held in zip(rows, fit.held_out, strict=True):
            value = 1.0 / held if is_rate(row.question) else held
            self.held[row.question.id] = float(value)
        values = {k: float(f"{v:.3g}") for k, v in fit.values.items()}
        self.tell(
            f"{name}: {fit.rows} rows, {fit.median:.3f} in sample, {fit.held_out_median:.3f} / {fit.held_out_p90:.3f} "
            f"held out {values}"
        )

    def begin(self, key: str, found: EngineOverhead) -> EngineOverhead:
        """Where an entry's constants start: from `near`, or from the entry that priced it so far."""
        return found if self.near is None else self.near.engines.get(key, found)

    def note(self, fit: Fit, rows: Sequence[FitRow]) -> dict[str, Any]:
        """What an entry says of its fit."""
        sources = sorted({r.source for r in rows if r.fitted})
        text = (
            f"{fit.rows} rows of {', '.join(sources)}: {fit.median:.0%} median, {fit.held_out_median:.0%} held out; "
            f"fitted {self.date}"
        )
        return {"provenance": "fitted", "source": text}


def holds_out(rows: Sequence[FitRow], fit: Fit, without: ServingCalibration) -> bool:
    """Whether factors fitted to other rows of a device foretell its rows better than no factors do (they need two
    groups for that)."""
    questions = [r.question for r in rows]
    measured = times(questions, np.array([q.measured for q in questions]))
    with using(without):
        plain = times(questions, predict(questions))
    told = np.array([r.fitted for r in rows])
    return float(np.nanmean(np.abs(fit.held_out / measured - 1)[told])) < float(
        np.nanmean(np.abs(plain / measured - 1)[told])
    )


def without_device(key: str, table: ServingCalibration) -> ServingCalibration:
    """`table` without factors of device (or family) `key`."""
    return replace(table, devices={k: v for k, v in table.devices.items() if k != key})

"""One outcome from those of several seeds: each figure as their mean, from its lowest to its highest value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from rooflab.papers.outcome import Account, Figure, Outcome
from rooflab.papers.work import Cells

__all__ = ["over_seeds", "same_figures"]


def over_seeds(outcomes: Sequence[Outcome], first: int) -> Outcome:
    """The outcomes of seeds from `first` on as one; reason, files and plot are those of the first."""
    if len(outcomes) == 1:
        return outcomes[0]
    whole = outcomes[0]
    figures = tuple(_over([f for o in outcomes for f in o.figures if f.name == one.name]) for one in whole.figures)
    notes = list(dict.fromkeys(note for o in outcomes for note in o.notes))
    notes.append(f"figures are means over {len(outcomes)} seeds; the reason, files and plot are those of seed {first}")
    rare = sorted({f.name for o in outcomes for f in o.figures} - {f.name for f in whole.figures})
    if rare:
        notes.append(f"only with other seeds: {', '.join(rare)}")
    assumed = {a.name: a for o in outcomes for a in o.account.assumed}
    account = Account(_cells(outcomes), tuple(assumed.values()), any(o.account.partial for o in outcomes))
    return replace(whole, figures=figures, notes=tuple(notes), account=account)


def _over(figures: Sequence[Figure]) -> Figure:
    values = [f.value for f in figures]
    base = [f.baseline for f in figures if f.baseline is not None]
    return replace(
        figures[0], value=fmean(values), baseline=fmean(base) if len(base) == len(values) else None,
        spread=(min(values), max(values)), runs=len(values), over="seeds", level=0.0,
        partial=any(f.partial for f in figures),
    )  # fmt: skip


def _cells(outcomes: Sequence[Outcome]) -> tuple[Cells, ...]:
    every = [c for o in outcomes for c in o.account.cells]
    return tuple(
        Cells(
            name, *(sum(getattr(c, part) for c in every if c.name == name) for part in ("wanted", "kept", "computed"))
        )
        for name in dict.fromkeys(c.name for c in every)
    )


def same_figures(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes have the same figures, those aside that a clock measured."""
    first, second = ({f.name: (f.value, f.baseline) for f in o.figures if f.how != "measured"} for o in (one, other))
    return repr(first) == repr(second)

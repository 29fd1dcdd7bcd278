"""NanoFlow's search on a reader's own profile of a layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.row_files import csv_bytes
from rooflab.inputs.table import Table
from rooflab.library.serving.nanoflow.profile import COMPUTE, Profile, profile_of
from rooflab.library.serving.nanoflow.search import Found, search, whole_s
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Count, Range
from rooflab.papers.technique import require

__all__ = ["NanoBatches"]

F64 = npt.NDArray[np.float64]


class NanoBatches(Method[Table]):
    """Find number, sizes, order and shares of nano-batches for a layer of which a table tells the times (columns
    operation, resource, tokens, time_s, share, after: `profile`).

    `batch`: tokens of a dense batch (0: the largest size that every operation was timed at); `most`: nano-batches that
    are tried at most; without `overlap` they run one after the other.
    """

    key = "nano_batches"
    batch: Count = 0
    most: Annotated[int, Range(2, 4)] = 3
    overlap: bool = True

    def ablated(self, seed: int) -> NanoBatches:
        """The same nano-batches, one operation after the other."""
        return replace(self, overlap=False)

    def run(self, lab: Lab, given: Table) -> Outcome:
        """Search, and run the pipeline that was found."""
        profile = profile_of(given, float(self.batch))
        require(len(profile.operations) > 1, "one operation has nothing to run beside")
        found = search(profile, self.most)
        apart = float(profile.seconds(found.parts).sum())
        period_s = found.period_s if self.overlap else apart
        whole, products = whole_s(profile), float(profile.seconds((1.0,))[list(profile.of(COMPUTE))].sum())
        gain = whole / period_s
        sizes = [profile.batch * p for p in found.parts]
        figures = (
            Figure(
                name="time of a layer", value=period_s, unit="s", how="modelled", baseline=whole, better="lower",
            ),
            Figure(name="cut and one after the other", value=apart, unit="s", how="modelled"),
            Figure(name="products alone, in one piece", value=products, unit="s", how="modelled"),
            Figure(name="nano-batches", value=float(len(sizes)), how="executed"),
            Figure(name="smallest nano-batch", value=min(sizes), unit="tokens", how="executed"),
            Figure(name="largest nano-batch", value=max(sizes), unit="tokens", how="executed"),
        )  # fmt: skip
        notes = [
            f"no {r} kernel was timed beside products (share below 1): rates are the paper's for A100"
            for r in dict.fromkeys(op.resource for op in profile.operations if not op.timed_beside)
        ]
        below = [op.name for op in profile.operations if op.sizes[0] > min(sizes)]
        if below:
            notes.append(
                f"{', '.join(below)}: no timing of as few as {min(sizes):,.0f} tokens, which are taken to need as long "
                f"as the fewest that were timed; time smaller parts, too"
            )
        return Outcome(
            figures, self._because(profile, found, gain),
            files={"pipeline.csv": _csv(profile, found)} if self.overlap else {},
            plot=_plot(profile, found), notes=tuple(notes),
        )  # fmt: skip

    def _because(self, profile: Profile, found: Found, gain: float) -> str:
        if not self.overlap:
            return f"nothing overlaps; cutting alone makes a layer {1 / gain:.3f} times as long"
        shares = ", ".join(
            f"{op.name} {share:.0%} of the units"
            for op, share in zip(profile.operations, found.order.share, strict=True)
            if op.resource != COMPUTE
        )
        pays = "shortens" if gain > 1 else "does not shorten"
        return (
            f"overlapping {len(found.parts)} nano-batches {pays} a layer ({gain:.3f} ×), with {shares or 'no kernel'}"
        )


def _csv(profile: Profile, found: Found) -> bytes:
    """The nano-operations of one layer in the full pipeline."""
    slots = found.run.slots
    names = profile.operations
    return csv_bytes(
        {
            "operation": [names[s.operation].name for s in slots],
            "resource": [names[s.operation].resource for s in slots],
            "nano_batch": [s.nano_batch + 1 for s in slots],
            "tokens": [profile.batch * found.parts[s.nano_batch] for s in slots],
            "share": [found.order.share[s.operation] or None for s in slots],
            "start_s": [s.start_s for s in slots], "end_s": [s.end_s for s in slots],
        }
    )  # fmt: skip


def _plot(profile: Profile, found: Found) -> Plot:
    """Nano-batches over time: the operation that each is in."""
    place = {o: i + 1.0 for i, o in enumerate(range(len(profile.operations)))}
    lines = []
    for b in range(len(found.parts)):
        mine = [s for s in found.run.slots if s.nano_batch == b]
        x = [1e3 * t for s in mine for t in (s.start_s, s.end_s)]
        y = [place[s.operation] for s in mine for _ in range(2)]
        lines.append(Series(f"nano-batch {b + 1}", tuple(x), tuple(y)))
    return Plot("A layer's nano-batches in the pipeline", "ms", "operation, in the order of the table", tuple(lines))

"""The fit on a reader's log: what prompts and tokens cost when nothing else runs (section 4, denoised runtime)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.idealized_runtime.cost import OUTPUTS, grid, seconds_of
from rooflab.library.serving.idealized_runtime.fit import F64, Runtime, Timings, denoised, fit, held_out_error
from rooflab.library.serving.idealized_runtime.log import by_model, runtimes
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import PositiveInt

__all__ = ["DenoisedRuntime"]

_EXPLAINS: Final = 0.9
"""R² below which a log's least runtimes are said to hold more than prompts and tokens."""
_LINES: Final = 3
"""Models that a plot shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """One model of a log: all its requests and the fit to them, the least disturbed ones and theirs."""

    label: str
    every: Timings
    kept: Timings
    raw: Runtime
    fitted: Runtime

    @property
    def stretch(self) -> float:
        """Median of runtimes over idealized ones."""
        alone = self.fitted.seconds(self.every.prompt, self.every.output)
        return float(np.median(self.every.seconds / np.maximum(alone, 1e-12)))


class DenoisedRuntime(Method[Runs]):
    """The fit on a log of requests: what prompts and tokens cost when nothing else runs.

    `start` and `end` name columns that say when service began and ended, where a log has them; else `duration_s`
    counts. `model`: only this one of the log. `device` and `devices` served it: hours of a profile then cost money and
    energy. `trials` of each query or point of a profile.
    """

    start: str = ""
    end: str = ""
    model: str = ""
    device: str = ""
    devices: PositiveInt = 1
    trials: PositiveInt = 50

    def run(self, lab: Lab, given: Runs) -> Outcome:
        """Execute on a log of the reader. Raises InputError where it lacks lengths or runtimes."""
        logs = list(by_model(given, runtimes(given, self.start, self.end), self.model))
        found, notes = {}, []
        for name, log, unusable in logs:
            label = f"{name}: " if len(logs) > 1 else ""
            t = self._dealt(log, lab)
            kept = denoised(t)
            found[name or "all requests"] = _Fitted(label=label, every=t, kept=kept, raw=fit(t), fitted=fit(kept))
            wrong = found[name or "all requests"].fitted.impossible
            if wrong:
                notes.append(f"{label}below zero by the fit, so that it is no model of these requests: {wrong}")
            if unusable:
                notes.append(f"{label}{unusable:,} requests without lengths or runtime are left out")
        figures = [figure for one in found.values() for figure in (*_figures(lab, one), *self._costs(lab, one))]
        said = "; ".join(one.label + _sentence(one) for one in found.values())
        fits = {name: one.fitted for name, one in found.items()}
        files = {"idealized-runtime.json": json.dumps({n: _record(r) for n, r in fits.items()}, indent=1).encode()}
        return Outcome(tuple(figures), f"{said}.", files, _lines(fits), tuple(notes))

    def ablated(self, seed: int) -> DenoisedRuntime:
        """Answer lengths given to other requests: tokens explain nothing."""
        return _Dealt(**self.parameters())

    def _dealt(self, t: Timings, lab: Lab) -> Timings:
        """The requests as they are; the method without its idea draws answer lengths anew."""
        return t

    def _costs(self, lab: Lab, one: _Fitted) -> list[Figure]:
        """Timing every query by itself against a profile of f's points, by the fit."""
        points = grid(one.fitted.prompts, np.array(OUTPUTS, dtype=np.float64))
        held = self.trials * self.devices / 3600
        once = seconds_of(one.fitted, *points) * held
        every = seconds_of(one.fitted, one.every.prompt, one.every.output) * held
        rows = [("evaluation by a profile", "device-hours", 1.0)]
        if self.device:
            hardware = lab.hardware(f"{self.devices} x {self.device}")
            rows.append(("energy of a profile", "kWh", hardware.device.tdp_w / 1000))
            if hardware.usd_per_device_hour is not None:
                rows.append(("price of a profile", "USD", hardware.usd_per_device_hour))
        return [
            Figure(name=one.label + name, value=once * each, unit=unit, baseline=every * each, better="lower",
                   how="modelled" if unit == "kWh" else "executed")
            for name, unit, each in rows
        ]  # fmt: skip


class _Dealt(DenoisedRuntime):
    """The fit on requests whose answers were dealt out anew."""

    key = "denoised_runtime"

    def _dealt(self, t: Timings, lab: Lab) -> Timings:
        return replace(t, output=lab.rng("shuffled answers").permutation(t.output))


def _figures(lab: Lab, one: _Fitted) -> list[Figure]:
    """What the fit says of one model; baselines are the same fit on every request as it was."""
    parts = f"parts {one.label}"
    error, raw_error = (100 * held_out_error(t, lab.rng(parts)) for t in (one.kept, one.every))
    rows: list[tuple[str, float, str, float, Literal["higher", "lower", ""]]] = [
        ("an output token", one.fitted.g_s, "s", one.raw.g_s, ""),
        ("R² of the fit", one.fitted.r2, "", one.raw.r2, "higher"),
        ("error on held-out requests", error, "percent", raw_error, "lower"),
    ]
    for p in _spread(one.fitted.prompts):
        f_s, raw_s = (float(r.prompt_seconds(p)) for r in (one.fitted, one.raw))
        rows.append((f"prompt of {p:,.0f}", f_s, "s", raw_s, ""))
    made = [
        Figure(name=one.label + name, value=value, unit=unit, how="executed", baseline=base, better=better)
        for name, value, unit, base, better in rows
    ]
    made.append(Figure(name=f"{one.label}runtime over idealized", value=one.stretch, unit="x", how="executed"))
    return made


def _spread(prompts: F64) -> F64:
    """Up to four prompt lengths at which f is reported: the ends and two between."""
    shown: F64 = prompts[np.linspace(0, len(prompts) - 1, min(len(prompts), 4)).round().astype(int)]
    return shown


def _sentence(one: _Fitted) -> str:
    """What the fit says of a model, and whether it can be believed."""
    if one.fitted.r2 < _EXPLAINS:
        return (
            f"output tokens explain {max(one.fitted.r2, 0.0):.0%} of what even the {len(one.kept):,} least disturbed "
            f"requests took beyond their prompts: they waited, too, or ran beside others; time an idle server, or name "
            f"columns of service (start, end)"
        )
    return (
        f"alone, every further token takes {one.fitted.g_s:.3g} s whatever the prompt; of {len(one.every):,} requests "
        f"the median took {one.stretch:.2f} times its idealized runtime"
    )


def _record(fitted: Runtime) -> dict[str, object]:
    return {
        "seconds_per_output_token": fitted.g_s, "r2": fitted.r2,
        "seconds_of_prompt": {f"{p:g}": float(s) for p, s in zip(fitted.prompts, fitted.f_s, strict=True)},
    }  # fmt: skip


def _lines(fits: Mapping[str, Runtime]) -> Plot:
    outputs = tuple(float(o) for o in OUTPUTS)
    lines = tuple(
        Series(f"{name}, prompt {p:,.0f}", outputs, tuple(float(x) for x in r.seconds(p, np.array(outputs))))
        for name, r in list(fits.items())[:_LINES]
        for p in dict.fromkeys((float(r.prompts[0]), float(r.prompts[-1])))
    )
    return Plot("Idealized runtime", "output tokens", "seconds", lines)

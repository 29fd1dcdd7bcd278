"""Fit kernel curves, attention and collectives of a device to a user's own timings, starting from the curves that price
it now.

Constants are fitted as what times are nearly straight in: launch times as multiples of the present one, shares of a
datasheet figure by their inverse.  A share never passes 1, so no fitted curve beats the datasheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.costs.fit_file import CURVE_TYPES, Curve, Fit
from rooflab.costs.user_kernels import UserKernels
from rooflab.evidence.calibrate.kernel_csv import KernelRows, measured_device
from rooflab.evidence.fit.identify import FEWEST, Constant, Stage, find
from rooflab.evidence.fit.kernels import form_of, predict
from rooflab.evidence.fit.priors import Prior

__all__ = ["fit_kernels"]

Array = npt.NDArray[np.float64]

_NOISE: Final = 0.15
"""Standard deviation of log(measured/predicted) that the forms themselves leave on tables of thousands of timings."""
_SHARES: Final = frozenset({"ec", "em", "e", "io", "b", "b1", "b2"})
_WIDTHS: Final[Mapping[str, float]] = {
    "t0_s": 0.6,
    "a_s": 0.6,
    "r_s": 0.6,
    "x_s": 0.6,
    "q": 0.3,
    "narrow": 0.5,
    "alpha": 0.3,
}
_SHARE_WIDTH, _OTHER_WIDTH = 0.4, 0.6
"""How far constants stray between devices of a family, as a share of the present value."""
_MOST_ROWS: Final = 2000
"""Timings that enter a fit; of more, as many are drawn at random. Errors are those of the rows drawn."""
_FASTER: Final = 1.05
"""How much faster than the datasheet a timing may look before it is left out: clocks boost, timers round."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """A constant as it is fitted: multiples of `unit`, inverted for a share of a datasheet figure."""

    name: str
    unit: float
    share: bool

    def value(self, x: float) -> float:
        """The constant itself."""
        return self.unit / x if self.share else self.unit * x

    def deviation(self, x: float, dx: float) -> float:
        """Standard deviation of the constant for that of its multiple."""
        return self.unit / x**2 * dx if self.share else self.unit * dx


def fit_kernels(
    groups: Sequence[KernelRows], table: ServingCalibration, date: str
) -> tuple[list[Stage], ServingCalibration, dict[str, str]]:
    """The fits by device, engine and kernel, the calibration with what was kept of them, and the reason by id of unused
    timings."""
    stages: list[Stage] = []
    unused: dict[str, str] = {}
    for given in groups:
        unused |= given.unused
        with using(table):
            group, faster = _possible(given)
            unused |= faster
            if len(group.rows) < FEWEST:
                few = (
                    f"{len(group.rows)} timing{'s' * (len(group.rows) != 1)} of {group.key} on "
                    f"{group.hardware.device.key}"
                )
                names = ", ".join(form_of(measured_device(group.hardware), group.key).free)
                unused |= dict.fromkeys(group.ids, f"{few} cannot identify {names}: {FEWEST} at least")
                continue
            stage, curve = _fit(group)
        stages.append(stage)
        if curve is not None:
            table = _with(table, group, curve, stage, date)
    return stages, table, unused


def _possible(group: KernelRows) -> tuple[KernelRows, dict[str, str]]:
    """The timings that physics allows, drawn down to `_MOST_ROWS`; the reason by id of each other one."""
    if not len(group.rows):
        return group, {}
    device = measured_device(group.hardware)
    least_s = predict(device, group.key, _ideal(group.key), group.rows)
    fine = group.rows.seconds * _FASTER >= least_s
    reasons = {i: "faster than the datasheet allows" for i, ok in zip(group.ids, fine, strict=True) if not ok}
    index = np.flatnonzero(fine)
    if len(index) > _MOST_ROWS:
        index = np.sort(np.random.default_rng(0).choice(index, _MOST_ROWS, replace=False))
        drawn = set(index.tolist())
        reasons |= {
            n: f"not among the {_MOST_ROWS} drawn" for i, n in enumerate(group.ids) if fine[i] and i not in drawn
        }
    return replace(group, ids=tuple(group.ids[i] for i in index), rows=group.rows.take(index)), reasons


def _ideal(key: str) -> Curve:
    """The curve of a kernel that reaches the datasheet and starts at once."""
    kind = CURVE_TYPES[key.partition("/")[0]]
    ideal: dict[str, float] = {}
    for name in kind.__dataclass_fields__:
        ideal[name] = 1.0 if name in _SHARES else 0.0
    ideal |= {name: value for name, value in (("q", 60.0), ("alpha", 0.3)) if name in ideal}
    return kind(**ideal)


def _fit(group: KernelRows) -> tuple[Stage, Curve | None]:
    device = measured_device(group.hardware)
    now = _present(group)
    form = form_of(device, group.key)
    owner = f"{device.key} {group.key}" + (f" ({group.engine})" if group.engine else "")
    scales, priors = [], {}
    for name, (typical, low, high) in form.free.items():
        scale, prior = _scaled(name, getattr(now, name), typical, low, high)
        scales.append(scale)
        priors[f"{owner}:{name}"] = prior
    rows = group.rows

    def curve_at(theta: Array) -> Curve:
        values = {s.name: s.value(x) for s, x in zip(scales, theta.tolist(), strict=True)}
        curve: Curve = replace(now, **values)
        return curve

    def times_at(theta: Array) -> Array:
        return predict(device, group.key, curve_at(theta), rows)

    shapes = list(zip(*(a.tolist() for a in rows.arguments.values()), strict=True))
    found = find(times_at, priors, rows.seconds, shapes, noise=_NOISE)
    constants = tuple(
        Constant(
            owner=owner, name=s.name, shipped=s.value(p.mean), value=s.value(x),
            prior_deviation=s.deviation(p.mean, p.width), deviation=s.deviation(x, d),
            refused=found.reasons.get(i, ""),
            stands_for=found.alike.get(i, ()),
        )
        for i,
        (s, p, x,
        d) in enumerate(zip(scales, priors.values(), found.theta.tolist(), found.deviation.tolist(), strict=True))
    )  # fmt: skip
    stage = Stage(
        name=f"{owner}, kernel timings",
        rows=group.ids,
        before=found.before,
        after=found.after,
        left_out=found.left_out,
        kept=found.better,
        constants=constants,
    )
    return stage, curve_at(found.theta) if found.better else None


def _present(group: KernelRows) -> Any:
    """The curve that prices a kernel now, without what device factors add."""
    kernels = calibration_for(group.hardware.device, group.engine)
    kernel, _, fmt = group.key.partition("/")
    if kernel == "all_reduce":
        return kernels.scale_up.all_reduce
    if kernel == "moe_all_to_all":
        return kernels.moe_all_to_all
    return getattr(kernels, kernel)[fmt]


def _scaled(name: str, value: float, typical: float, low: float, high: float) -> tuple[_Scale, Prior]:
    """How a constant is fitted, and its prior centred on the present `value`."""
    if name in _SHARES:
        # the inverse: 1 is the present share, the least is what brings the share to 1
        value = min(max(value, low), 1.0)
        return _Scale(name, value, True), Prior(1.0, _SHARE_WIDTH, value, value / low, 0.1)
    unit = value if value > 0 else typical
    width = _WIDTHS.get(name, _OTHER_WIDTH)
    mean = value / unit
    return _Scale(name, unit, False), Prior(mean, width, min(low / unit, mean), max(high / unit, mean), 0.1)


def _with(table: ServingCalibration, group: KernelRows, curve: Curve, stage: Stage, date: str) -> ServingCalibration:
    """The calibration with one more curve of a device."""
    key = group.hardware.device.key
    before = table.kernels.get(key)
    fit = Fit(
        device=key,
        engine=group.engine,
        provenance="fitted",
        rows=len(group.ids),
        median_error=stage.after[0],
        p90_error=stage.after[1],
        mine=True,
    )
    places = [group.key, "all_to_all"] if group.key == "moe_all_to_all" else [group.key]
    curves = {**(before.curves if before else {}), **{(group.engine, place): (curve, fit) for place in places}}
    return replace(table, kernels={**table.kernels, key: UserKernels(curves, f"kernel timings of {date}", date)})

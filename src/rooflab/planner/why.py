"""Why a choice stands where it does: where its time goes, what its memory holds, and the neighbours that it was
compared with: by what simulations say of both, or else by the closed form, which is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from rooflab.estimator.serving.answer import BOTTLENECKS
from rooflab.launch.label import bound_name, bound_value, shape_label
from rooflab.planner.judge import Judged, violations
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof
from rooflab.planner.result import Choice, Violation
from rooflab.planner.space import shape
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.units import format_quantity, format_seconds

__all__ = ["reasons"]


_CLOSED_FORM: Final = " (closed form)"


@dataclass(frozen=True, slots=True)
class _Field:
    """The candidates of a plan, and what simulations say of those that were proven."""

    base: Scenario
    judged: Judged
    proofs: Mapping[Deployment, Proof]

    def against(self, row: int, choice: Choice) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Metrics of a candidate and of a choice by the same engine, and a word where that is the closed form."""
        there = {name: float(values[row]) for name, values in self.judged.metrics.items()}
        proof = self.proofs.get(self.judged.deployments[row])
        if proof is not None and choice.proof is not None:
            return there | dict(proof.metrics), choice.seen, ""
        return there, choice.metrics, "" if choice.proof is None else _CLOSED_FORM

    def broken(self, row: int, choice: Choice) -> tuple[tuple[Violation, ...], str]:
        """The bounds that a candidate breaks, worst first, as simulated where it was."""
        proof = self.proofs.get(self.judged.deployments[row])
        if proof is None:
            return violations(self.base, self.judged, row), "" if choice.proof is None else _CLOSED_FORM
        got = {key: (float(proof.metrics[SLO.metric(key)]), limit) for key, limit in self.base.slo}
        found = [Violation(key, value, limit, value / limit) for key, (value, limit) in got.items() if value > limit]
        return tuple(sorted(found, key=lambda v: -v.over)), ""


def reasons(
    base: Scenario, judged: Judged, proofs: Mapping[Deployment, Proof], target: Objective, choices: tuple[Choice, ...]
) -> list[tuple[str, ...]]:
    """Computed comparisons of each choice, in words: for the best its neighbours, for the others how they differ from
    the best."""
    return [_reasons(_Field(base, judged, proofs), target, choice, choices[0]) for choice in choices]


def _reasons(field: _Field, target: Objective, choice: Choice, best: Choice) -> tuple[str, ...]:
    base, judged = field.base, field.judged
    time = _time(choice)
    if choice.rank > 1:
        return (_against(target, choice, best), time)
    shapes = _rows_of_each_shape(judged, target)
    compared = [
        text
        for changes in _neighbours(choice.deployment, base)
        if (rows := shapes.get(shape(choice.deployment.changed(**changes))))
        and (text := _neighbour(field, target, choice, _likest(judged, rows, choice.deployment)))
    ]
    return tuple(dict.fromkeys(x for x in (time, _memory(choice), *compared, _fewer(field, target, choice)) if x))


def _time(c: Choice) -> str:
    """Shares of a mean step, largest first, down to 5 %."""
    shares = sorted(((float(c.metrics[f"share_{name.replace(' ', '_')}"]), name) for name in BOTTLENECKS), reverse=True)
    words = ", ".join(f"{share * 100:.0f} % {name}" for share, name in shares if share >= 0.05)
    return f"a mean step is {words}"


def _memory(c: Choice) -> str:
    m, device = c.metrics, c.scenario.hardware.device
    if c.scenario.model.kind != "decoder":
        return ""
    weights, kv = (format_quantity(float(m[k]), "B") for k in ("weights_bytes", "kv_bytes"))
    total = format_quantity(device.memory_bytes, "B")
    held = round(float(m["max_running"]))
    room = f"room for {held:,} {'sequence' if held == 1 else 'sequences'}, {m['running']:,.0f} at a time on average"
    return f"a device holds {weights} of weights and {kv} of cache in {total}; {room}"


def _rows_of_each_shape(judged: Judged, target: Objective) -> dict[tuple[Any, ...], list[int]]:
    """Rows that fit by shape, best first."""
    cost = target.cost(judged.metrics[target.metric])
    order = np.lexsort((judged.worst, np.where(judged.feasible, cost, 0.0), ~judged.feasible))
    out: dict[tuple[Any, ...], list[int]] = {}
    for i in order[judged.fits[order]]:
        out.setdefault(shape(judged.deployments[i]), []).append(int(i))
    return out


def _likest(judged: Judged, rows: list[int], d: Deployment) -> int:
    """Of a shape's rows the one with the same limits, if it meets the targets; else the best of them."""
    for i in rows:
        other = judged.deployments[i]
        same = (other.limits.max_num_seqs, other.limits.max_num_batched_tokens, other.limits.chunked_prefill)
        if (
            same == (d.limits.max_num_seqs, d.limits.max_num_batched_tokens, d.limits.chunked_prefill)
            and judged.feasible[i]
        ):
            return i
    return rows[0]


def _neighbours(d: Deployment, base: Scenario) -> list[dict[str, Any]]:
    """One step away: half and twice the tensor degree on the same devices, the other formats."""
    tp, n = d.split.tp or 1, d.cluster.replicas or 1
    spread = d.split.ep == tp * d.split.dp * d.split.cp and (d.split.ep or 1) > 1
    out: list[dict[str, Any]] = []
    if tp % 2 == 0:
        out.append({"tp": tp // 2, "replicas": n * 2} | ({"ep": tp // 2 * d.split.dp * d.split.cp} if spread else {}))
    if n % 2 == 0:
        out.append({"tp": tp * 2, "replicas": n // 2} | ({"ep": tp * 2 * d.split.dp * d.split.cp} if spread else {}))
    out += [{"weights": w} for w in (None, "fp8") if w != d.formats.weights]
    out += [{"kv": kv} for kv in (None, "fp8") if kv != d.formats.kv]
    return out


def _neighbour(field: _Field, target: Objective, c: Choice, row: int) -> str:
    """How a neighbour compares; empty for the choice itself in other words (a format that the engine takes anyway)."""
    d = field.judged.deployments[row]
    name = shape_label(replace(field.base, deployment=d), c.deployment)
    if name == shape_label(c.scenario, c.deployment):
        return ""
    broken, by = field.broken(row, c)
    if broken:
        v = broken[0]
        if v.bound == "rate":
            return f"{name} {_short(v)}"
        return f"{name} breaks {bound_name(v.bound)}: {bound_value(v.bound, v.got)}{by}"
    there, here, by = field.against(row, c)
    return f"{name}: {_differences(target, there, here)}{by}"


def _differences(target: Objective, there: dict[str, Any], here: dict[str, Any]) -> str:
    parts = []
    change = target.worse_by(float(there[target.metric]), float(here[target.metric]))
    parts.append(
        f"{target.title} "
        f"{'equal' if abs(change) < 0.005 else f'{abs(change) * 100:.0f} % ' + ('worse' if change > 0 else 'better')}"
    )
    for key, title in (("tpot_s_p99", "TPOT p99"), ("ttft_s_p99", "TTFT p99")):
        a, b = float(there[key]), float(here[key])
        if key != target.metric and np.isfinite(a) and np.isfinite(b) and abs(a / b - 1) >= 0.02:
            parts.append(f"{title} {format_seconds(a)} ({(a / b - 1) * 100:+.0f} %)")
    a, b = float(there["share_communication"]), float(here["share_communication"])
    if abs(a - b) >= 0.02:
        parts.append(f"{a * 100:.0f} % of a step on communication against {b * 100:.0f} %")
    return ", ".join(parts)


def _against(target: Objective, c: Choice, best: Choice) -> str:
    seen = c.proof is not None and best.proof is not None
    text = f"against 1: {_differences(target, *((c.seen, best.seen) if seen else (c.metrics, best.metrics)))}"
    return f"{text}; {c.quality}" if c.quality != best.quality else text


def _fewer(field: _Field, target: Objective, c: Choice) -> str:
    """Why not fewer devices: the best candidate on fewer, or the nearest one and what it breaks."""
    judged = field.judged
    devices = np.array([d.devices for d in judged.deployments])
    rows = np.flatnonzero(judged.fits & (devices < c.devices))
    if not len(rows):
        return f"no split of fewer than {c.devices} devices holds the model and one sequence" if c.devices > 1 else ""

    def name(row: int) -> str:
        return shape_label(replace(field.base, deployment=judged.deployments[row]), c.deployment)

    feasible = rows[judged.feasible[rows]]
    if len(feasible):
        row = int(feasible[np.argmin(target.cost(judged.metrics[target.metric][feasible]))])
        broken, by = field.broken(row, c)
        if broken:
            v = broken[0]
            return f"on fewer devices the best is {name(row)}: {bound_name(v.bound)} {bound_value(v.bound, v.got)}{by}"
        there, here, by = field.against(row, c)
        change = target.worse_by(float(there[target.metric]), float(here[target.metric]))
        return (
            f"on fewer devices the best is {name(row)}: {target.title} {change * 100:.0f} % worse{by}"
            if change > 0.005
            else ""
        )
    row = int(rows[np.argmin(judged.worst[rows])])
    v, by = violations(field.base, judged, row)[0], "" if c.proof is None else _CLOSED_FORM
    over = _short(v) if v.bound == "rate" else f"has {bound_name(v.bound)} {bound_value(v.bound, v.got)}{by}"
    return f"fewer devices do not do: {name(row)}, the nearest, {over}"


def _short(v: Violation) -> str:
    """What a deployment that does not keep up serves."""
    share = v.got / v.limit
    return f"serves {share * 100:.0f} % of the rate" if share < 0.995 else "is saturated"

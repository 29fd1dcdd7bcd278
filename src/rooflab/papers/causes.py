"""What a change of a scenario is made of: where a token's time goes before and after, and each cause alone.

Shares of a step say little about a cause: a product that turns from bound by memory to bound by arithmetic moves from
one share to another without taking longer. Here the time that devices spend on a generated token is told in seconds, so
that its parts add up to what throughput or TPOT say; and where several things changed, the scenario is estimated with
each of them alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, Final

from rooflab.deploy.engine import engine_of
from rooflab.errors import RooflabError
from rooflab.estimator.serving.engines import mean_step
from rooflab.estimator.serving.front import estimate_many
from rooflab.estimator.serving.load import Steady
from rooflab.papers.reasons import Reason, Sides, change, same
from rooflab.scenario.deployment import PART_OF
from rooflab.scenario.scenario import Scenario

__all__ = ["HIDDEN", "alone", "causes", "times_under_load", "times_when_full", "under_load", "when_full"]

HIDDEN: Final = "hidden behind other work"
_PARTS: Final = (
    ("products", "linear_s"), ("attention", "attention_s"), ("communication", "comm_s"), ("host", "host_s"),
)  # fmt: skip
_ON_DEVICE: Final = ("products", "attention", "communication")
_TOGETHER: Final = (
    ("weights", "activations", "experts"), ("tp", "pp", "dp", "cp", "ep", "replicas"), ("preemption", "swap"),
    ("scheduler", "batching"), ("chunked_prefill", "max_num_batched_tokens"),
)  # fmt: skip
"""Fields of a deployment that mean little one without the other: products run in the formats of both their operands,
and what is no share of the devices with one split is none with another."""
_LEAST: Final = 0.01
"""Share of a token's time below which a change of a part of it is not worth a word."""
_ROUNDING: Final = 1e-9
"""Share of a token's time that sums of its parts are off by without any of them being hidden."""


def when_full(before: Sides, after: Sides) -> tuple[Reason, ...]:
    """Seconds of a device for one generated token while engines are kept full, whole and by what they are spent on: one
    over the throughput of a device."""
    return _parts("device time a token when full", times_when_full(before, after))


def under_load(before: Sides, after: Sides) -> tuple[Reason, ...]:
    """Seconds until a sequence's next token under the scenario's load, whole and by what they are spent on: mean
    TPOT."""
    return _parts("time between tokens under this load", times_under_load(before, after))


def times_when_full(*sides: Sides) -> list[dict[str, float]]:
    """For each side seconds by what they are spent on, the whole under "", HIDDEN being what the sum of the others is
    longer; nothing for a side with pools or without tokens to generate."""
    found = []
    for m in sides:
        s = _steady(m.scenario, _running(m, m.capacity))
        if s is not None:
            devices = m.scenario.deployment.split.devices_per_replica
            found.append(_times(s, devices / float(s.decoding[0] * _pace(s))))
    return found


def times_under_load(*sides: Sides) -> list[dict[str, float]]:
    """The same of the time between two tokens of a sequence under the load."""
    found = []
    for m in sides:
        n, most = _running(m, m.load), max(_running(m, m.capacity), 1.0)
        # as the open loop has it: who arrives finds the time average before it
        s = _steady(m.scenario, min(n + 1, most), n) if m.scenario.workload.rate else _steady(m.scenario, n)
        if s is not None:
            found.append(_times(s, m.load["tpot_s_mean"] / float(s.step_s[0])))
    return found


def _running(m: Sides, metrics: Mapping[str, float]) -> float:
    """Sequences in flight in one engine."""
    return metrics.get("running", 0.0) / max(m.scenario.deployment.cluster.replicas or 1, 1)


def _steady(s: Scenario, running: float, flow: float | None = None) -> Steady | None:
    """The steady state of an engine of a completed scenario; None for pools and models without tokens to generate."""
    if s.deployment.cluster.pools or s.model.kind != "decoder":
        return None
    try:
        return mean_step(engine_of(s), s.workload, running, flow)
    except RooflabError:
        return None


def _pace(s: Steady) -> float:
    """Tokens that a sequence gains in the seconds of one step: several by speculation, fewer where stages are
    uneven."""
    return float(s.step_s[0] / s.tpot_s[0])


def _times(s: Steady, scale: float) -> dict[str, float]:
    """Seconds by what they are spent on, the whole under ""."""
    times = {name: scale * float(getattr(s.parts, of)[0]) for name, of in _PARTS}
    whole = scale * float(s.step_s[0])
    times["waits for streamed weights"] = max(whole - times["host"] - sum(times[n] for n in _ON_DEVICE), 0.0)
    hidden = sum(times.values()) - whole
    times[HIDDEN] = hidden if hidden > _ROUNDING * whole else 0.0
    return {"": whole} | times


def _parts(what: str, times: Sequence[dict[str, float]]) -> tuple[Reason, ...]:
    if len(times) < 2:
        return ()
    was, now = times
    found = list(change(what, was[""], now[""], "s", better="lower"))
    for name in [n for n in was if n]:
        hidden = name == HIDDEN
        if abs(now[name] - was[name]) > _LEAST * was[""]:
            of = f"of it {name}" if not hidden else name
            found += change(of, was[name], now[name], "s", better="higher" if hidden else "lower")
    return tuple(found)


def causes(before: Scenario, after: Scenario) -> dict[str, Scenario]:
    """What differs, each put into `before` alone: fields of the deployment, rewrites, hardware, model, workload."""
    found: dict[str, Scenario] = {}
    was, now = before.deployment.flat(), after.deployment.flat()
    left = [name for name in PART_OF if was[name] != now[name]]
    while left:
        group = next((g for g in _TOGETHER if left[0] in g), (left[0],))
        names = [name for name in left if name in group]
        left = [name for name in left if name not in group]
        what = " and ".join(_worded(name.replace("_", " "), now[name]) for name in names)
        found[what] = before.with_deployment(**{name: now[name] for name in names})
    for rewrite in after.rewrites:
        if rewrite not in before.rewrites:
            found[_called(rewrite)] = replace(before, rewrites=(*before.rewrites, rewrite))
    if before.hardware != after.hardware:
        found["hardware"] = replace(before, hardware=after.hardware)
    if before.model != after.model:
        found["model"] = replace(before, model=after.model)
    if before.workload != after.workload:
        found["workload"] = replace(before, workload=after.workload)
    return found


def alone(before: Scenario, after: Scenario, capacity: float) -> tuple[Reason, ...]:
    """Generated tokens a second and device of `before` kept full (`capacity`), and with each cause alone; nothing where
    there is one cause only."""
    found = causes(before, after)
    if len(found) < 2 or before.deployment.cluster.pools or after.deployment.cluster.pools:
        return ()
    tried: Sequence[Any] = estimate_many(list(found.values()))
    return tuple(_each(found, tried, capacity))


def _each(found: dict[str, Scenario], tried: Sequence[Any], capacity: float) -> Iterator[Reason]:
    for name, result in zip(found, tried, strict=True):
        if isinstance(result, RooflabError):
            yield Reason(words=f"{name} alone does not fit")
            continue
        got = float(result.metrics["output_tokens_per_s_per_gpu"])
        if math.isfinite(capacity) and not same(capacity, got):
            words = f"{'gained' if got > capacity else 'lost'} by {name} alone"
            yield Reason(
                words=words, what="tok/s/GPU when full", before=capacity, after=got, unit="tokens/s/device",
                better="higher",
            )  # fmt: skip


def _called(rewrite: Any) -> str:
    """A rewrite as a word: the name that it gives itself, or that of its class."""
    name = getattr(rewrite, "__name__", type(rewrite).__name__)
    return "".join(f" {c.lower()}" if c.isupper() else c for c in str(name)).replace("_", " ").strip()


def _worded(name: str, value: Any) -> str:
    """A field with its value; settings of several fields and switches go by the name."""
    if isinstance(value, bool) or is_dataclass(value):
        return f"no {name}" if value is False else name
    return f"{name} as by default" if value is None else f"{name} {value}"

"""The answer of `simulate`: DESIGN.md's metrics from records, and the parts that make them up by class and by client.

Latencies are those of finished requests. Throughput counts from the first arrival to the last token, as load
generators do, or within a window of time that leaves warm-up and drain aside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.deploy.bill import Upkeep
from rooflab.errors import unknown
from rooflab.metrics.derived import per_token
from rooflab.metrics.registry import STATISTICS
from rooflab.metrics.value import Kind, Value
from rooflab.scenario.slo import SLO
from rooflab.scenario.traffic import RequestClass
from rooflab.simulator.results.fairness import fairness
from rooflab.simulator.work.requests import ITL_EDGES_S, Requests, Result, Status

__all__ = ["LATENCIES", "ServingResult", "latency_columns", "statistics"]

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LATENCIES: Final = ("ttft_s", "tpot_s", "e2e_s", "queue_s")
_LEVELS: Final = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, kw_only=True)
class ServingResult:
    """What a run means: metrics by name (also as attributes, ``result.ttft_s_p99``), by class, by client and over time.

    `kv_blocks` are those of all replicas together (0: not known); `devices` all devices, `upkeep` what they cost.
    `weights_bytes` are resident on a device of the fullest kind, `room_bytes` left on it for cache and states (NaN: not
    known); `kind`: what the prices of steps rest on. `window_s` (from, to) counts latencies of requests that arrived in
    it and tokens made in it.
    """

    requests: Requests
    run: Result
    slo: SLO = SLO()
    classes: tuple[RequestClass, ...] = ()
    devices: int = 1
    kv_blocks: int = 0
    upkeep: Upkeep = Upkeep()
    weights_bytes: float = float("nan")
    room_bytes: float = float("nan")
    kind: Kind = "assumed"
    window_s: tuple[float, float] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.metrics[name]
        except KeyError:
            raise AttributeError(f"no metric called {name!r}") from None

    @cached_property
    def latencies(self) -> Mapping[str, F64]:
        """ttft_s, tpot_s, e2e_s and queue_s of every request; NaN where there is none."""
        return latency_columns(self.requests, self.run)

    @cached_property
    def counted(self) -> Mask:
        """Requests whose latencies count: finished, and arrived in the window."""
        out: Mask = (self.run.records.status == Status.FINISHED) & self._arrived
        return out

    @cached_property
    def good(self) -> Mask:
        """Finished requests within every limit of their class, or of the scenario."""
        out = self.run.records.status == Status.FINISHED
        limits = [c.slo or self.slo for c in self.classes] or [self.slo]
        for k, slo in enumerate(limits):
            mine = self.requests.klass == k if self.classes else slice(None)
            for key, limit in slo:
                values = self.latencies[f"{key.split('_')[0]}_s"][mine]
                out[mine] &= ~(values > limit)  # a one-token answer has no TPOT to break
        return np.asarray(out)

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """All metrics of `rooflab.metrics` that a simulation reports."""
        out = self._of(np.ones(len(self.requests), dtype=bool))
        for name in ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s"):
            out[f"{name}_per_gpu"] = out[name] / self.devices
        out |= self._itl()
        out |= self._over_time()
        out |= self._energy(out["output_tokens_per_s"])
        records, totals = self.run.records, self.run.totals
        for status, name in (
            (Status.REJECTED, "rejected"),
            (Status.IMPOSSIBLE, "impossible"),
            (Status.PENDING, "pending"),
        ):
            out[name] = float((records.status == status).sum())
        for name in ("preemptions", "recomputed_tokens", "swapped_tokens", "transferred_tokens", "moved_tokens"):
            out[name] = totals.total(name)
        looked_up = totals.total("looked_up_tokens")
        out["cached_fraction"] = totals.total("cached_tokens") / looked_up if looked_up else 0.0
        return out | fairness(self.requests, records)

    def some(self, names: AbstractSet[str]) -> dict[str, float]:
        """The metrics of these `names` that there are, without the work for others."""
        latency = {name.rpartition("_")[0] for name in names} & set(LATENCIES)
        out: dict[str, float] = {}
        for name in latency:
            out |= statistics(name, self.latencies[name][self.counted])
        if names - out.keys():
            output, prompt, finished = self._made(np.ones(len(self.requests), dtype=bool))
            begin, end = self.span_s
            seconds = max(end - begin, 1e-12)
            made = {"output_tokens_per_s": output, "total_tokens_per_s": output + prompt, "requests_per_s": finished}
            for name, amount in made.items():
                out[name] = amount / seconds
                out[f"{name}_per_gpu"] = out[name] / self.devices
            out |= self._energy(out["output_tokens_per_s"])
        if names - out.keys():
            out = dict(self.metrics)
        return {name: out[name] for name in names if name in out}

    def value(self, name: str) -> Value:
        """The metric `name` with what it rests on; no interval of a simulated one is known. InputError for another."""
        if name not in self.metrics:
            raise unknown("metric", name, self.metrics)
        return Value(metric=name, number=float(self.metrics[name]), kind=self.kind, source=f"simulated; {self.kind}")

    @property
    def values(self) -> dict[str, Value]:
        """All metrics, as `value` gives them."""
        return {name: self.value(name) for name in self.metrics}

    def by_class(self) -> dict[str, dict[str, float]]:
        """Requests, latencies, throughput and SLO attainment by name of class."""
        return {c.name: self._of(self.requests.klass == k) for k, c in enumerate(self.classes)}

    def by_client(self) -> dict[int, dict[str, float]]:
        """The same by number of client."""
        return {int(c): self._of(self.requests.client == c) for c in np.unique(self.requests.client)}

    def broken(self) -> list[tuple[str, float, float]]:
        """The service levels that do not hold, as (limit, got, allowed); those of a class as ``class.limit``."""
        found = [(key, self.metrics[SLO.metric(key)], limit) for key, limit in self.slo]
        if any(c.slo for c in self.classes):
            by_class = self.by_class()
            found += [
                (f"{c.name}.{key}", by_class[c.name][SLO.metric(key)], limit)
                for c in self.classes
                for key, limit in c.slo
            ]
        return [(key, got, limit) for key, got, limit in found if not got <= limit]

    def stuck(self) -> str:
        """Who would wait for ever and why, as a sentence without its full stop; empty when nobody would."""
        if not self.run.stranded:
            return ""
        return (
            f"{self.run.stranded:,} requests would wait for ever (no engine that could take them comes up again, or "
            f"turns are so short that nobody gets to a next token)"
        )

    def record(self) -> dict[str, Any]:
        """Metrics as plain JSON values; not a number becomes None."""
        out: dict[str, Any] = {k: (v if np.isfinite(v) else None) for k, v in self.metrics.items()}
        return out | {"complete": self.run.complete}

    @cached_property
    def span_s(self) -> tuple[float, float]:
        """When counting starts and ends: the window, or first arrival to last token."""
        if self.window_s is not None:
            return self.window_s
        records = self.run.records
        done = records.last_token_s[records.status == Status.FINISHED]
        arrived = records.arrival_s[np.isfinite(records.arrival_s)]
        begin = float(arrived.min()) if len(arrived) else 0.0
        return begin, float(done.max()) if len(done) else max(self.run.end_s, begin)

    @cached_property
    def _arrived(self) -> Mask:
        at = self.run.records.arrival_s
        if self.window_s is None:
            return np.isfinite(at)
        return np.asarray((at >= self.window_s[0]) & (at < self.window_s[1]))

    def _of(self, mine: Mask) -> dict[str, float]:
        """Metrics of a part of the requests."""
        counted = self.counted & mine
        begin, end = self.span_s
        seconds = max(end - begin, 1e-12)
        output, prompt, finished = self._made(mine)
        arrived = int((self._arrived & mine).sum())
        good = int((self.good & self._arrived & mine).sum())
        out = {
            "requests": float(mine.sum()),
            "finished": float(counted.sum()),
            "duration_s": end - begin,
            "output_tokens_per_s": output / seconds,
            "total_tokens_per_s": (output + prompt) / seconds,
            "requests_per_s": finished / seconds,
            "goodput_requests_per_s": good / seconds,
            "slo_attainment": good / arrived if arrived else float("nan"),
        }
        for name in LATENCIES:
            out |= statistics(name, self.latencies[name][counted])
        return out

    def _made(self, mine: Mask) -> tuple[float, float, float]:
        """Generated tokens, prompt tokens and requests finished: in all, or in the window (generated tokens evenly
        spread)."""
        records, requests = self.run.records, self.requests
        rows = np.flatnonzero((records.status == Status.FINISHED) & mine)
        tokens, prompt = records.tokens_out[rows], requests.input_tokens[rows]
        if self.window_s is None:
            return float(tokens.sum()), float(prompt.sum()), float(len(rows))
        begin, end = self.window_s
        first, last = records.first_token_s[rows], records.last_token_s[rows]
        in_window = (first >= begin) & (first < end)
        overlap = np.clip(np.minimum(last, end) - np.maximum(first, begin), 0, None) / np.maximum(last - first, 1e-12)
        generated = in_window + overlap * (tokens - 1)
        return float(generated.sum()), float(prompt[in_window].sum()), float(((last >= begin) & (last < end)).sum())

    def _itl(self) -> dict[str, float]:
        counts = np.asarray(self.run.itl_counts, dtype=np.float64)
        total = counts.sum()
        edges = _bin_edges(len(counts))
        records = self.run.records
        several = (records.status == Status.FINISHED) & (records.tokens_out > 1)
        gaps = (records.tokens_out[several] - 1).sum()
        out = {
            "itl_s_mean": float((records.last_token_s - records.first_token_s)[several].sum() / gaps)
            if gaps
            else float("nan")
        }
        cumulative = np.concatenate(([0.0], np.cumsum(counts))) / max(total, 1.0)
        for name, level in zip(list(STATISTICS)[1:], _LEVELS, strict=True):
            out[f"itl_s_{name}"] = float(np.exp(np.interp(level, cumulative, np.log(edges)))) if total else float("nan")
        return out

    def _over_time(self) -> dict[str, float]:
        timeline, totals = self.run.timeline, self.run.totals
        rows = self._window_rows()

        def mean(values: F64) -> float:
            return float(values[rows].mean()) if rows.any() else float("nan")

        def most(values: F64) -> float:
            return float(values[rows].max()) if rows.any() else float("nan")

        out = {
            "running_mean": mean(timeline.running),
            "waiting_mean": mean(timeline.waiting),
            "waiting_max": most(timeline.waiting),
        }
        if self.kv_blocks > 0:
            out["kv_occupancy_mean"] = mean(timeline.kv_blocks) / self.kv_blocks
            out["kv_occupancy_max"] = most(timeline.kv_blocks) / self.kv_blocks
            out["weights_bytes"] = self.weights_bytes
            out["kv_bytes"] = out["kv_occupancy_mean"] * self.room_bytes
            out["free_bytes"] = self.room_bytes - out["kv_bytes"]
        up = totals.total("up_s")
        out["utilisation"] = totals.total("busy_s") / up if up else float("nan")
        out["devices"] = float(self.devices)
        return out

    def _window_rows(self) -> Mask:
        at = self.run.timeline.time_s
        begin, end = self.span_s
        return np.asarray((at + self.run.timeline.interval_s > begin) & (at < end))

    def _energy(self, output_tokens_per_s: float) -> dict[str, float]:
        begin, end = self.span_s
        if self.window_s is None:
            energy_j = self.run.totals.total("energy_j")
        else:
            energy_j = float(self.run.timeline.power_w[self._window_rows()].mean()) * (end - begin)
        power_w = energy_j / max(end - begin, 1e-12)
        cost = self.upkeep
        derived = per_token(
            output_tokens_per_s, power_w=power_w, usd_per_hour=cost.usd_per_hour, host_w=cost.host_w, pue=cost.pue,
            gco2e_per_kwh=cost.gco2e_per_kwh,
        )  # fmt: skip
        priced = math.isfinite(cost.usd_per_hour)
        known = {name: float(value) for name, value in derived.items() if priced or not name.startswith("usd")}
        return {"energy_j": energy_j, "power_w": power_w} | known


def latency_columns(requests: Requests, run: Result) -> dict[str, F64]:
    """ttft_s, tpot_s (answers of two tokens and more), e2e_s and queue_s of every request, (N,) each, NaN where there
    is none."""
    r = run.records
    with np.errstate(invalid="ignore"):
        gaps = np.where(r.tokens_out > 1, r.tokens_out - 1.0, np.nan)
        return {
            "ttft_s": r.first_token_s - r.arrival_s,
            "tpot_s": (r.last_token_s - r.first_token_s) / gaps,
            "e2e_s": r.last_token_s - r.arrival_s,
            "queue_s": r.first_scheduled_s - r.arrival_s,
        }


def statistics(name: str, values: F64) -> dict[str, float]:
    """Mean and percentiles of `values`, NaN left out, as ``{name}_mean``, ``{name}_p50``, ..."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return {f"{name}_{stat}": float("nan") for stat in STATISTICS}
    return dict(
        zip(
            (f"{name}_{s}" for s in STATISTICS),
            (float(values.mean()), *np.quantile(values, _LEVELS).tolist()),
            strict=True,
        )
    )


def _bin_edges(bins: int) -> F64:
    """Edges of `bins` bins of the gap histogram: one more than there are bins."""
    edges = ITL_EDGES_S[: bins + 1]
    missing = bins + 1 - len(edges)
    return np.concatenate((edges, edges[-1] * 10 ** (np.arange(1, missing + 1) / 200))) if missing > 0 else edges

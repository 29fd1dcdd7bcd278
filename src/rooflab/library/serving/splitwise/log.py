"""How many prompt and token machines a reader's own log of requests takes: the provisioning searches on a replay."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np

from rooflab.catalogue.hardware import hardware
from rooflab.inputs.runs import Runs
from rooflab.library.serving.splitwise.fleet import Design, Fleet, Pools, work_s
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Fraction, PositiveInt, Range
from rooflab.papers.technique import require
from rooflab.scenario.scenario import Scenario

__all__ = ["SizePools"]

_FEWEST: Final = 200
"""Requests of a run at the least: below, a 99th percentile is one request."""
_SHORT_S: Final = 20
"""Seconds of the log that a budget leaves at the least."""
_ASKED: Final = 60
"""Simulations of a run, about."""
_RATES: Final = 40
"""Rates that are told apart below what the machines could do if nothing waited."""
Goal = Literal["machines", "cost", "power"]
Rate = Annotated[float, Range(0)]
Machines = Annotated[int, Range(1, 1000)]


class SizePools(Method[Runs]):
    """Size clusters for a log of requests: the highest rate of `machines` machines, mixed and split, and the pools that
    carry `rate` (0: the log's own) at the lowest number, cost or power of machines (sections 4.4 and 6).

    The log is replayed on its own clock, stretched to each rate that is tried, for `seconds` (at least 200 requests;
    repeated where it is shorter). A rate is carried if TTFT, TBT and E2E keep the paper's nine slow-downs over a
    request alone on the machine `reference` (empty: the token machine). `prompt` and `token` (empty: the same) are one
    machine each, which runs one engine; `token_power` caps the devices of token machines at a share of their limit.
    """

    model: str = "bigscience/bloom"
    prompt: str = "8 x h100-sxm"
    token: str = ""
    token_power: Fraction = 1.0
    reference: str = ""
    machines: Machines = 8
    rate: Rate = 0.0
    minimise: Goal = "machines"
    engine: str = "vllm"
    engine_version: str = ""
    seconds: PositiveInt = 120

    def run(self, lab: Lab, given: Runs) -> Outcome:
        """Execute on a log of the reader's. Raises Infeasible where it says nothing of lengths, and where nothing
        carries it."""
        require(self.machines > 1, "one machine cannot be split; give two or more")
        require(self.token_power > 0, "token machines without power generate nothing")
        log = _Log(given, self.rate)
        with tempfile.TemporaryDirectory() as folder:
            sizes = _Sizes(self, lab, log, Path(folder) / "log.csv")
            require(
                log.rate <= 8 * sizes.free,
                f"{8 * self.machines:,} machines would do {8 * sizes.free:,.4g} requests/s if nothing waited, and more "
                f"are not tried: give more machines for {log.rate:,.4g}",
            )
            sizes.seconds = lab.budget.fits(
                "seconds of the log", self.seconds, least=min(_SHORT_S, self.seconds), trial=sizes.trial,
                times=_ASKED,
            )  # fmt: skip
            found = lab.cells("searches", ("mixed rate", "split rate", "mixed machines", "pools"), sizes.search)
        return _outcome(self, log, sizes, found)


class _Log:
    """The requests of a log that say both lengths, and their rate."""

    def __init__(self, given: Runs, rate: float) -> None:
        require(
            given.input_tokens is not None and given.output_tokens is not None,
            "the log says nothing of prompts and answers: it needs columns input_tokens and output_tokens",
        )
        prompt, answer = np.asarray(given.input_tokens), np.asarray(given.output_tokens)
        kept = (prompt > 0) & (answer > 0)
        require(bool(kept.any()), "no request of the log has both a prompt and an answer")
        self.dropped = int((~kept).sum())
        self.prompt, self.answer = prompt[kept], answer[kept]
        self.time_s = None if given.time_s is None else np.sort(given.time_s[kept])
        span_s = 0.0 if self.time_s is None else float(self.time_s[-1] - self.time_s[0])
        require(rate > 0 or span_s > 0, "the log says nothing of when requests came: give a rate to be carried")
        self.rate = rate or (len(self.prompt) - 1) / span_s

    def write(self, path: Path) -> None:
        """The log as a trace."""
        columns = {"input_tokens": self.prompt, "output_tokens": self.answer}
        if self.time_s is not None and self.time_s[-1] > self.time_s[0]:
            columns = {"time_s": self.time_s, **columns}
        rows = np.column_stack(list(columns.values()))
        np.savetxt(path, rows, fmt="%.6f" if "time_s" in columns else "%d", delimiter=",", header=",".join(columns),
                   comments="")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine: devices of a kind, dollars an hour (None: no price is known) and watts that it is provisioned for."""

    device: str
    count: int
    usd: float | None
    watts: float

    @classmethod
    def of(cls, spec: str, where: str, power: float = 1.0) -> _Machine:
        """The machine that `spec` names, its devices capped at a share of their limit."""
        h = hardware(spec, where)
        require(
            h.count <= h.devices_per_host, f"a machine has at most {h.devices_per_host} {h.device.name}, not {h.count}"
        )
        usd = h.usd_per_device_hour if h.usd_per_device_hour is not None else h.device.usd_per_hour
        watts = h.count * (power * h.device.tdp_w + h.host_power_w / h.devices_per_host)
        return cls(h.device.key, h.count, None if usd is None else usd * h.count, watts)


class _Sizes:
    """The searches for one log."""

    def __init__(self, method: SizePools, lab: Lab, log: _Log, path: Path) -> None:
        self._method, self._lab, self._log, self._path = method, lab, log, path
        self.seconds = method.seconds
        log.write(path)
        self.prompt = _Machine.of(method.prompt, "size_pools.prompt")
        self.token = _Machine.of(method.token or method.prompt, "size_pools.token", method.token_power)
        require(
            self.token.count == self.prompt.count,
            f"an engine is as wide in both pools, not {self.prompt.count} devices for prompts and {self.token.count} "
            f"for tokens",
        )
        self.design = Design(self.prompt.device, self.token.device, method.token_power)

    def trial(self, seconds: int) -> None:
        """One simulation of so many seconds, at the middle of what is searched."""
        m = self._method
        cluster = self._cluster(self.prompt.device, m.machines)
        rate = self.free / 2
        self._lab.simulate(cluster.with_workload(rate=rate, requests=max(round(rate * seconds), _FEWEST)))

    def search(self, name: str) -> Any:
        """One of the searches: a rate, a rate with its pools, a number of machines, pools."""
        m, fleet = self._method, self._fleet
        most = 4 * m.machines
        if name == "mixed rate":
            return fleet.mixed(self.prompt.device, m.machines)
        if name == "split rate":
            rate, pools = fleet.best(self.design, [(p, m.machines - p) for p in range(1, m.machines)])
            return [rate, *pools]
        if name == "mixed machines":
            return fleet.fewest(self.prompt.device, self._log.rate, 2 * most)
        found = fleet.cheapest(self.design, self._log.rate, (most, most), self.each())
        return None if found is None else list(found)

    def each(self, goal: Goal | None = None) -> tuple[float, float]:
        """The price of a prompt and of a token machine, as the goal counts it. Raises Infeasible where no price is
        known."""
        goal = goal or self._method.minimise
        if goal == "machines":
            return 1.0, 1.0
        if goal == "power":
            return self.prompt.watts, self.token.watts
        require(self.prompt.usd is not None and self.token.usd is not None, "no price of these machines is known")
        return self.prompt.usd or 0.0, self.token.usd or 0.0

    @cached_property
    def free(self) -> float:
        """Requests a second that the machines would do if nothing waited."""
        return self._method.machines / sum(work_s(self._lab, self._cluster(self.prompt.device, 1)))

    @cached_property
    def _fleet(self) -> Fleet:
        m = self._method
        reference = _Machine.of(m.reference or m.token or m.prompt, "size_pools.reference")
        return Fleet(
            self._lab, self._cluster, self._at, reference=self._made(reference, 1), step=self.free / _RATES,
            most=4 * self.free,
        )  # fmt: skip

    def _cluster(self, device: str, machines: int) -> Scenario:
        return self._made(self.prompt if device == self.prompt.device else self.token, machines)

    def _made(self, machine: _Machine, machines: int) -> Scenario:
        m = self._method
        version = {"engine_version": m.engine_version} if m.engine_version else {}
        return self._lab.cached(("machines", machine, machines), lambda: self._lab.scenario(
            model=m.model, hardware=f"{machine.count * machines} x {machine.device}",
            workload={"trace": str(self._path), "rate": 1.0},
            deployment={"engine": m.engine, **version, "tp": machine.count, "replicas": machines,
                        "router": "least-loaded", "prefix_caching": False},
        ))  # fmt: skip

    def _at(self, scenario: Scenario, rate: float) -> Scenario:
        return scenario.with_workload(rate=rate, requests=max(round(rate * self.seconds), _FEWEST))


def _outcome(m: SizePools, log: _Log, sizes: _Sizes, found: dict[str, Any]) -> Outcome:
    rate, *best = found["split rate"]
    pools, mixed = found["pools"], found["mixed machines"]
    figures = [
        _executed("requests of the log", len(log.prompt), ""),
        _executed("median prompt", np.median(log.prompt), "tokens"),
        _executed("median answer", np.median(log.answer), "tokens"),
        _executed("rate to be carried", log.rate, "requests/s"),
        _modelled(f"highest rate of {m.machines} machines", rate, "requests/s", found["mixed rate"], "higher"),
    ]  # fmt: skip
    if rate > 0:
        figures.append(_modelled("prompt machines of that split", best[0], ""))
        figures.append(_modelled("token machines of that split", best[1], ""))
    notes = [f"left out for lack of a prompt or an answer: {log.dropped:,} of the log"] if log.dropped else []
    text = _because(m, rate, found["mixed rate"])
    most = 8 * m.machines
    if mixed is None:
        notes.append(f"{most} mixed machines do not carry the rate")
    if pools is None:
        notes.append(f"{most} split machines do not carry the rate")
    else:
        figures += _carried(sizes, pools, mixed)
        against = f"{mixed} mixed ones" if mixed is not None else f"more than {most} mixed ones"
        text += f"; {log.rate:.3g} requests/s take {pools[0]} prompt and {pools[1]} token machines, against {against}"
    return Outcome(tuple(figures), text, notes=tuple(notes))


def _carried(sizes: _Sizes, pools: Pools, mixed: int | None) -> list[Figure]:
    """The pools that carry the rate, and what they cost and draw."""
    figures = [
        _modelled("machines that carry the rate", sum(pools), "", mixed, "lower"),
        _modelled("prompt machines that carry it", pools[0], ""),
        _modelled("token machines that carry it", pools[1], ""),
    ]
    prices: tuple[tuple[Goal, str], ...] = (("cost", "$/hour"), ("power", "W"))
    for goal, unit in prices:
        if goal == "power" or None not in (sizes.prompt.usd, sizes.token.usd):
            each = sizes.each(goal)
            alone = None if mixed is None else mixed * each[0]
            whole = pools[0] * each[0] + pools[1] * each[1]
            figures.append(_modelled(f"{goal} of them", whole, unit, alone, "lower"))
    return figures


def _because(m: SizePools, split: float, mixed: float) -> str:
    if not split and not mixed:
        return f"{m.machines} machines, mixed or split, keep the slow-downs at no rate that was tried"
    way = "raises" if split > mixed else "does not raise"
    return f"splitting {m.machines} machines {way} what they carry: {split:.3g} against {mixed:.3g} requests/s"


def _executed(name: str, value: Any, unit: str) -> Figure:
    return Figure(name=name, value=float(value), unit=unit, how="executed")


def _modelled(
    name: str, value: float, unit: str, baseline: float | None = None, better: Literal["higher", "lower", ""] = ""
) -> Figure:
    return Figure(name=name, value=float(value), unit=unit, how="modelled", baseline=baseline, better=better)

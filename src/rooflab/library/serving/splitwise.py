"""Splitwise (seed 29): prompts and token generation on machines of their own; the cache travels while the prompt is
computed.

A prompt's cache of b bytes leaves layer by layer behind the computation, so that the second token waits for a last
layer and the transfer's own latency instead of for all of it (section 4.3):

    late = latency + b / link · (1 / layers if layer by layer else 1)

Requests join the engine with fewest tokens; a prompt beyond the pending limit of its whole pool goes to a token
machine, which then does both (the mixed pool, section 4.1).  Provisioning sweeps the split of a budget of machines and
finds for each the highest rate at which P50, P90 and P99 of TTFT, TBT and E2E stay within set slow-downs of an
uncontended DGX-A100 (sections 4.4 and 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.hardware import hardware
from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.step import StepCost
from rooflab.deploy.complete import complete
from rooflab.deploy.engine import engines_of
from rooflab.errors import RooflabError
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Analysis, Paper
from rooflab.papers.technique import Fraction, PositiveInt, Technique, require
from rooflab.scenario.cluster import Pool, Transfer
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.lengths import value_at
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.search.highest import highest, whole

__all__ = ["Splitwise", "highest_rate", "paper", "slow_downs"]

paper = Paper.from_card(
    "splitwise",
    executed="the provisioning sweep: every split of a budget of machines, each searched for its highest rate; medians "
    "of the traces.",
    modelled="machines, their batches, the transfer of caches and the lending between pools, event by event on the "
    "traces' lengths.",
    assumed="arrivals are Poisson; token budgets of 2,048 cut long prompts instead of running them alone; the part of "
    "a layer-wise "
    "transfer that nothing hides is the paper's measurement (8 ms at 200 Gb/s a device, 5 ms at 400), on every device.",
)

_UNHIDDEN_S: Final = ((25e9, 0.008), (float("inf"), 0.005))
"""Link rate a device up to which a layer-wise transfer keeps so many seconds that nothing hides (section 6.1,
measured)."""
_PENDING_TOKENS: Final = 8192
"""Tokens waiting on each prompt machine beyond which token machines help (the authors' setting)."""


@paper.technique
class Splitwise(Technique):
    """Give prompts `prefill` engines and answers `decode` engines; both kinds may differ in hardware or power (section
    4).

    `decode_hardware` names other devices for the decode pool (empty: the scenario's), `decode_power` caps them at a
    share of their TDP, `layerwise` sends the cache behind each layer where that pays (short caches go at once, as in
    section 4.3), `lend` lets engines of the decode pool take prompts under load.
    """

    engine = "simulate"
    prefill: PositiveInt = 1
    decode: PositiveInt = 1
    decode_hardware: str = ""
    decode_power: Fraction = 1.0
    layerwise: bool = True
    lend: bool = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models without a cache, static batches, pools on pools, and hardware without engines or links for
        both pools."""
        d, have = scenario.deployment, scenario.hardware
        require(
            scenario.model.kind == "decoder",
            f"{scenario.model.name} generates no tokens after its prompt: there is one phase",
        )
        require(not d.cluster.pools, "the deployment has pools already")
        require(
            scenario.workload.mode != "static",
            "a static batch has one prompt phase and then only decodes: nothing interferes",
        )
        require(d.cluster.autoscale is None, "pools have fixed sizes; take out autoscale")
        require(self.decode_power > 0, "a decode pool without power does nothing")
        own = self.prefill if self.decode_hardware else self.prefill + self.decode
        each = _devices_each(scenario, own)
        short = f"{own} engines of {each} {have.device.name} need {each * own}; there are {have.count}"
        require(each * own <= have.count, short + " (a smaller tp, or decode_hardware, makes room)")
        d = d.changed(tp=d.split.tp or each // (d.split.pp * d.split.dp * d.split.cp), replicas=None)
        pools = (Pool(role="prefill", replicas=self.prefill), self._decode_pool(have, each))
        other = pools[1].hardware or have
        rate = _link(have, other, each * own)
        require(rate > 0, f"{have.device.name} has no link over which a cache could reach another engine")
        lent = _PENDING_TOKENS if self.lend else None
        whole = d.changed(pools=pools, transfer=Transfer(rate, None, False), router="least-loaded", spill_tokens=lent)
        changed = replace(scenario, deployment=whole)
        unhidden_s = next(s for limit, s in _UNHIDDEN_S if rate <= limit)
        if not self.layerwise or _transfer_s(changed) <= unhidden_s:
            return changed
        return changed.with_deployment(transfer=Transfer(rate, unhidden_s, True))

    def _decode_pool(self, have: Hardware, each: int) -> Pool:
        if not self.decode_hardware and self.decode_power == 1:
            return Pool(role="decode", replicas=self.decode)
        count = each * self.decode
        its = (
            hardware(f"{count} x {self.decode_hardware}", "splitwise.decode_hardware") if self.decode_hardware else have
        )
        cap = self.decode_power * its.device.tdp_w if self.decode_power < 1 else None
        return Pool(role="decode", replicas=self.decode, hardware=replace(its, count=count, power_limit_w=cap))

    def __str__(self) -> str:
        plain = type(self)(self.prefill, self.decode).parameters()
        other = [f", {k}={v}" for k, v in self.parameters().items() if v != plain[k]]
        return f"{self.key}(prefill={self.prefill}, decode={self.decode}{''.join(other)})"

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Every split of the engines that there are, five of them where there are more; both pools on the scenario's
        hardware."""
        d = scenario.deployment
        engines = [scenario.hardware.count // _devices_each(scenario, 1)] if d.split.tp else [2, 4]
        tried = [(p, n - p) for n in engines for p in range(1, n)] or [(1, 1)]
        kept = [tried[i] for i in sorted({round(k * (len(tried) - 1) / 4) for k in range(5)})]
        return [cls(prefill=p, decode=q) for p, q in kept]

    def because(self, before: Any, after: Any) -> str:
        """Gaps between tokens with and without prompts in between, and what the cache's journey costs."""
        now = after.load
        moved = now["transferred_tokens"] / max(now["finished"], 1.0)
        text = (
            f"decodes no longer wait for prompts: 99 % of gaps between tokens are under {1e3 * now['itl_s_p99']:.0f} ms"
        )
        if before is not None:
            text += f" instead of {1e3 * before.load['itl_s_p99']:.0f} ms"
        text += (
            f"; {self.prefill} of {self.prefill + self.decode} engines are for prompts, {moved:,.0f} tokens of "
            f"cache a request travel"
        )
        if now["pending"] or (before is not None and now["ttft_s_p99"] > 3 * before.load["ttft_s_p99"]):
            text += "; the prompt pool is too small for this load: more prefill engines, or none apart"
        return text


def _devices_each(scenario: Scenario, engines: int) -> int:
    """Devices of one engine: as deployed, or as large a power of two as `engines` of them leave room for in a host."""
    d = scenario.deployment
    rest = d.split.pp * d.split.dp * d.split.cp
    if d.split.tp:
        return d.split.tp * rest
    room = min(scenario.hardware.count // engines, scenario.hardware.devices_per_host) // rest
    return rest * (1 << max(room.bit_length() - 1, 0))


def _transfer_s(scenario: Scenario) -> float:
    """Seconds in which the cache of a mean prompt travels from pool to pool after the prompt."""
    sent = engines_of(scenario)[0].sequence_bytes(scenario.workload.mean_prompt_tokens)
    return sent / (scenario.deployment.cluster.transfer.bytes_per_s or 1.0)


def _link(a: Hardware, b: Hardware, devices: int) -> float:
    """Bytes/s a device from pool to pool: the scale-up link inside one host of one kind, else the slower network."""
    if a.device.key == b.device.key and devices <= a.devices_per_host:
        inside = a.device.scale_up if a.device.scale_up.topology != "none" else a.device.host_link
        return inside.bytes_per_s
    return min(a.network.bytes_per_s, b.network.bytes_per_s)


Limits = Mapping[str, Sequence[float]]
LEVELS: Final = (0.5, 0.9, 0.99)
LIMITS: Final[Limits] = {"ttft": (2.0, 3.0, 6.0), "tbt": (1.25, 1.5, 5.0), "e2e": (1.25, 1.5, 5.0)}
"""Slow-downs allowed at P50, P90 and P99 (section 6, table 6)."""


def slow_downs(result: Any, alone: StepCost) -> dict[str, npt.NDArray[np.float64]]:
    """TTFT, TBT and E2E of a simulation over those of the same request alone on the machine of `alone`, at `LEVELS`.

    TBT is (E2E − TTFT) / tokens, as the authors compute it. The first tenth of the requests meets an empty cluster and
    is left out.
    """
    prompt, output = (
        np.asarray(x, dtype=np.float64) for x in (result.requests.input_tokens, result.requests.output_tokens)
    )
    cost, none = alone.stack(), np.zeros(len(prompt))
    which = np.zeros(len(prompt), dtype=np.intp)
    area = prompt * (prompt + 1) / 2
    first_s = cost.step(
        which, n_decode=none, context=none, n_prefill=none + 1, prefill_tokens=prompt, area=area
    ).seconds
    token_s = cost.step(
        which, n_decode=none + 1, context=prompt + output / 2, n_prefill=none, prefill_tokens=none, area=none
    ).seconds
    ttft_s, e2e_s = result.latencies["ttft_s"], result.latencies["e2e_s"]
    took = {
        "ttft": ttft_s / first_s,
        "tbt": (e2e_s - ttft_s) / output / token_s,
        "e2e": e2e_s / (first_s + (output - 1) * token_s),
    }
    late = np.arange(len(prompt)) >= len(prompt) // 10
    return {name: np.nanquantile(values[late], LEVELS) for name, values in took.items()}


def highest_rate(holds: Callable[[float], bool], step: float, most: float, above: float = 0.0) -> float:
    """The highest multiple of `step` beyond `above` and below `most` that holds; `above` if the next one fails."""
    found = highest(lambda steps: holds(steps * step), round(above / step) + 1, round(most / step), halve=whole)
    return above if found is None else found * step


_BLOOM, _LLAMA = "bigscience/bloom", "meta-llama/Llama-2-70b-hf"
_A100, _H100 = "a100-80gb-sxm", "h100-sxm"
_REQUESTS: Final = 3000


def _cluster(lab: Lab, device: str, machines: int, trace: str = "azure-code") -> Scenario:
    """`machines` hosts of eight devices with mixed batches of at most 2,048 tokens; BLOOM, the traces' lengths, Poisson
    arrivals."""
    s = lab.scenario(
        model=_BLOOM, hardware=f"{8 * machines} x {device}",
        workload={"like": trace, "rate": 1.0, "requests": _REQUESTS},
        deployment={
            "engine": "vllm", "engine_version": "0.2.0", "tp": 8, "replicas": machines, "weights": "fp16",
            "router": "least-loaded",
            "max_num_batched_tokens": 2048, "prefix_caching": False,
        },
    )  # fmt: skip
    return s.with_workload(arrivals="poisson", arrivals_cv=1.0)


def _keeps_up(lab: Lab, scenario: Scenario, technique: Technique | None = None) -> Callable[[float], bool]:
    """Whether a rate keeps all nine slow-downs."""
    alone, limits = lab.step_cost(_cluster(lab, _A100, 1)), lab.data("slow-downs allowed", dict(LIMITS))

    def holds(rate: float) -> bool:
        result = lab.simulate(scenario.with_workload(rate=rate), technique)
        if result.metrics["pending"]:
            return False
        got = slow_downs(result, alone)
        return all((got[name] <= np.asarray(limits[name])).all() for name in got)

    return holds


_GRID, _MOST = 2.5, 160.0
"""Rates tried: four times as fine as the authors' traces, up to about theirs."""


def _mixed(lab: Lab, device: str, machines: int) -> float:
    """Highest rate of a cluster of mixed machines."""
    return lab.cached(
        ("mixed", device, machines), lambda: highest_rate(_keeps_up(lab, _cluster(lab, device, machines)), _GRID, _MOST)
    )


def _split(lab: Lab, device: str, machines: int) -> tuple[float, int]:
    """Highest rate of the best split of `machines` in fives, as the authors sweep them, and the machines for prompts in
    it."""

    def sweep() -> tuple[float, int]:
        base, rate, prompts, worse = _cluster(lab, device, machines), 0.0, 0, 0
        for decode in range(5, machines, 5):
            holds = _keeps_up(lab, base, Splitwise(prefill=machines - decode, decode=decode))
            better = highest_rate(holds, _GRID, _MOST, above=rate)
            worse = worse + 1 if rate and better == rate else 0
            rate, prompts = better, machines - decode if better > rate else prompts
            if worse == 2:  # the rate has one peak: prompts bound it on one side, decodes on the other
                break
        return rate, prompts

    return lab.cached(("split", device, machines), sweep)


_ISO_POWER: Final = {_A100: 70, _H100: 40}
"""Machines in the same power: 40 DGX-H100 of 44 kW-shares or 70 DGX-A100 of 24.8 (the authors' configurations)."""
_PAIR = (
    "the abstract does not name the designs: 70 DGX-A100 cost 19 % less than 40 DGX-H100, so 1.4x is read as "
    "split "
    "A100 over mixed H100 "
)


@paper.claim(
    "throughput at 20 % lower cost: split A100 over mixed H100 in the same power, coding", expect=1.4, unit="x",
    id="29-thr-cost",
    source="abstract", note=_PAIR + "and 2.35x as the same cluster over as many mixed A100.",
)  # fmt: skip
def cheaper(lab: Lab) -> float:
    """Highest rate within the slow-downs, over the baseline's."""
    return _split(lab, _A100, _ISO_POWER[_A100])[0] / _mixed(lab, _H100, _ISO_POWER[_H100])


@paper.claim(
    "throughput at the same cost and power: split A100 over mixed A100, coding", expect=2.35, unit="x", id="29-thr-iso",
    source="abstract",
    note="the authors' simulator gives a decode step one time whatever its batch (below 512 tokens it extrapolates), "
         "which favours "
    "the token machines; here a step of 16 sequences takes 1.25 times that of one.",
)  # fmt: skip
def same_budget(lab: Lab) -> float:
    """Highest rate within the slow-downs, over the baseline's."""
    return _split(lab, _A100, _ISO_POWER[_A100])[0] / _mixed(lab, _A100, _ISO_POWER[_A100])


@paper.claim(
    "prompt machines in the best split of 40 DGX-H100, coding", expect=35, tolerance=0.1, unit="machines",
    id="29-pool-code",
    source="section 6",
)  # fmt: skip
def prompt_machines(lab: Lab) -> float:
    """Machines for prompts where the sweep finds the highest rate."""
    return float(_split(lab, _H100, _ISO_POWER[_H100])[1])


def _second_token(lab: Lab, layerwise: bool) -> float:
    """Extra time of the second token (percent) of one request alone, split over plain; the coding trace's median
    prompt."""
    base = _cluster(lab, _A100, 2)
    one = lab.data("prompt", 1500.0)
    base = base.with_workload(
        isl=replace(base.workload.isl, kind="fixed", mean=one, cv=0.0, low=one, high=one, table=()),
        osl=replace(base.workload.osl, kind="fixed", mean=2.0, cv=0.0, low=2.0, high=2.0, table=()), correlation=0.0,
        requests=1,
    )  # fmt: skip
    plain, apart = lab.simulate(base), lab.simulate(base, Splitwise(layerwise=layerwise))
    return float(100 * (apart.metrics["tpot_s_mean"] / plain.metrics["tpot_s_mean"] - 1))


_FIGURE = (
    "section 6.1; the source says largest prompts without their length, here the coding median of 1,500 tokens on A100"
)


@paper.claim(
    "second token later with layer-wise transfer", expect=16.5, unit="percent", id="29-second-token", source=_FIGURE
)
def second_token(lab: Lab) -> float:
    """The unhidden part of a transfer over a decode step."""
    return _second_token(lab, True)


@paper.claim(
    "second token later with the transfer after the prompt", expect=64.0, unit="percent", id="29-second-token-serial",
    source=_FIGURE,
    moves={"link rate": -1, "data: prompt": 1},
)  # fmt: skip
def second_token_serial(lab: Lab) -> float:
    """The whole cache over the link, over a decode step."""
    return _second_token(lab, False)


def _alone(lab: Lab, device: str, metric: str) -> float:
    """Kernels launched one by one, as engines did in 2023, and no further host time: constants fitted to the authors'
    rows stay out."""
    deployment = {"engine": "ideal", "tp": 8, "weights": "fp16", "cuda_graphs": False}
    s = lab.scenario(
        model=_LLAMA, hardware=f"8 x {device}", workload={"isl": 1500, "osl": 13, "batch": 1}, deployment=deployment
    )
    return float(lab.estimate(s).metrics[metric])


_MACHINES = "table of latencies of one request, Llama-2-70B on 8 devices, coding medians"


@paper.claim("H100 over A100: time to first token", expect=0.51, unit="x", id="29-ttft-ratio", source=_MACHINES)
def first_token_ratio(lab: Lab) -> float:
    """Prompt of 1,500 tokens on one machine over the other."""
    return _alone(lab, _H100, "ttft_s_mean") / _alone(lab, _A100, "ttft_s_mean")


@paper.claim("H100 over A100: time between tokens", expect=0.70, unit="x", id="29-tbt-ratio", source=_MACHINES)
def token_ratio(lab: Lab) -> float:
    """A decode step on one machine over the other."""
    return _alone(lab, _H100, "tpot_s_mean") / _alone(lab, _A100, "tpot_s_mean")


def _median(lab: Lab, trace: str, which: str) -> float:
    return float(value_at(getattr(_cluster(lab, _A100, 1, trace).workload, which), 0.5))


_RELEASED = "section 3.1; computed on the hour of the trace that the authors released"


@paper.claim(
    "coding trace: median prompt", expect=1500.0, unit="tokens", id="29-trace-coding-prompt", kind="executed",
    source=_RELEASED,
    moves={"prompt length": 1},
)  # fmt: skip
def coding_prompt(lab: Lab) -> float:
    """Median of the trace's prompts."""
    return _median(lab, "azure-code", "isl")


@paper.claim(
    "coding trace: median answer", expect=13.0, unit="tokens", id="29-trace-coding-output", kind="executed",
    source=_RELEASED,
    moves={"answer length": 1},
)  # fmt: skip
def coding_output(lab: Lab) -> float:
    """Median of the trace's answers."""
    return _median(lab, "azure-code", "osl")


@paper.claim(
    "conversation trace: median prompt", expect=1020.0, unit="tokens", id="29-trace-conv-prompt", kind="executed",
    source=_RELEASED,
    moves={"prompt length": 1},
)  # fmt: skip
def conversation_prompt(lab: Lab) -> float:
    """Median of the trace's prompts."""
    return _median(lab, "azure-conv", "isl")


@paper.claim(
    "conversation trace: median answer", expect=129.0, unit="tokens", id="29-trace-conv-output", kind="executed",
    source=_RELEASED,
    moves={"answer length": 1},
)  # fmt: skip
def conversation_output(lab: Lab) -> float:
    """Median of the trace's answers."""
    return _median(lab, "azure-conv", "osl")


paper.not_modelled(
    "29-kv-a100", "part of a layer-wise transfer that nothing hides, A100 at 200 Gb/s", 8.0,
    "an input: the last layer's share of a 1,500-token cache takes 0.4 ms, the rest is the prototype's "
    "synchronisation, measured once; "
    "the technique uses it as the latency of every transfer.", unit="ms",
)  # fmt: skip


@paper.setup("BLOOM-176B on 8 DGX-H100, coding")
def setup(lab: Lab) -> Scenario:
    """A fifth of the authors' 40 machines under a fifth of a load between what mixed and split machines sustain."""
    return _cluster(lab, _H100, 8).with_workload(rate=14.0, requests=2000)


def _idle(scenario: Scenario) -> Scenario:
    """A few requests, each alone."""
    return scenario.with_workload(
        rate=0.01, concurrency=None, batch=None, trace=None, scenario=None, requests=200, arrivals="poisson"
    )


def _slo_of(alone: Mapping[str, float]) -> SLO:
    """The paper's slow-downs as limits, from latencies of requests that are alone."""
    stats = ("p50", "p90", "p99")
    return SLO(
        tuple(
            (f"{name}_{stat}", factor * alone[f"{name}_s_{stat}"])
            for name, factors in (("e2e", LIMITS["e2e"]), ("tpot", LIMITS["tbt"]), ("ttft", LIMITS["ttft"]))
            for stat, factor in zip(stats, factors, strict=True)
        )
    )


def _designs(scenario: Scenario) -> Iterator[tuple[str, Technique]]:
    """Splits of the scenario's engines, with the token machines at full and at 70 % power."""
    for t in Splitwise.variants(scenario):
        p, q = t.parameters()["prefill"], t.parameters()["decode"]
        for power in (1.0, 0.7):
            yield (
                f"{p} prefill + {q} decode" + (f" at {power:.0%} power" if power < 1 else ""),
                Splitwise(p, q, decode_power=power),
            )


@paper.analysis
def provisioning(lab: Lab, scenario: Scenario) -> Analysis:
    """The provisioning sweep on the scenario: the highest rate that each split sustains within its service levels, and
    watts."""
    from rooflab.papers.compare import settled
    from rooflab.simulator.serving.scenario import saturation

    base = complete(settled(scenario)).with_workload(requests=1000)
    if not base.slo:
        base = replace(base, slo=_slo_of(lab.simulate(_idle(base)).metrics))
    tried: list[tuple[str, Scenario]] = [("all engines mixed", base)]
    refused = ""
    for name, technique in _designs(base):
        try:
            tried.append((name, base | technique))
        except RooflabError as error:
            refused = str(error)
    rates: dict[str, float] = {}
    watts: dict[str, float] = {}
    for name, s in tried:
        rate, run = saturation(s, rounds=7)
        rates[name], watts[name] = rate, run.metrics["power_w"] if run else float("nan")
    figures = [(f"{name}: highest rate", rate, "requests/s") for name, rate in rates.items()]
    figures += [(f"{name}: power at it", watts[name], "W") for name in rates if rates[name] > 0]
    mixed, *splits = rates
    best = max(splits, key=lambda name: rates[name], default=mixed)
    goal = "within the service levels" if scenario.slo else "within the paper's slow-downs of an idle cluster"
    verdict = "pays" if rates[best] > rates[mixed] else "does not raise the rate"
    text = f"splitting {verdict}: {best} sustains {rates[best]:.2f} requests/s {goal}, {mixed} {rates[mixed]:.2f}."
    return Analysis(tuple(figures), text + (f" Some splits do not apply: {refused}." if refused else ""))


@paper.draws
def by_split(lab: Lab) -> Plot:
    """Highest rate of 8 DGX-H100 over the machines given to prompts, both traces."""
    lines = []
    for trace in ("azure-code", "azure-conv"):
        base = _cluster(lab, _H100, 8, trace)
        rates = [highest_rate(_keeps_up(lab, base, Splitwise(prefill=p, decode=8 - p)), 0.5, 32.0) for p in range(1, 8)]
        lines.append(Series(f"split, {trace}", tuple(map(float, range(1, 8))), tuple(rates)))
        lines.append(Series(f"mixed, {trace}", (1.0, 7.0), (highest_rate(_keeps_up(lab, base), 0.5, 32.0),) * 2))
    return Plot(
        "BLOOM-176B on 8 DGX-H100 within the nine slow-downs", "machines for prompts", "requests/s", tuple(lines)
    )

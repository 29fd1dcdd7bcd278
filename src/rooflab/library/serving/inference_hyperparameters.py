"""Inference hyper-parameters (seed 87): throughput over batch size and GPUs, and what the old optimum costs after a GPU
change.

Two engines over the same prompts.  Continuous batching is the simulator's.  A static pipeline pads every prompt of a
batch to its longest, generates until its longest answer is done, and walks through the GPUs one after the other (layers
are spread over them by memory, nothing overlaps), so that more GPUs hold larger batches and compute no faster:

    t(batch) = prefill(b · max prompt) + (max answer − 1) · decode(b),    throughput = Σ answers / Σ t
    gain of re-tuning = throughput(best on the new GPU) / throughput(best of the old GPU, on the new GPU) − 1

The landscape is searched whole: the grid is small enough that a sampler would only add noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.step import StepCosts
from rooflab.deploy.engine import engine_of
from rooflab.errors import Infeasible, RooflabError
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.reasons import Reason, change, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.scenario import Scenario

__all__ = [
    "Landscape",
    "continuous_landscape",
    "Retuned",
    "paper",
    "peaks",
    "retuning_gain",
    "static_landscape",
    "static_seconds",
]

paper = Paper.beside(__file__)

BATCHES: Final = tuple(2**k for k in range(11))
GPUS: Final = (1, 2, 4, 8)
_LOGIT_BYTES: Final = 6.0
"""Bytes of a logit: pipelines of 2024 compute those of every prompt position, in 16 bits and again in 32."""
Key = tuple[int, int]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Landscape:
    """Throughput (generated tokens/s) by (GPUs, batch); settings that do not fit are absent."""

    throughput: Mapping[Key, float]

    @property
    def best(self) -> Key:
        """The setting with the highest throughput. Raises Infeasible when nothing fits."""
        if not self.throughput:
            raise Infeasible("the model fits no number of these GPUs at any batch")
        return max(self.throughput, key=lambda k: (self.throughput[k], -k[0], -k[1]))


def static_seconds(
    costs: StepCosts, prompt: Counts, output: Counts, batch: int
) -> tuple[npt.NDArray[np.float64], Counts]:
    """Seconds of each static batch of `batch` requests in the order given, and tokens that its longest sequence
    reaches.

    `costs` holds one deployment (`StepCosts`); decode steps are priced at the context half-way.
    """
    starts = np.arange(0, len(prompt), batch)
    rows = np.diff(np.append(starts, len(prompt))).astype(np.float64)
    longest, steps = np.maximum.reduceat(prompt, starts), np.maximum.reduceat(output, starts)
    which, none = np.zeros(len(starts), dtype=np.intp), np.zeros(len(starts))
    area = rows * longest * (longest + 1) / 2
    first = costs.step(
        which,
        n_decode=none,
        context=none,
        n_prefill=rows,
        prefill_tokens=rows * longest,
        area=area,
        rows=rows * longest,
    )
    each = costs.step(
        which, n_decode=rows, context=rows * (longest + steps / 2), n_prefill=none, prefill_tokens=none, area=none
    )
    return first.seconds + (steps - 1) * each.seconds, longest + steps


def static_landscape(scenario: Scenario, prompt: Counts, output: Counts, batches: Sequence[int] = BATCHES) -> Landscape:
    """A static pipeline over requests in the order given: batches up to what memory holds, layers spread over each
    number of GPUs."""
    found: dict[Key, float] = {}
    for n in (n for n in GPUS if n <= scenario.hardware.count):
        try:
            engine = engine_of(
                scenario.with_deployment(engine="transformers", tp=1, pp=n, replicas=1, speculation=None)
            )
        except RooflabError:
            continue
        costs = engine.step_cost.stack()
        for b in (b for b in batches if b < 2 * len(prompt)):
            seconds, reached = static_seconds(costs, prompt, output, b)
            rows, longest = min(b, len(prompt)), float(reached.max())
            logits = rows * float(prompt.max()) * engine.model.vocab * _LOGIT_BYTES
            if rows * engine.sequence_bytes(longest) + logits <= engine.free_bytes:
                found[n, b] = float(output.sum() / seconds.sum())
    return Landscape(found)


def continuous_landscape(scenario: Scenario, batches: Sequence[int] = BATCHES) -> Landscape:
    """Continuous batching of the scenario's requests, all there at the start: tensor-parallel GPUs by most sequences at
    once."""
    from rooflab.simulator.serving.scenario import simulate

    found: dict[Key, float] = {}
    all_at_once = scenario.with_workload(rate=None, concurrency=None, batch=None, trace=None, scenario="max-throughput")
    for n in (n for n in GPUS if n <= scenario.hardware.count):
        for b in (b for b in batches if b < 2 * (scenario.workload.requests or 1)):
            try:
                found[n, b] = float(
                    simulate(all_at_once | Retuned(tp=n, max_num_seqs=b)).metrics["output_tokens_per_s"]
                )
            except RooflabError:
                continue
    return Landscape(found)


def peaks(landscape: Landscape) -> int:
    """Settings that beat each neighbour of half and twice the batch, and of half and twice the GPUs."""
    have = landscape.throughput

    def beats_neighbours(n: int, b: int) -> bool:
        beside = ((n, b // 2), (n, b * 2), (n // 2, b), (n * 2, b))
        return all(have[n, b] > have[k] for k in beside if k in have)

    return sum(beats_neighbours(*key) for key in have)


def retuning_gain(old: Landscape, new: Landscape) -> float:
    """Percent gained on the new GPU by searching again instead of keeping the old one's best setting.

    A setting that runs out of memory is kept as nearly as it goes: half the batch until it fits, then twice the GPUs.
    """
    gpus, batch = old.best
    while (gpus, batch) not in new.throughput:
        gpus, batch = (gpus, batch // 2) if batch > 1 else (2 * gpus, old.best[1])
        if gpus > max(GPUS):
            raise Infeasible("the old setting fits the new GPUs in no form")
    return 100 * (new.throughput[new.best] / new.throughput[gpus, batch] - 1)


@paper.technique
class Retuned(Technique):
    """Set the hyper-parameters anew: `tp` GPUs an engine and `max_num_seqs` sequences at once (the paper's search
    space)."""

    tp: PositiveInt = 1
    max_num_seqs: PositiveInt = 256

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models without a running batch, pools, and more GPUs than there are."""
        d, have = scenario.deployment, scenario.hardware
        require(scenario.model.kind == "decoder", f"{scenario.model.name} keeps no running batch to size")
        require(not d.cluster.pools, "each pool has hyper-parameters of its own; tune them before they are split")
        rest = d.split.pp * d.split.dp * d.split.cp
        require(
            self.tp * rest <= have.count,
            f"{self.tp} GPUs an engine, with {rest} for other splits, are more than {have.count}",
        )
        most = have.count // (self.tp * rest)
        replicas = (
            None if d.cluster.replicas is None else max(min(d.cluster.replicas * (d.split.tp or 1) // self.tp, most), 1)
        )
        return scenario.with_deployment(tp=self.tp, replicas=replicas, max_num_seqs=self.max_num_seqs)

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Numbers of GPUs of a host by batch sizes around what engines use."""
        most = min(scenario.hardware.count, scenario.hardware.devices_per_host)
        return [cls(tp=n, max_num_seqs=b) for n in GPUS if n <= most for b in (64, 256, 1024)]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """The old setting against the new one."""
        if before is None:
            return (fact("the old setting does not fit"),)
        was = before.scenario.deployment
        return (
            *change("GPUs an engine", float(was.split.tp), self.tp, ""),
            *change("sequences allowed at once", was.limits.max_num_seqs, self.max_num_seqs, ""),
        )


_MODELS: Final = (
    "bigcode/starcoder2-7b", "codellama/CodeLlama-7b-hf", "meta-llama/Llama-2-7b-hf", "mistralai/Mistral-7B-v0.1",
    "meta-llama/Llama-2-13b-hf", "codellama/CodeLlama-34b-hf", "microsoft/phi-2", "google/gemma-7b", "tiiuae/falcon-7b",
    "bigcode/starcoder", "deepseek-ai/deepseek-coder-6.7b-base",
)  # fmt: skip
_OLD, _NEW = "v100-32gb-sxm", "a100-80gb-sxm"


def _scenario(lab: Lab, model: str, gpu: str) -> Scenario:
    """One-line completion: as many requests as HumanEval's single-line infilling has tasks."""
    return lab.scenario(
        model=model, hardware=f"8 x {gpu}", deployment={"weights": "fp16"},
        workload={
            "isl": {"lognormal": {"mean": 200, "cv": 0.5}}, "osl": {"lognormal": {"mean": 16, "cv": 0.6}},
            "scenario": "max-throughput", "requests": lab.data("tasks", 1033),
        },
    )  # fmt: skip


def _requests(lab: Lab, scenario: Scenario) -> tuple[Counts, Counts]:
    """Prompts and answers; the tasks of one problem are the same function without another line, so their prompts are as
    long."""
    from rooflab.simulator.work.make import make_work

    work = lab.cached(("requests", scenario.workload), lambda: make_work(scenario.workload))
    problems = max(lab.data("problems", 164), 1)
    each = -(-len(work) // problems)
    return np.repeat(work.input_tokens[:problems], each)[: len(work)], work.output_tokens


def _landscape(lab: Lab, model: str, gpu: str) -> Landscape:
    s = lab.priced_as(_scenario(lab, model, gpu))
    prompt, output = _requests(lab, s)
    return lab.cached(("static", s, lab.data("problems", 164)), lambda: static_landscape(s, prompt, output))


def _mean_gain(lab: Lab, old: str, new: str) -> float:
    """Mean over the models of what re-tuning gives after moving from `old` to `new` GPUs, percent."""
    return float(np.mean([retuning_gain(_landscape(lab, m, old), _landscape(lab, m, new)) for m in _MODELS]))


@paper.claim("hp-1")
def upgrade(lab: Lab) -> float:
    """V100's best setting on A100 against A100's own."""
    return _mean_gain(lab, _OLD, _NEW)


@paper.claim("hp-2")
def downgrade(lab: Lab) -> float:
    """A100's best setting on V100, made to fit, against V100's own."""
    return _mean_gain(lab, _NEW, _OLD)


@paper.claim("hp-3")
def distinct_peaks(lab: Lab) -> float:
    """Mean number of local maxima over models and GPUs."""
    return float(np.mean([peaks(_landscape(lab, m, gpu)) for m in _MODELS for gpu in (_OLD, _NEW)]))


@paper.setup("CodeLlama-7B on 8 A100, one-line completions")
def setup(lab: Lab) -> Scenario:
    """The code model that most of the paper's family derives from."""
    return _scenario(lab, _MODELS[1], _NEW)


_OTHERS: Final = ("a100-80gb-sxm", "h100-sxm", "l40s")


@paper.method
class Tune(Method[Scenario]):
    """Both landscapes of the scenario's requests on its hardware, and what keeping another GPU's best setting would
    cost."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        from rooflab.catalogue.hardware import hardware
        from rooflab.simulator.work.make import make_work

        require(scenario.model.kind == "decoder", f"{scenario.model.name} keeps no running batch to size")
        base = replace(scenario.with_deployment(pools=(), replicas=None, tp=None), hardware=scenario.hardware)
        base = base.with_workload(
            rate=None, concurrency=None, batch=None, trace=None, scenario="max-throughput", requests=500
        )
        work = make_work(base.workload)
        coarse = BATCHES[3:]
        running = continuous_landscape(base, coarse)
        figures, (gpus, batch) = [], running.best
        figures.append(
            (
                f"continuous batching, best: tp={gpus}, max_num_seqs={batch}",
                running.throughput[gpus, batch] / gpus,
                "tokens/s/GPU",
            )
        )
        static = static_landscape(base, work.input_tokens, work.output_tokens, coarse)
        if static.throughput:
            n, b = static.best
            figures.append((f"static pipeline, best: {n} GPUs, batch {b}", static.throughput[n, b] / n, "tokens/s/GPU"))
            figures.append(("static pipeline: local maxima", float(peaks(static)), "peaks"))
        for name in _OTHERS:
            other = hardware(f"{base.hardware.count} x {name}")
            if other.device.key == base.hardware.device.key or other.device.kind != base.hardware.device.kind:
                continue
            try:
                gain = retuning_gain(continuous_landscape(replace(base, hardware=other), coarse), running)
            except Infeasible:
                continue
            figures.append((f"continuous batching, re-tuned after {other.device.name}", gain, "percent"))
        kept = max((value for _, value, unit in figures if unit == "percent"), default=0.0)
        best = f"one engine is fastest at tp={gpus} with max_num_seqs={batch}"
        text = f"{best}; " + (
            f"re-tuning gains up to {kept:.0f} % over a setting kept from another GPU." if kept >= 1
            else "what was best on the other GPUs tried is as good here."
        )  # fmt: skip
        return Outcome(as_figures("modelled", figures), text)


@paper.draws
def landscapes(lab: Lab) -> Plot:
    """CodeLlama-7B on one A100: static and continuous batching over the batch size."""
    s = setup(lab).with_workload(requests=500)
    static, running = _landscape(lab, _MODELS[1], _NEW), continuous_landscape(s)
    lines = []
    for name, found in (("static", static), ("continuous", running)):
        for n in (1, 4):
            points = sorted((b, t) for (g, b), t in found.throughput.items() if g == n)
            lines.append(
                Series(f"{name}, {n} GPU", tuple(float(b) for b, _ in points), tuple(round(t, 1) for _, t in points))
            )
    return Plot("CodeLlama-7B on A100, one-line completions", "batch", "tokens/s", tuple(lines), log_x=True)

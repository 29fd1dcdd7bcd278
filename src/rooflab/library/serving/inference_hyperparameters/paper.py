"""Inference hyper-parameters (seed 87): throughput over batch size and GPUs, and what the old optimum costs after a GPU
change.

    gain of re-tuning = throughput(best on the new GPU) / throughput(best of the old GPU, on the new GPU) − 1

The landscape is searched whole: the grid is small enough that a sampler would only add noise. `engines` makes
landscapes of two engines, `measured` reads a reader's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.errors import Infeasible
from rooflab.inputs.table import Table
from rooflab.library.serving.inference_hyperparameters.engines import (
    BATCHES,
    GPUS,
    Counts,
    continuous_landscape,
    static_landscape,
)
from rooflab.library.serving.inference_hyperparameters.landscape import Landscape, kept_setting, retuning_gain
from rooflab.library.serving.inference_hyperparameters.measured import MeasuredLandscape
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import Count, PositiveInt
from rooflab.papers.reasons import Reason, change, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.scenario import Scenario

__all__ = ["Retuned", "Tune", "paper"]

paper = Paper.beside(__file__)
Engine = Literal["static", "continuous"]


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


_OWN: Final = ""
"""What the scenario's own GPUs are called among others."""
_OTHERS: Final = ("a100-80gb-sxm", "h100-sxm", "l40s")
_COARSE: Final = BATCHES[3:]
"""Batches of continuous batching that are simulated."""
_SAID: Final[Mapping[Engine, str]] = {"static": "static pipeline", "continuous": "continuous batching"}


@paper.method
class Tune(Method[Scenario]):
    """Landscapes of the scenario's requests on its hardware by engine (static pipeline, continuous batching), and what
    keeping another GPU's best setting costs.

    `old`: that GPU, any of the catalogue (empty: some that many have). `requests` (0: the workload's, else 500) come
    all at once; `problems`: how many different prompts they have, each asked as often (0: each its own). `retune`:
    whether the new landscape is searched, or the old setting kept. `family`: means over eleven models of the paper's
    time in place of the scenario's model.
    """

    headline = "continuous batching: best throughput"
    engine: Literal["both", "static", "continuous"] = "both"
    old: str = ""
    requests: Count = 0
    problems: Count = 0
    retune: bool = True
    family: bool = False

    def ablated(self, seed: int) -> Tune:
        """The old setting is kept."""
        return replace(self, retune=False)

    def run(self, lab: Lab, given: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        if self.family:
            return self._family(lab, given)
        require(given.model.kind == "decoder", f"{given.model.name} keeps no running batch to size")
        base = given.with_deployment(pools=(), replicas=None, tp=None).with_workload(
            rate=None, concurrency=None, batch=None, burst=None, trace=None, scenario="max-throughput",
            requests=self.requests or given.workload.requests or 500,
        )  # fmt: skip
        engines: tuple[Engine, ...] = ("static", "continuous") if self.engine == "both" else (self.engine,)
        on = {_OWN: base} | {name: replace(base, hardware=h) for name, h in self._others(lab, base.hardware).items()}
        items = [(engine, gpu) for gpu in on for engine in engines]
        cells = lab.cells(
            "landscapes", items, lambda item: self._landscape(lab, item[0], on[item[1]]), least=len(engines)
        )
        found = {item: Landscape({(n, b): t for n, b, t in rows}) for item, rows in cells.items()}
        figures = [f for engine in engines for f in self._of(engine, found)]
        return Outcome(tuple(figures), _because(found, [f.value for f in figures if f.unit == "percent"]))

    def _family(self, lab: Lab, given: Scenario) -> Outcome:
        """The same of each model of the family: figures that all have, as their means."""
        one = replace(self, family=False)
        ran = [lab.run(one, _member(lab, model, given)) for model in _MODELS]
        first = ran[0]
        common = [f for f in first.figures if all(f.name in {g.name for g in o.figures} for o in ran)]
        figures = tuple(
            Figure.mean(f.name, [o[f.name] for o in ran], over="models", how=f.how, unit=f.unit) for f in common
        )
        return Outcome(figures, f"means over {len(ran)} models; of the first: {first.because}")

    def _others(self, lab: Lab, own: Hardware) -> dict[str, Hardware]:
        """As many of each other GPU; of those that nobody asked for none that is the own one or no GPU."""
        named = {name: lab.hardware(f"{own.count} x {name}") for name in ((self.old,) if self.old else _OTHERS)}
        if self.old:
            require(named[self.old].device.key != own.device.key, f"{self.old} is the GPU of the scenario")
            return named
        same = (own.device.kind, own.device.key)
        return {name: h for name, h in named.items() if h.device.kind == same[0] and h.device.key != same[1]}

    def _landscape(self, lab: Lab, engine: Engine, scenario: Scenario) -> list[tuple[int, int, float]]:
        s = lab.priced_as(scenario)

        def rows() -> list[tuple[int, int, float]]:
            if engine == "continuous":
                found = continuous_landscape(s, _COARSE)
            else:
                found = static_landscape(s, *_requests(lab, s, self.problems))
            return [(n, b, t) for (n, b), t in found.throughput.items()]

        return lab.cached(("landscape", engine, s, self.problems), rows)

    def _of(self, engine: Engine, found: Mapping[tuple[Engine, str], Landscape]) -> list[Figure]:
        """Figures of one engine: the best setting, peaks, and what re-tuning gives after each other GPU."""
        said, new = _SAID[engine], found[engine, _OWN]
        if not new.throughput:
            return []
        (gpus, batch), highest = new.best, new.highest
        rows = [
            (f"{said}: best throughput", highest, "tokens/s"), (f"{said}: best a GPU", highest / gpus, "tokens/s/GPU"),
            (f"{said}: GPUs of the best", float(gpus), "GPUs"),
            (f"{said}: batch of the best", float(batch), "sequences"),
            (f"{said}: local maxima", float(len(new.peaks())), "peaks"),
        ]  # fmt: skip
        figures = [Figure(name=name, value=value, unit=unit, how="modelled") for name, value, unit in rows]
        for (of, gpu), old in found.items():
            if of != engine or gpu == _OWN or not old.throughput:
                continue
            try:
                kept = kept_setting(old, new)
            except Infeasible:
                continue
            gain = retuning_gain(old, new) if self.retune else 0.0
            figures.append(Figure(name=f"{said}: re-tuned after {gpu}", value=gain, unit="percent", how="modelled"))
            figures.append(
                Figure(name=f"{said}: with the setting of {gpu}", value=new.throughput[kept], unit="tokens/s",
                       how="modelled")
            )  # fmt: skip
        return figures


def _member(lab: Lab, model: str, given: Scenario) -> Scenario:
    """The scenario with another model in it."""
    return lab.cached(("member", model, given), lambda: replace(given, model=lab.model(model)))


def _because(found: Mapping[tuple[Engine, str], Landscape], gains: Sequence[float]) -> str:
    parts = [
        f"{_SAID[engine]} is fastest on {new.best[0]} GPUs with a batch of {new.best[1]}"
        for (engine, gpu), new in found.items() if gpu == _OWN and new.throughput
    ]  # fmt: skip
    require(bool(parts), "the model fits no number of these GPUs at any batch")
    most = max(gains, default=0.0)
    return "; ".join(parts) + (
        f"; searching again gains up to {most:.0f} % over a setting kept from another GPU." if most >= 1
        else "; a setting kept from the other GPUs tried is as good here."
    )  # fmt: skip


def _requests(lab: Lab, scenario: Scenario, problems: int) -> tuple[Counts, Counts]:
    """Prompts and answers of the scenario's requests; of `problems` prompts each is asked as often, one after the
    other."""
    from rooflab.simulator.work.make import make_work

    work = lab.cached(("requests", scenario.workload), lambda: make_work(scenario.workload))
    if not problems:
        return work.input_tokens, work.output_tokens
    each = -(-len(work) // problems)
    return np.repeat(work.input_tokens[:problems], each)[: len(work)], work.output_tokens


paper.method(MeasuredLandscape)

_MODELS: Final = (
    "bigcode/starcoder2-7b", "codellama/CodeLlama-7b-hf", "meta-llama/Llama-2-7b-hf", "mistralai/Mistral-7B-v0.1",
    "meta-llama/Llama-2-13b-hf", "codellama/CodeLlama-34b-hf", "microsoft/phi-2", "google/gemma-7b", "tiiuae/falcon-7b",
    "bigcode/starcoder", "deepseek-ai/deepseek-coder-6.7b-base",
)  # fmt: skip
_OLD, _NEW = "v100-32gb-sxm", "a100-80gb-sxm"
_TASKS: Final = "HumanEval's single-line infilling tasks have "


def _scenario(lab: Lab, model: str, gpu: str) -> Scenario:
    """One-line completion: as many requests as HumanEval's single-line infilling has tasks."""
    prompt = lab.assume(
        "tokens of a prompt", 200.0, low=160.0, high=280.0,
        source=_TASKS + "777 characters of prefix and suffix on average, 647 of prefix; 2.8 to 4 of them are a token",
    )  # fmt: skip
    answer = lab.assume(
        "tokens of an answer", 16.0, low=9.0, high=64.0,
        source=_TASKS + "29 characters to a line; vLLM stops at 16 tokens where nothing is asked; models write on",
    )  # fmt: skip
    spread = lab.assume(
        "spread of answers", 0.6, low=0.1, high=1.0,
        source=_TASKS + "lines whose lengths have a cv of 0.55; with a limit that all reach there is next to none",
    )  # fmt: skip
    return lab.scenario(
        model=model, hardware=f"8 x {gpu}", deployment={"weights": "fp16"},
        workload={
            "isl": {"lognormal": {"mean": prompt, "cv": lab.data("spread of prompts", 0.5)}},
            "osl": {"lognormal": {"mean": answer, "cv": spread}}, "scenario": "max-throughput",
            "requests": lab.data("tasks", 1033),
        },
    )  # fmt: skip


def _tuned(lab: Lab, old: str, new: str) -> Outcome:
    """A static pipeline of the tasks on `new` GPUs, after `old` ones, mean over the models."""
    s = lab.cached(("member", new), lambda: _scenario(lab, _MODELS[1], new))
    return lab.run(Tune(engine="static", old=old, problems=max(lab.data("problems", 164), 1), family=True), s)


@paper.claim("hp-1")
def upgrade(lab: Lab) -> float:
    """V100's best setting on A100 against A100's own."""
    return _tuned(lab, _OLD, _NEW)[f"static pipeline: re-tuned after {_OLD}"]


@paper.claim("hp-2")
def downgrade(lab: Lab) -> float:
    """A100's best setting on V100, made to fit, against V100's own."""
    return _tuned(lab, _NEW, _OLD)[f"static pipeline: re-tuned after {_NEW}"]


@paper.claim("hp-3")
def distinct_peaks(lab: Lab) -> float:
    """Mean number of local maxima over models and GPUs."""
    both = ((_OLD, _NEW), (_NEW, _OLD))
    return float(np.mean([_tuned(lab, *pair)["static pipeline: local maxima"] for pair in both]))


@paper.setup("CodeLlama-7B on 8 A100, one-line completions")
def setup(lab: Lab) -> Scenario:
    """The code model that most of the paper's family derives from."""
    return _scenario(lab, _MODELS[1], _NEW)


@paper.setup("CodeLlama-7B on 8 V100, one-line completions")
def older(lab: Lab) -> Scenario:
    """The same on the GPU before."""
    return _scenario(lab, _MODELS[1], _OLD)


@paper.setup("vLLM on three kinds of GPU, measured at Argonne")
def measured(lab: Lab) -> Table:
    """Not the authors' measurements, which are not public, but of one of their engines."""
    return lab.sample(Table, "serving-landscape")


@paper.draws
def landscapes(lab: Lab) -> Plot:
    """CodeLlama-7B on 1 and 4 A100: static and continuous batching over the batch size."""
    s = setup(lab)
    static = static_landscape(s, *_requests(lab, s, lab.data("problems", 164)))
    running = continuous_landscape(s.with_workload(requests=500))
    lines = []
    for name, found in (("static", static), ("continuous", running)):
        for n in (1, 4):
            points = sorted((b, t) for (g, b), t in found.throughput.items() if g == n)
            lines.append(
                Series(f"{name}, {n} GPU", tuple(float(b) for b, _ in points), tuple(round(t, 1) for _, t in points))
            )
    return Plot("CodeLlama-7B on A100, one-line completions", "batch", "tokens/s", tuple(lines), log_x=True)

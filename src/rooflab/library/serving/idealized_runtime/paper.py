"""Idealized runtime (seed 12): a model's serving time as two fitted terms, so that models behind different APIs
compare.

    runtime(p, o) = f(p) + (o − 1) · g                                      (section 3)

f is piecewise linear through the times of prompts alone (o = 1), g the slope of a regression of what remains on o − 1
over all prompts: at batch 1 a token's cache reads are small against the weights.  On shared servers queues and
neighbours stretch runtimes, so the fit takes the least of several trials (denoised runtime).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.idealized_runtime.cost import OUTPUTS, PROMPTS, api_usd, grid
from rooflab.library.serving.idealized_runtime.denoised import DenoisedRuntime
from rooflab.library.serving.idealized_runtime.engine import launch_s, profile
from rooflab.library.serving.idealized_runtime.fit import fit
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.scenario.scenario import Scenario

__all__ = ["DenoisedRuntime", "IdealizedRuntime", "paper"]

paper = Paper.beside(__file__)

_SHOWN: Final = (512, 1024, 1536, 1920)


@paper.setup("GPT-3 175B")
def gpt3(lab: Lab) -> Scenario:
    """The largest model profiled on whole layers."""
    return _megatron(lab, "gpt3-175b", 8)


@paper.setup("GPT-J 6B")
def gptj(lab: Lab) -> Scenario:
    """The smallest one that is public."""
    return _megatron(lab, "EleutherAI/gpt-j-6b", 1)


@paper.setup("two small decoders, timed")
def decoders(lab: Lab) -> Runs:
    """Requests one at a time, ten trials of every pair of lengths."""
    return lab.sample(Runs, "decoder-profile")


def _megatron(lab: Lab, model: Any, gpus: int, prompt: float = 512) -> Scenario:
    """A model of half precision in the authors' build, a request at a time."""
    deployment = {"engine": "pytorch", "tp": gpus, "weights": "fp16", "cuda_graphs": False}
    return lab.scenario(
        model=model,
        hardware=f"{gpus} x a100-80gb-sxm",
        workload={"isl": prompt, "osl": 64, "batch": 1},
        deployment=deployment,
    )


@paper.method
class IdealizedRuntime(Method[Scenario]):
    """The metric for any decoder: prompt times, time a token, fit, cost and energy of a request on dedicated devices.

    `unfused`: scores in memory and logits at every position of a prompt, as the authors' build had them. `launches`:
    an eager engine's steps wait for its launches; without, kernels are timed alone. `trials` of each point of a
    profile.
    """

    headline = "idealized runtime"

    unfused: bool = False
    launches: bool = True
    trials: PositiveInt = 50

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        from rooflab.deploy.complete import complete

        done = complete(lab.estimate(scenario).scenario)
        timed = profile(lab, done, unfused=self.unfused, launches=self.launches)
        fitted, w = fit(timed), done.workload
        prompt_s = float(fitted.prompt_seconds(w.mean_prompt_tokens))
        seconds = float(fitted.seconds(w.mean_prompt_tokens, w.mean_output_tokens))
        devices, price = done.deployment.split.devices_per_replica, done.hardware.usd_per_device_hour
        figures = [(f"prompt of {p:,}", float(fitted.prompt_seconds(p)), "s") for p in _SHOWN]
        figures += [
            ("the prompt alone", prompt_s, "s"),
            ("an output token", fitted.g_s, "s"),
            ("R² of the fit", fitted.r2, ""),
            ("idealized runtime", seconds, "s"),
            ("idealized energy", seconds * devices * done.hardware.device.tdp_w, "J"),
            ("a profile", float(timed.seconds.sum()) * self.trials * devices / 3600, "device-hours"),
        ]
        if price is not None:
            figures.append(("idealized cost", 1e3 * seconds * devices * price / 3600, "USD per 1,000 requests"))
        waits = launch_s(lab, done) if self.launches else 0.0
        notes = (f"the host launches a layer's kernels in {waits * 1e3:.2f} ms (assumed)",) if waits else ()
        return Outcome(
            as_figures("modelled", figures),
            f"one request at a time on {devices} × {done.hardware.device.name}: prompts cost f, every further token g "
            f"({1 - prompt_s / seconds:.0%} of this request).",
            notes=notes,
        )


paper.method(DenoisedRuntime)


@paper.claim("c1")
def token_time(lab: Lab) -> float:
    """g: launches of 96 layers and their collectives, or the kernels where those take longer."""
    return lab.run(IdealizedRuntime(), gpt3(lab))["an output token"]


@paper.claim("c2-512")
def prompt_512(lab: Lab) -> float:
    """f(512)."""
    return _prompt_s(lab, lab.data("prompt", 512))


@paper.claim("c2-1024")
def prompt_1024(lab: Lab) -> float:
    """f(1024)."""
    return _prompt_s(lab, lab.data("prompt", 1024))


def _prompt_s(lab: Lab, prompt: float) -> float:
    return lab.run(IdealizedRuntime(unfused=True), _megatron(lab, "gpt3-175b", 8, prompt))["the prompt alone"]


@paper.claim("c3")
def fit_quality(lab: Lab) -> float:
    """Least R² over four models from 6 to 175 billion parameters, fitted to timings of their kernels alone."""
    models = (("EleutherAI/gpt-j-6b", 1), ("EleutherAI/gpt-neox-20b", 1), ("facebook/opt-66b", 4), ("gpt3-175b", 8))
    kernels = IdealizedRuntime(launches=False)
    return min(lab.run(kernels, _megatron(lab, name, gpus))["R² of the fit"] for name, gpus in models)


@paper.claim("c3-log")
def executed_quality(lab: Lab) -> float:
    """Least R² of both decoders whose timings ship, by the fit on their log."""
    log = decoders(lab)
    assert log.model is not None
    return min(lab.run(DenoisedRuntime(model=name), log)["R² of the fit"] for name in dict.fromkeys(log.model))


_GPT: Final = {"model_type": "gpt2", "vocab_size": 50304, "n_positions": 2048}
_PROFILED: Final = {
    "jumbo": ({"n_layer": 76, "n_embd": 13824, "n_head": 96}, 8),
    "bloom": ({"n_layer": 70, "n_embd": 14336, "n_head": 112, "vocab_size": 250680}, 8),
    "yalm": ({"n_layer": 80, "n_embd": 10240, "n_head": 128, "n_inner": 27308}, 4),
    "cohere": ({"n_layer": 64, "n_embd": 8192, "n_head": 64}, 4),
    "mt-nlg": ({"n_layer": 35, "n_embd": 20480, "n_head": 128}, 8),
}
"""Shapes as the authors ran them, and on how many GPUs; of MT-NLG a third of its layers."""


def _profiled(lab: Lab, name: str) -> float:
    """g of one of the models on several GPUs."""
    shape, gpus = _PROFILED[name]
    parts = lab.data("parts that were profiled in turn", 3) if name == "mt-nlg" else 1
    return parts * lab.run(IdealizedRuntime(), _megatron(lab, _GPT | shape, gpus))["an output token"]


for _name in _PROFILED:
    paper.claim(f"g-{_name}")(partial(_profiled, name=_name))


@paper.claim("c4-idealized")
def idealized_saving(lab: Lab) -> float:
    """Every query fifty times over a profile fifty times; the API is asked once for the answers in both cases."""
    timed_usd = lab.data("every query timed, USD", 30877.35)
    asked_usd = lab.data("every query asked once, USD", 250.91)
    return (timed_usd + asked_usd) / (_profile_usd(lab) + asked_usd)


def _profile_usd(lab: Lab) -> float:
    """What profiling GPT-3 costs on a machine of eight A100."""
    profiled = lab.run(IdealizedRuntime(unfused=True), gpt3(lab))["a profile"]
    return profiled / 8 * lab.data("USD an hour of eight A100", 40.96)


@paper.claim("c4-denoised")
def denoised_saving(lab: Lab) -> float:
    """Ten trials of every query over ten trials of the points of a profile and one of every query."""
    asked_usd = lab.data("every query asked once, USD", 417.63)
    trials = lab.data("trials", 10.0)
    prices = lab.data("USD a prompt token, an output token", [1.5e-6, 2e-6])
    points = grid(np.array(PROMPTS, dtype=np.float64), np.array(OUTPUTS, dtype=np.float64))
    return trials * asked_usd / (trials * api_usd(*points, *prices) + asked_usd)


@paper.draws
def times(lab: Lab) -> Plot:
    """Runtime over output tokens at three prompts."""
    from rooflab.deploy.complete import complete

    fitted = fit(profile(lab, complete(gpt3(lab))))
    outputs = np.array(OUTPUTS, dtype=np.float64)
    lines = tuple(
        Series(f"prompt {p}", tuple(outputs), tuple(round(float(x), 4) for x in fitted.seconds(p, outputs)))
        for p in (1, 1024, 1920)
    )
    return Plot("Idealized runtime of GPT-3 175B on 8 A100", "output tokens", "seconds", lines)

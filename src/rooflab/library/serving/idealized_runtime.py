"""Idealized runtime (seed 12): a model's serving time as two fitted terms, so that models behind different APIs
compare.

    runtime(p, o) = f(p) + (o − 1) · g                                      (section 3)

f is piecewise linear through the times of prompts alone (o = 1), g the slope of a regression of what remains on o − 1
over all prompts: at batch 1 a token's cache reads are small against the weights.  The fit is executed here; the timings
are the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.costs.step import StepCost
from rooflab.operators.ops import AttentionOp, Collective, Elementwise, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario

__all__ = ["Runtime", "ScoresInMemory", "fit_runtime", "paper", "profile"]

Array = npt.NDArray[np.float64]

paper = Paper.beside(__file__)

PROMPTS = (1, 256, 512, 1024, 1536, 1920)
OUTPUTS = (1, 2, 4, 8, 16, 32, 64)
_LAUNCH_S = 0.75e-3


@dataclass(frozen=True, slots=True)
class Runtime:
    """A fitted model: prompt times `f_s` at `prompts`, `g_s` a further output token, and R² of the regression."""

    prompts: tuple[float, ...]
    f_s: tuple[float, ...]
    g_s: float
    r2: float

    def seconds(self, prompt: float, output: float) -> float:
        """Idealized runtime of a request."""
        return float(np.interp(prompt, self.prompts, self.f_s)) + (output - 1) * self.g_s


def fit_runtime(times: Mapping[tuple[int, int], float]) -> Runtime:
    """Fit f and g to runtimes by (prompt, output) tokens, in seconds; every prompt needs its time at one output
    token."""
    prompts = sorted({p for p, _ in times})
    f = {p: times[p, 1] for p in prompts}
    x = np.array([o - 1.0 for _, o in times])
    y = np.array([t - f[p] for (p, _), t in times.items()])
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - slope * x - intercept
    r2 = 1.0 - float((residual**2).sum() / ((y - y.mean()) ** 2).sum())
    return Runtime(tuple(map(float, prompts)), tuple(f.values()), float(slope), r2)


@dataclass(frozen=True, slots=True)
class ScoresInMemory:
    """A rewrite: unfused kernels write and read the scores of prompts (product, softmax in and out, product) and copy
    the logits."""

    prompt: int

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Each attention is followed by four passes over heads · prompt² 16-bit scores; gathered logits are joined,
        transposed and turned into 32 bits (14 bytes each: 2 + 2, 2 + 2, 2 + 4)."""
        out: list[Operator] = []
        for op in operators:
            out.append(op)
            if isinstance(op, AttentionOp):
                out.append(Elementwise("scores", "attention", op.count, op.heads * float(self.prompt) ** 2 * 2.0 * 4.0))
            elif isinstance(op, Collective) and op.name == "logits gather":
                out.append(Elementwise("copies of logits", "head", 1.0, op.message_bytes * 7.0, 3.0))
        return tuple(out)


def profile(lab: Lab, scenario: Scenario, launch_s: float = 0.0) -> dict[tuple[int, int], float]:
    """Runtimes by (prompt, output) of one request at a time on `scenario`; kernels that are launched slower than they
    run wait."""
    cost = lab.step_cost(scenario)
    floor_s = launch_s * scenario.model.layers
    times = {}
    for p in PROMPTS:
        prompt_s = max(float(cost.step(n_prefill=1, prefill_tokens=p, area=p * (p + 1) / 2).seconds[0]), floor_s)
        steps = [cost.step(n_decode=1, context=float(p + k)) for k in range(1, max(OUTPUTS))]
        token_s = [max(float(s.seconds[0]), floor_s + float(s.comm_s[0])) for s in steps]
        for o in OUTPUTS:
            times[p, o] = prompt_s + sum(token_s[: o - 1])
    return times


def _megatron(lab: Lab, model: str, gpus: int) -> Scenario:
    deployment = {"engine": "pytorch", "tp": gpus, "weights": "fp16", "cuda_graphs": False}
    return lab.scenario(
        model=model,
        hardware=f"{gpus} x a100-80gb-sxm",
        workload={"isl": 512, "osl": 64, "batch": 1},
        deployment=deployment,
    )


def _launch_s(lab: Lab) -> float:
    """Seconds in which an eager build launches the kernels of a layer."""
    source = "single-GPU models of the same build, 24 to 50 layers, show 0.73 to 0.77 ms; the middle of these"
    return lab.assume("launch of a layer, s", _LAUNCH_S, low=0.73e-3, high=0.77e-3, source=source)


@paper.claim("c1")
def token_time(lab: Lab) -> float:
    """g: launches of 96 layers and their collectives, or the kernels where those take longer."""
    times = profile(lab, _megatron(lab, "gpt3-175b", 8), _launch_s(lab))
    return fit_runtime(times).g_s


def _prompt_time(lab: Lab, prompt: int) -> float:
    s = _megatron(lab, "gpt3-175b", 8)
    changed = Scenario(
        model=s.model,
        hardware=s.hardware,
        workload=s.workload,
        deployment=s.deployment,
        rewrites=(ScoresInMemory(prompt),),
    )
    return _prompt_s(lab.step_cost(changed), prompt)


def _prompt_s(cost: StepCost, prompt: int) -> float:
    """A prompt alone; Megatron-LM's head computes logits at every position of it and gathers them."""
    return float(cost.step(n_prefill=1, prefill_tokens=prompt, area=prompt * (prompt + 1) / 2, rows=prompt).seconds[0])


@paper.claim("c2-512")
def prompt_512(lab: Lab) -> float:
    """f(512)."""
    return _prompt_time(lab, lab.data("prompt", 512))


@paper.claim("c2-1024")
def prompt_1024(lab: Lab) -> float:
    """f(1024)."""
    return _prompt_time(lab, lab.data("prompt", 1024))


@paper.claim("c3")
def fit_quality(lab: Lab) -> float:
    """Least R² over four models from 6 to 175 billion parameters, fitted to timings of their kernels alone."""
    models = (("EleutherAI/gpt-j-6b", 1), ("EleutherAI/gpt-neox-20b", 1), ("facebook/opt-66b", 4), ("gpt3-175b", 8))
    return min(fit_runtime(profile(lab, _megatron(lab, name, gpus))).r2 for name, gpus in models)


@paper.setup("GPT-3 175B")
def gpt3(lab: Lab) -> Scenario:
    """The largest model profiled on whole layers."""
    return _megatron(lab, "gpt3-175b", 8)


@paper.method
class IdealizedRuntime(Method[Scenario]):
    """The metric for any decoder: prompt times, time a token, fit, cost and energy of a request on dedicated
    devices."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        from rooflab.deploy.complete import complete

        done = complete(lab.estimate(scenario).scenario)
        fitted = fit_runtime(profile(lab, done))
        w = done.workload
        seconds = fitted.seconds(w.mean_prompt_tokens, w.mean_output_tokens)
        devices = done.deployment.split.devices_per_replica
        price = done.hardware.usd_per_device_hour
        figures = [(f"prompt of {int(p):,}", f, "s") for p, f in zip(fitted.prompts[2:], fitted.f_s[2:], strict=True)]
        figures += [
            ("an output token", fitted.g_s, "s"),
            ("R² of the fit", fitted.r2, ""),
            ("idealized runtime", seconds, "s"),
        ]
        figures.append(("idealized energy", seconds * devices * done.hardware.device.tdp_w, "J"))
        if price is not None:
            figures.append(("idealized cost", seconds * devices * price / 3.6, "USD per 1,000 requests"))
        return Outcome(
            as_figures("modelled", figures),
            f"one request at a time on {devices} × {done.hardware.device.name}: prompts cost f, every further token g "
            f"({_share(done.model, fitted, w.mean_output_tokens, seconds):.0%} of this request).",
        )


def _share(model: Model, fitted: Runtime, output: float, seconds: float) -> float:
    assert model.kind == "decoder"
    return (output - 1) * fitted.g_s / seconds


@paper.draws
def times(lab: Lab) -> Plot:
    """Runtime over output tokens at three prompts."""
    fitted = fit_runtime(profile(lab, gpt3(lab), _LAUNCH_S))
    outputs = tuple(float(o) for o in OUTPUTS)
    lines = tuple(
        Series(f"prompt {p}", outputs, tuple(round(fitted.seconds(p, o), 4) for o in outputs)) for p in (1, 1024, 1920)
    )
    return Plot("Idealized runtime of GPT-3 175B on 8 A100", "output tokens", "seconds", lines)

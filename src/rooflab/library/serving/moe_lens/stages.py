"""Both stages of the model on a scenario: the limit, and what a finite batch reaches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rooflab.deploy.engine import Engine
from rooflab.library.serving.moe_lens.technique import MoeLens
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome, as_figures
from rooflab.papers.parameters import Count, PositiveFloat
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.alike import Batch, run_batch

__all__ = ["Rates", "Stages", "limit", "pme", "rates"]


def pme(prompt: float, output: float) -> float:
    """Tokens computed for each token-step of cache that a request of `prompt` and `output` tokens holds."""
    return 2.0 * (prompt + output) / ((2.0 * prompt + output) * output)


def limit(prompt: float, output: float, cache_tokens: float, stream_s: float, gpu_tokens_per_s: float) -> float:
    """Stage 1: prompt and generated tokens a second at best."""
    return min(pme(prompt, output) * cache_tokens / stream_s, gpu_tokens_per_s)


@dataclass(frozen=True, slots=True)
class Rates:
    """The constants of both stages, from the engine's prices of a scenario with the technique in it."""

    stream_s: float
    token_s: float
    cached_s: float
    cache_tokens: float
    step_tokens: int
    replicas: int


def rates(engine: Engine, prompt: float) -> Rates:
    """Both stages' constants on an engine with the technique in it, for prompts of `prompt` tokens on average."""
    cost = engine.step_cost
    tokens = float(engine.deployment.limits.max_num_batched_tokens)
    linear_s = float(cost.step(n_prefill=1, prefill_tokens=tokens, area=tokens * prompt / 2).linear_s[0])
    cached_s = float(cost.step(n_decode=1, context=2e6).stream_s[0]) / 2e6
    stream_s, token_s = cost.scalar("stream_s"), linear_s / tokens
    # the scheduler is told what the GPU was measured to compute while a step's weights arrive (section 6, pipeline
    # profiler)
    return Rates(
        stream_s,
        token_s,
        cached_s,
        engine.free_bytes / float(engine.memory.kv_bytes_per_token[0]),
        int(min(tokens, stream_s / token_s)),
        engine.replicas,
    )


class Stages(Method[Scenario]):
    """Both stages of the model on a scenario: the limit, and what a batch reaches, over separate phases.

    `batch`: its requests over those whose whole cache fits. `reserved`: prompt tokens for which separate phases keep
    cache for every request (0: as many as it has). `overlapped`: prompts join while others decode.
    """

    headline = "limit, generated"
    batch: PositiveFloat = 4.0
    reserved: Count = 0
    overlapped: bool = True

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        s = lab.priced_as(scenario) | MoeLens()
        w = s.workload
        r = rates(lab.engine(s), w.mean_prompt_tokens)
        prompt, output = w.mean_prompt_tokens, max(w.mean_output_tokens, 1.0)
        gpu = 1.0 / r.token_s
        best = limit(prompt, output, r.cache_tokens, r.stream_s, gpu)
        requests = max(int(self.batch * r.cache_tokens / (prompt + output)), 1)
        apart = lab.cached(("separate", s, requests, self.reserved), lambda: self._run(s, r, requests, False))
        together = lab.cached(("overlapped", s, requests), lambda: self._run(s, r, requests, True))
        reached = together if self.overlapped else apart
        of_limit = reached.output_tokens_per_s * (prompt + output) / output / best
        held = "the GPU's products" if best >= gpu else "the size of the host's cache"
        figures = as_figures("modelled", (
            ("weights stream in", r.stream_s, "s/step"),
            ("tokens that fill the GPU", r.stream_s * gpu, "tokens/step"),
            ("cache in host memory", r.cache_tokens, "tokens"),
            ("limit, prompt and generated", best * r.replicas, "tokens/s"),
            ("limit, generated", best * r.replicas * output / (prompt + output), "tokens/s"),
            ("use of the GPU at the limit", best / gpu, ""),
        ))  # fmt: skip
        rate = Figure(
            name="generated", value=reached.output_tokens_per_s * r.replicas, unit="tokens/s", better="higher",
            baseline=apart.output_tokens_per_s * r.replicas, how="modelled",
        )  # fmt: skip
        flight = Figure(
            name="sequences in flight", value=reached.running, baseline=apart.running, better="higher", how="executed"
        )
        return Outcome(
            (*figures, rate, flight),
            f"the limit is set by {held}; a batch of {requests:,} reaches {of_limit:.0%} of it "
            f"with {reached.running:,.0f} sequences in flight and {reached.preempted:,} preemptions",
        )

    def ablated(self, seed: int) -> Stages:
        """Prompts and decodes in phases of their own."""
        return replace(self, overlapped=False)

    def _run(self, s: Scenario, r: Rates, requests: int, overlapped: bool) -> Batch:
        w = s.workload
        prompt, output = round(w.mean_prompt_tokens), max(round(w.mean_output_tokens), 1)
        prompt = prompt if overlapped else max(prompt, self.reserved)
        return run_batch(
            prompt, output, requests, cache_tokens=r.cache_tokens, stream_s=r.stream_s, token_s=r.token_s,
            cached_s=r.cached_s, step_tokens=max(r.step_tokens, prompt), overlapped=overlapped,
        )  # fmt: skip

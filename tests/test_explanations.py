"""Explanations are true: over random scenarios, the figures of a sentence are those of the comparison, and its words
say what the figures say; what a step is spent on adds up; each cause alone is what an estimate of it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
from scenarios import Picks, Seeded, scenario_of

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.front import estimate
from rooflab.papers.apply import load as loaded
from rooflab.papers.causes import HIDDEN, times_under_load, times_when_full
from rooflab.papers.compare import Change, Comparison, Measured, at_capacity, attempt, compare, settled
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.registry import papers, techniques
from rooflab.scenario.limits import Rotation
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import read_lengths
from rooflab.testing.explanations import untrue

EACH = 30
REQUESTS = 40
RATE = "output_tokens_per_s_per_gpu"


def load(**fields: Any) -> Scenario:
    return loaded(fields)


def suited(picks: Picks, key: str) -> Scenario:
    """A random scenario of the kind that a technique is for, with hardware for one, two or four engines."""
    s = scenario_of(picks, ("closed", "open", "max"))
    if key == "moe_lens":
        name = picks.of(("mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B", "meta-llama/Llama-3.1-70B"))
        bare = s.with_deployment(tp=None, pp=1, engine="", replicas=None, weights=None)
        return replace(bare, model=model(name), hardware=hardware(picks.of(("l40s", "a10", "2 x l40s", "rtx-4090"))))
    if key == "flover":
        batching = picks.of(("shared", "separate"))
        scheduler = "orca" if batching == "separate" else None
        s = s.with_deployment(engine="fastertransformer", pp=1, batching=batching, scheduler=scheduler)
    if key == "fastswitch":
        s = replace(s, model=model("meta-llama/Llama-3.1-8B"), hardware=hardware("l40s"))
        lengths = {"isl": read_lengths(picks.of((500, 2000)), "isl"), "osl": read_lengths(picks.of((200, 800)), "osl")}
        s = s.with_workload(rate=None, scenario=None, concurrency=picks.whole(8, REQUESTS), **lengths)
        tight = picks.real(0.38, 0.5)
        turns = picks.of((None, Rotation(10)))
        return s.with_deployment(tp=1, pp=1, weights=None, gpu_memory_utilization=tight, rotation=turns)
    engines = picks.of((1, 2, 4))
    s = replace(s, hardware=replace(s.hardware, count=engines * s.deployment.split.devices_per_replica))
    return s.with_deployment(replicas=picks.of((1, engines)))


def _compared(key: str) -> Iterator[Comparison]:
    """Comparisons of the technique where it applies; fewer requests than `papers run` simulates."""
    picks, cls = Seeded(np.random.default_rng([7, *key.encode()])), techniques()[key]
    for _ in range(40 * EACH):
        s = suited(picks, key)
        if cls.engine == "simulate":
            s = s.with_workload(requests=REQUESTS)
        try:
            offered = list(cls.variants(s))
        except RooflabError:
            continue
        found = attempt(s, picks.of(offered)) if offered else None
        if isinstance(found, Comparison):
            yield found


@cache
def compared(key: str) -> list[Comparison]:
    return list(islice(_compared(key), EACH))


KEYS = sorted(k for p in papers() for k in p.techniques)


@pytest.mark.parametrize("key", KEYS)
def test_explanations_are_true(key: str) -> None:
    found = compared(key)
    assert len(found) == EACH
    assert [wrong for c in found for wrong in untrue(c)] == []


WORDS = {
    "answers wait less between tokens": ("itl_s_p99", -1), "answers wait longer between tokens": ("itl_s_p99", 1),
    "prompts wait less for their first token": ("ttft_s_p99", -1),
    "prompts wait longer for their first token": ("ttft_s_p99", 1),
    "first tokens come sooner": ("ttft_s_mean", -1), "first tokens come later": ("ttft_s_mean", 1),
    "the others are faster": ("tpot_s_mean", -1), "the others are slower": ("tpot_s_mean", 1),
    "devices draw less": ("power_w", -1), "devices draw more": ("power_w", 1),
    "a token takes less energy": ("j_per_token", -1), "a token takes more energy": ("j_per_token", 1),
    "prompts are faster": ("ttft_s_mean", -1), "prompts are slower": ("ttft_s_mean", 1),
    "tokens are faster": ("tpot_s_mean", -1), "tokens are slower": ("tpot_s_mean", 1),
    "fewer sequences give way": ("preemptions", -1), "more sequences give way": ("preemptions", 1),
}  # fmt: skip
"""Sentences that have a direction, with the metric that must then have moved, and which way."""
FACTS = {
    "the pools, split like this, are too small for the load": lambda c: c.after.load["pending"] > 0,
    "without it, every sequence reads the weights for itself":
        lambda c: c.before.scenario.deployment.runtime.batching == "separate",
    "without it, who comes while a batch runs waits for its end":
        lambda c: c.before.scenario.deployment.runtime.batching == "shared",
    "nothing was preempted: memory holds all who run; deployment.rotation would have requests give way":
        lambda c: not c.before.load["preemptions"] and not c.after.load["preemptions"],
    "copies go beside the steps, of what the host lacks":
        lambda c: (swap := c.after.scenario.deployment.limits.swap).asynchronous and swap.reuse,
    "weights stay in host memory": lambda c: c.after.scenario.deployment.runtime.offload.weights == "dram",
    "the old setting does not fit": lambda c: c.before is None,
    "it fits now": lambda c: c.before is None,
}  # fmt: skip
"""Sentences that say how something is, with what must hold."""


@pytest.mark.parametrize("key", KEYS)
def test_every_sentence_is_one_that_we_know_the_truth_of(key: str) -> None:
    """A new sentence of a shipped technique gets a line here: when it is true, in words of our own."""
    for c in compared(key):
        for r in c.reasons:
            if r.words in WORDS:
                metric, sign = WORDS[r.words]
                assert c.before is not None
                assert np.sign(c.after.load[metric] - c.before.load[metric]) == sign, r
            elif r.words in FACTS:
                assert FACTS[r.words](c), r
            elif r.words.endswith(" alone"):
                assert r.words.startswith("gained" if r.after > r.before else "lost"), r
            else:
                assert r.words in ("", "nothing that a step is spent on changed") or "alone does not fit" in r.words, r


@pytest.mark.parametrize("key", [k for k in KEYS if techniques()[k].engine == "estimate"])
def test_time_of_a_token_is_what_the_metrics_say(key: str) -> None:
    """Kept full it is one over the throughput of a device, under a load it is TPOT; its parts add up to it."""
    for c in compared(key):
        if c.before is None:
            continue
        assert isinstance(c.before, Measured)
        for side, times in zip((c.before, c.after), times_when_full(c.before, c.after), strict=True):
            assert times[""] == pytest.approx(1 / side.capacity[RATE], rel=1e-9)
            assert sum(times.values()) - 2 * times[HIDDEN] == pytest.approx(2 * times[""], rel=1e-9)
            assert times[HIDDEN] == 0 or times[HIDDEN] > 1e-9 * times[""]  # not the last digits of a sum
        for side, times in zip((c.before, c.after), times_under_load(c.before, c.after), strict=True):
            assert times[""] == pytest.approx(side.load["tpot_s_mean"], rel=1e-9)
            assert times[HIDDEN] == 0 or times[HIDDEN] > 1e-9 * times[""]


@pytest.mark.parametrize("key", [k for k in KEYS if techniques()[k].engine == "estimate"])
def test_the_time_of_a_token_moves_with_the_headline(key: str) -> None:
    for c in compared(key):
        told = [r for r in c.reasons if r.what == "device time a token when full"]
        assert all(r.way == np.sign(c.capacity.after - c.capacity.before) for r in told)
        assert told or c.before is None or not c.capacity.way


def test_a_label_that_flips_is_no_cause() -> None:
    """4-bit weights turn products from bound by memory to bound by arithmetic: shares of a step flip, and the reasons
    tell seconds of products, and what weights and cache do alone."""
    s = load(model="meta-llama/Llama-3.1-70B", hardware="8 x h100-sxm", workload={"isl": 1024, "osl": 1024, "rate": 4})
    c = compare(s, techniques()["qserve"]())
    assert c.before is not None
    assert c.before.capacity["share_weights_bandwidth"] > 0.5
    assert c.after.capacity["share_weights_bandwidth"] == 0.0
    assert "bandwidth" not in c.because
    told = {r.words: r for r in c.reasons if r.words}
    weights = told["gained by weights int4 and activations int8 alone"]
    alone = at_capacity(settled(s)).with_deployment(weights="int4", activations="int8")
    assert weights.after == estimate(alone).metrics[RATE]
    assert weights.before == c.capacity.before


def test_what_does_not_pay_is_said_not_to() -> None:
    """Where a technique loses in what it is about, the verdict says so, whatever else it gains."""
    lost = [c for key in KEYS for c in compared(key) if c.before is not None and c.headline[0] < 0.99]
    assert len({c.technique.key for c in lost}) > 3
    for c in lost:
        assert c.verdict.startswith(f"does not pay here: {c.headline[1]} 0")
    assert any("lost by split batch alone" in c.because for c in lost), "of NanoFlow: why"


def test_what_pays_only_when_full_is_said_to() -> None:
    """Engines kept full gain, and under the scenario's lighter load all that users see gets worse."""
    c = next(c for c in compared("nanoflow") if c.after.capacity)
    full = Change(RATE, 100.0, 104.0)
    worse, better = Change("tpot_s_mean", 1.0, 1.5), Change("ttft_s_p99", 2.0, 1.0)
    only = replace(c, capacity=full, changes=(worse,))
    assert only.verdict.startswith("pays only if engines are kept full: throughput when full 1.04 ×")
    assert only.verdict.endswith("; under this load worse: TPOT mean 0.667 ×")
    both = replace(c, capacity=full, changes=(worse, better))
    assert both.verdict.startswith("pays here, for more than it gains: throughput when full 1.04 ×")
    assert both.verdict.endswith("; better: TTFT p99 2.00 ×; worse: TPOT mean 0.667 ×")
    much = replace(both, capacity=Change(RATE, 100.0, 160.0))
    assert much.verdict.startswith("pays here: throughput when full 1.60 ×")


def test_a_model_is_refused_for_what_it_is() -> None:
    """Latent attention reads its whole context, too; who chooses tokens already does not."""
    lengths = {"isl": 8192, "osl": 4096}
    sparse = techniques()["sparse_attention"]()
    assert (load(model="deepseek-ai/DeepSeek-V3", hardware="8 x h200-sxm", workload=lengths) | sparse).rewrites
    with pytest.raises(Infeasible, match="reads its whole context"):
        load(model="deepseek-ai/DeepSeek-V3.2-Exp", hardware="8 x h200-sxm", workload=lengths) | sparse


def test_words_that_contradict_their_figures_are_found() -> None:
    """What the checks are for: praise of what got worse, another metric's figures, numbers that come from nowhere."""
    c = next(c for c in compared("polca") if any(r.words == "tokens are slower" for r in c.reasons))
    assert c.before is not None
    was, now = c.before.load["tpot_s_mean"], c.after.load["tpot_s_mean"]
    true = Reason(words="tokens are slower", what="TPOT mean", before=was, after=now, unit="s", better="lower",
                  metric="tpot_s_mean")  # fmt: skip
    for wrong in (
        replace(true, words="tokens are faster"), replace(true, after=1.01 * now), replace(true, better="higher"),
        replace(true, words="tokens take 12.3 times as long"), fact("answers no longer wait"), Reason(),
    ):  # fmt: skip
        assert untrue(replace(c, reasons=(wrong,))), wrong
    assert not untrue(replace(c, reasons=(true,)))

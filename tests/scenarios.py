"""Random scenarios for property tests: real catalogue models and devices, random splits, formats and loads."""

from __future__ import annotations

from hypothesis import strategies as st

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths

MODELS = (
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.1-70B",
    "Qwen/Qwen3-30B-A3B",
    "deepseek-ai/DeepSeek-V3",
    "openai/gpt-oss-20b",
    "google/gemma-2-9b",
    "nvidia/Nemotron-H-56B-Base-8K",
    "bigscience/bloom-7b1",
)
DEVICES = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "l40s", "mi300x")


@st.composite
def scenarios(draw: st.DrawFn, modes: tuple[str, ...] = ("static", "closed", "open", "max")) -> Scenario:
    """A scenario whose split is valid; it may not fit."""
    tp, pp = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from((1, 1, 2, 4)))
    weights = draw(st.sampled_from((None, "fp8", "int4")))
    deployment = Deployment.of(
        engine=draw(st.sampled_from(("vllm", "sglang", "trtllm", "ideal"))),
        tp=tp,
        pp=pp,
        replicas=1,
        weights=weights,
        kv=draw(st.sampled_from((None, "fp8"))),
        max_num_batched_tokens=draw(st.sampled_from((1024, 8192))),
        chunked_prefill=draw(st.booleans()),
    )
    lengths = {
        "isl": read_lengths(draw(st.integers(1, 8192)), "isl"),
        "osl": read_lengths(draw(st.integers(2, 2048)), "osl"),
    }
    mode = draw(st.sampled_from(modes))
    load = {
        "static": {"batch": draw(st.integers(1, 256))},
        "closed": {"concurrency": draw(st.integers(1, 512))},
        "open": {"rate": draw(st.floats(0.01, 50.0))},
        "max": {},
    }[mode]
    return Scenario(
        model=model(draw(st.sampled_from(MODELS))),
        hardware=hardware(f"{tp * pp} x {draw(st.sampled_from(DEVICES))}"),
        workload=Workload(**lengths, **load),
        deployment=deployment,
    )

"""Overlapped operators, attention of one phase and vector attention: bounds hold, both engines agree, nothing is
free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab import api
from rooflab.costs.compile import compile_steps
from rooflab.costs.step import StepCost
from rooflab.deploy.complete import complete
from rooflab.errors import Infeasible, InputError
from rooflab.library.serving.kinetics.paper import SparseAttention, SparseRead
from rooflab.library.serving.nanoflow.technique import SplitBatch
from rooflab.library.serving.qserve.paper import QServe, UnpackedCache, widest
from rooflab.scenario.scenario import Scenario

FIELDS = {
    "model": "meta-llama/Llama-2-70b-hf", "hardware": "8 x a100-80gb-sxm",
    "workload": {"isl": 512, "osl": 512, "scenario": "max-throughput"},
    "deployment": {"tp": 8, "max_num_seqs": 1024},
}  # fmt: skip


def _cost(rewrites: tuple = (), **deployment: object) -> StepCost:
    s: Scenario = complete(api.read(FIELDS | {"deployment": FIELDS["deployment"] | deployment}))
    return compile_steps(s.model, s.hardware, [s.deployment], rewrites)[0]


PLAIN = _cost()
FULL = _cost(overlap={"attention": 1, "comm": 1})

loads = st.tuples(st.integers(1, 2048), st.integers(1, 4096), st.integers(0, 4096))


@given(loads)
@settings(max_examples=60, deadline=None)
def test_overlap_never_beats_the_bound_nor_slows(load: tuple[int, int, int]) -> None:
    n, each, q = load
    at = {"n_decode": n, "context": n * each, "n_prefill": int(q > 0), "prefill_tokens": q, "area": q * q / 2}
    plain, full = PLAIN.step(**at), FULL.step(**at)
    zero = np.zeros(1, dtype=np.intp)
    bound = FULL.stack().bound_s(zero, full)
    assert full.seconds[0] <= plain.seconds[0] + 1e-12
    assert full.seconds[0] >= bound[0]
    assert full.flops[0] == plain.flops[0]


def test_overlap_is_read_and_checked() -> None:
    assert api.read(FIELDS | {"deployment": {"overlap": {"comm": 0.5}}}).deployment.runtime.overlap.comm == 0.5
    with pytest.raises(InputError, match=r"deployment.overlap.comm: 2 is out of range"):
        api.read(FIELDS | {"deployment": {"overlap": {"comm": 2}}})


def test_cutting_a_batch_keeps_the_work_and_reads_weights_again() -> None:
    cut = _cost((SplitBatch((0.375, 0.625)),))
    at = {"n_decode": 1024, "context": 1024 * 700.0}
    plain, split = PLAIN.step(**at), cut.step(**at)
    assert split.flops[0] == pytest.approx(plain.flops[0])
    assert split.attention_s[0] == plain.attention_s[0]
    assert split.linear_s[0] > plain.linear_s[0]
    assert split.bytes[0] > plain.bytes[0]


def test_sparse_read_leaves_prompts_alone_and_reads_no_more_than_its_budget() -> None:
    sparse = _cost((SparseRead(256, 16),))
    prompt = {"n_prefill": 1, "prefill_tokens": 4096, "area": 4096 * 4097 / 2}
    assert sparse.step(**prompt).seconds[0] == pytest.approx(PLAIN.step(**prompt).seconds[0])
    near, far = (sparse.step(n_decode=8, context=8 * c).bytes[0] for c in (8192, 16384))
    dense = PLAIN.step(n_decode=8, context=8 * 16384).bytes[0] - PLAIN.step(n_decode=8, context=8 * 8192).bytes[0]
    assert far - near == pytest.approx(dense / 32), "one key a block of 16, no values"


def test_a_latent_cache_is_searched_by_one_latent_a_block() -> None:
    fields = {
        "model": "deepseek-ai/DeepSeek-V3", "hardware": "16 x h200-sxm",
        "workload": {"isl": 512, "osl": 16384, "scenario": "max-throughput"}, "deployment": {"tp": 16},
    }  # fmt: skip
    done = complete(api.read(fields))
    plain, sparse = (
        compile_steps(done.model, done.hardware, [done.deployment], rewrites)[0]
        for rewrites in ((), (SparseRead(1024, 16),))
    )

    def grown(cost: StepCost) -> float:
        return float(
            cost.step(n_decode=8, context=8 * 16384).bytes[0] - cost.step(n_decode=8, context=8 * 8192).bytes[0]
        )

    assert grown(sparse) == pytest.approx(grown(plain) / 16), "beyond the budget one latent a block of 16"
    assert (api.read(fields) | SparseAttention()).rewrites


def test_sparse_attention_says_what_it_needs() -> None:
    for model, said in (
        ("bert-large-uncased", "generates no tokens"), ("deepseek-ai/DeepSeek-V3.2-Exp", "choice of tokens already"),
    ):  # fmt: skip
        s = api.read({"model": model, "hardware": "8 x h200-sxm", "workload": {"isl": 4096, "osl": 8192, "batch": 1}})
        with pytest.raises(Infeasible, match=said):
            s | SparseAttention()


def test_unpacking_is_bound_by_vector_units_on_a100_only() -> None:
    def attention_s(device: str, ops: float) -> float:
        fields = {
            "model": "meta-llama/Meta-Llama-3-8B",
            "hardware": device,
            "deployment": {"tp": 1, "kv": "int4", "weights": "int4"},
        }
        s = complete(api.read(fields))
        cost = compile_steps(s.model, s.hardware, [s.deployment], (UnpackedCache(ops),))[0]
        return float(cost.step(n_decode=64, context=64 * 1024).attention_s[0])

    assert attention_s("a100-80gb-sxm", 10.0) > 1.5 * attention_s("a100-80gb-sxm", 1.0)
    assert attention_s("l40s", 10.0) == attention_s("l40s", 1.0)


def test_qserve_weights_stay_in_int8_only_with_the_protective_range() -> None:
    assert widest(119) <= 127
    assert widest(127) > 127


def test_qserve_refuses_with_reasons() -> None:
    for model, device, said in (
        ("mistralai/Mixtral-8x7B-v0.1", "4 x a100-80gb-sxm", "experts"),
        ("bert-large-uncased", "a100", "no decoder"),
    ):
        s = api.read({"model": model, "hardware": device, "workload": {"isl": 128, "osl": 1, "batch": 1}})
        with pytest.raises(Exception, match=said):
            s | QServe()

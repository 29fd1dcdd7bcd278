"""QServe: the kernel table that its attention is priced by, and the baseline that its gains are taken over."""

from dataclasses import replace

import pytest

from rooflab import api
from rooflab.costs.compile import compile_steps
from rooflab.costs.engine_constants import active, using
from rooflab.costs.left_out import without_source
from rooflab.costs.unpacking import unpacking, unpacking_ops
from rooflab.deploy.complete import complete
from rooflab.errors import InputError
from rooflab.library.serving.qserve import paper as qserve
from rooflab.library.serving.qserve.paper import UnpackedCache
from rooflab.papers.lab import Lab


def _attention_ms(kv: str, ops: float, context: int) -> float:
    """One layer of Llama-2-7B on A100, 64 sequences."""
    s = Lab(api.engines()).scenario(
        model="meta-llama/Llama-2-7b-hf",
        hardware="a100-80gb-sxm",
        workload={"isl": 1024, "osl": 512, "batch": 64},
        deployment={"engine": "pytorch", "tp": 1, "weights": "fp16", "kv": kv},
    )
    done = complete(replace(s, rewrites=(UnpackedCache(ops),)))
    cost = compile_steps(done.model, done.hardware, [done.deployment], done.rewrites)[0]
    return float(cost.step(n_decode=64, context=64.0 * context).attention_s[0]) / done.model.layers * 1e3


@pytest.mark.parametrize("kv", ["int4", "int8"])
def test_operations_an_element_are_those_of_the_kernel_table(kv: str) -> None:
    for row in unpacking()[kv]["rows"]:
        assert _attention_ms(kv, unpacking_ops(kv), row["context_tokens"]) == pytest.approx(row["ms"], rel=0.02)


def test_a_cache_whose_kernel_was_not_timed_is_named() -> None:
    with pytest.raises(InputError, match="int4"):
        unpacking_ops("int3")


def test_the_baseline_is_priced_without_rows_of_the_same_table() -> None:
    rest = without_source("QServe README")
    assert "QServe" not in rest.engines["trtllm@2024-02/dense"].source
    assert {k: v for k, v in rest.engines.items() if k != "trtllm@2024-02/dense"} == {
        k: v for k, v in active().engines.items() if k != "trtllm@2024-02/dense"
    }
    with pytest.raises(InputError, match="QServe README"):
        without_source("QServe")
    lab, found = Lab(api.engines()), []
    for table in (active(), rest):
        with using(table):
            found.append(qserve._best_baseline(lab, "c3", qserve._TRT))
    assert found[0] == found[1], "whatever calibration is in force, that entry is replaced"


def test_a_static_baseline_holds_whole_sequences() -> None:
    held = []
    for prompt in (1024, 128):
        s = Lab(api.engines()).scenario(
            model="Qwen/Qwen1.5-72B",
            hardware="l40s",
            workload={"isl": prompt, "osl": 512, "batch": 1},
            deployment={
                "engine": "trtllm",
                "tp": 1,
                "weights": "int4",
                "gpu_memory_utilization": 1.0,
                "max_num_batched_tokens": 1024,
            },
        )
        held.append(qserve._whole_sequences(s))
    assert held[0] == 1, "4 GB of cache beside 41 GB of weights on 48 GB"
    assert held[1] > held[0]


def test_every_cell_of_the_table_is_a_claim() -> None:
    cells = {c.id for c in qserve.paper.claims if c.unit == "tokens/s"}
    assert len(cells) == 16
    assert set(qserve._CELLS) == cells

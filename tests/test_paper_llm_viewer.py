"""LLM-Viewer: operators as the survey lists them, worked by hand, and a reader's networks on any device."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_inputs import onnx_bytes

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs import network
from rooflab.library.serving.llm_viewer.layers import counts
from rooflab.library.serving.llm_viewer.operators import Step, operators
from rooflab.library.serving.llm_viewer.paper import NetworkTable, OperatorTable, setup
from rooflab.library.serving.llm_viewer.roofline import COLUMNS, Count, Formats, Roof
from rooflab.operators.conv import Conv, Pass, PatchAttention
from rooflab.operators.networks import Network
from rooflab.papers.lab import Lab
from rooflab.scenario.dtype import dtype
from rooflab.scenario.scenario import Scenario

FP16 = Formats(weights=dtype("fp16"), activations=dtype("fp16"), kv=dtype("fp16"), head=dtype("fp16"))
LISTED = (
    "q_proj", "k_proj", "v_proj", "qk_matmul", "softmax", "sv_matmul", "out_proj", "gate_proj", "up_proj", "mlp_act",
    "down_proj", "attn_norm", "mlp_norm", "attn_add", "mlp_add", "lm_head",
)  # fmt: skip


@pytest.fixture
def lab() -> Lab:
    return Lab(api.engines())


def llama(lab: Lab, step: Step) -> dict[str, Count]:
    return {count.name: count for count in operators(lab.model("meta-llama/Llama-2-7b-hf"), FP16, step)}


def test_the_table_lists_what_the_survey_lists(lab: Lab) -> None:
    for step in (Step(sequences=1, tokens=2048, context=2048), Step(sequences=1, tokens=1, context=2048)):
        found = llama(lab, step)
        assert tuple(found) == LISTED
        assert all(count.times == (1 if name == "lm_head" else 32) for name, count in found.items())


@pytest.mark.parametrize(
    ("cell", "ops", "moved", "attainable"),
    [
        ((2048, "qk_matmul"), 34359738368, 301989888, 87.38e12),
        ((2048, "sv_matmul"), 34359738368, 301989888, 87.38e12),
        ((2048, "softmax"), 671088640, 536870912, 960e9), ((2048, "attn_norm"), 58720256, 33554432, 1.344e12),
        ((2048, "mlp_add"), 8388608, 33554432, 192e9), ((2048, "gate_proj"), 184683593728, 152043520, 154.8e12),
        ((1, "qk_matmul"), 16777216, 16916480, 761.7e9), ((1, "softmax"), 327680, 262144, 960e9),
        ((1, "down_proj"), 90177536, 90207744, 767.7e9),
    ],
)  # fmt: skip
def test_cells_by_the_released_analysers_formulas(
    lab: Lab, cell: tuple[int, str], ops: float, moved: float, attainable: float
) -> None:
    tokens, operator = cell
    point = Roof.of(lab.hardware("a6000").device, FP16).point(
        llama(lab, Step(sequences=1, tokens=tokens, context=2048))[operator]
    )
    assert point.count.ops == ops
    assert point.count.bytes == moved
    assert point.column("attainable", 0.0) == pytest.approx(attainable, rel=2e-3)


def test_a_fused_attention_moves_no_scores_and_computes_the_same(lab: Lab) -> None:
    apart = llama(lab, Step(sequences=2, tokens=2048, context=2048))
    fused = llama(lab, Step(sequences=2, tokens=2048, context=2048, on_chip_bytes=84 * 256e3))
    parts = [apart[name] for name in ("qk_matmul", "softmax", "sv_matmul")]
    assert fused["fused_attention"].ops == sum(c.ops for c in parts)
    assert fused["fused_attention"].bytes < sum(c.bytes for c in parts)


def test_grouped_queries_experts_and_kinds_of_layers(lab: Lab) -> None:
    step = Step(sequences=4, tokens=1, context=1000)
    grouped = {c.name: c for c in operators(lab.model("meta-llama/Llama-3.1-8B"), FP16, step)}
    assert grouped["k_proj"].weights == grouped["q_proj"].weights / 4
    assert grouped["qk_matmul"].cache_read == 4 * 1000 * 1024 * 2
    mixed = {c.name: c for c in operators(lab.model("mistralai/Mixtral-8x7B-v0.1"), FP16, step)}
    one = 4096 * 14336 * 2
    assert one < mixed["expert_up_proj"].weights < 8 * one
    assert mixed["expert_up_proj"].ops == 2 * 4 * 2 * 4096 * 14336
    kinds = operators(lab.model("google/gemma-3-27b-it"), FP16, step)
    assert sum(c.times for c in kinds if c.name.startswith("q_proj")) == lab.model("google/gemma-3-27b-it").layers


def test_a_readers_scenario_in_every_column(lab: Lab) -> None:
    s = setup(lab)
    for column in COLUMNS:
        found = OperatorTable(column=column).run(lab, s)
        assert {f.name for f in found.figures} >= {f"prefill {name}" for name in LISTED}
    shares = OperatorTable(column="share").run(lab, s)
    assert sum(f.value for f in shares.figures if f.unit == "percent") == pytest.approx(200)
    rows = found.files["operators.csv"].decode().splitlines()
    assert len(rows) == 1 + 2 * len(LISTED)
    assert found.because
    assert rl.papers.run("llm_viewer", s, method="operator_table", column="bytes")["prefill q_proj"] == 67108864


def test_buffers_that_nobody_knows_are_asked_for(lab: Lab) -> None:
    fields = {"model": "meta-llama/Llama-3.1-8B", "workload": {"isl": 512, "osl": 64, "batch": 1}}
    found = OperatorTable(attention="fused").run(lab, api.load({**fields, "hardware": "l40s"}))
    assert "prefill fused_attention" in {f.name for f in found.figures}
    with pytest.raises(Infeasible, match="set attention=apart"):
        OperatorTable(attention="fused").run(lab, api.load({**fields, "hardware": "mi300x"}))


@pytest.mark.parametrize(
    ("model", "said"),
    [("deepseek-ai/DeepSeek-V3", "LatentAttention"), ("google-t5/t5-base", "list decoders")],
)
def test_layers_that_the_survey_does_not_list_are_refused(lab: Lab, model: str, said: str) -> None:
    fields = {"model": model, "hardware": "8 x h200", "workload": {"isl": 512, "osl": 64, "batch": 1}}
    given: Scenario = api.load(fields)
    with pytest.raises(Infeasible, match=said):
        OperatorTable().run(lab, given)


def test_layers_of_a_network_by_hand() -> None:
    layers = (
        Conv(name="conv", inputs=3, outputs=8, kernel=9, groups=1, height=4, width=4, in_pixels=16, count=2),
        Pass("norm", 128, params=16),
        PatchAttention(name="attention", windows=1, queries=16, keys=16, heads=2, width=8),
    )
    found = list(counts(Network("mine", 4, layers), FP16, 3))
    assert [c.name for c in found] == [
        "conv",
        "norm",
        "attention qk_matmul",
        "attention softmax",
        "attention sv_matmul",
    ]
    conv, norm, qk, softmax, _ = found
    assert (conv.ops, conv.weights, conv.read, conv.written, conv.times) == (
        2 * 3 * 8 * 16 * 27, 8 * 27 * 2, 3 * 48 * 2, 3 * 128 * 2, 2
    )  # fmt: skip
    assert norm.ops == 7 * 3 * 128
    assert qk.ops == 2 * 3 * 16 * 16 * 8
    assert qk.written == softmax.read == 3 * 2 * 16 * 16 * 2


def test_a_readers_network_on_any_device(lab: Lab, tmp_path: Path) -> None:
    given = network.KIND.sample()
    names = {}
    for device in ("a6000", "h100-sxm", "mi300x"):
        found = NetworkTable(device=device, batch=8).run(lab, given)
        names[device] = found["network: time at the roof"]
        assert found["network: operations"] >= 2 * 8 * given.macs
        assert len(found.files["layers.csv"].decode().splitlines()) == 1 + len(list(counts(given, FP16, 8)))
    assert names["a6000"] > names["h100-sxm"]
    small = NetworkTable(weights="int8", activations="int8").run(lab, given)
    assert small["network: bytes"] == pytest.approx(NetworkTable().run(lab, given)["network: bytes"] / 2)
    with pytest.raises(InputError, match="a6000"):
        NetworkTable(device="a600").run(lab, given)
    held = onnx_bytes()
    if held:
        (tmp_path / "tiny.onnx").write_bytes(held)
        mine = NetworkTable(device="l40s").run(lab, network.KIND.read(tmp_path / "tiny.onnx"))
        assert mine["network: operations"] > 0


def test_nothing_beats_the_roof(lab: Lab) -> None:
    device = lab.hardware("a6000").device
    roof = Roof.of(device, FP16)
    for count in counts(network.KIND.sample("vit-tiny"), FP16, 4):
        point = roof.point(count)
        assert point.seconds >= count.bytes / device.memory_bytes_per_s
        assert point.seconds >= count.ops / device.peak("fp16")

"""Vision networks: counts of the literature, layers by hand, ONNX graphs, and estimates that obey the roofline."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.networks import list_networks, network, network_key, network_names
from rooflab.errors import InputError
from rooflab.estimator.vision import Counts, estimate_vision
from rooflab.evidence.rows.vision import answers, network_of, question
from rooflab.operators.conv import Conv, PatchAttention, Product
from rooflab.operators.networks import Network, Stack, round_channels

ROWS = Path(__file__).parents[1].parent / "shared" / "truth" / "vision" / "measurements.csv"

# millions of parameters and billions of MACs as the papers (or torchvision's model pages) state them
KNOWN = [
    ("resnet18", 224, 11.69, 1.81),
    ("resnet50", 224, 25.56, 4.09),
    ("resnet152", 224, 60.19, 11.51),
    ("resnext50_32x4d", 224, 25.03, 4.23),
    ("wide_resnet50_2", 224, 68.88, 11.40),
    ("vgg16", 224, 138.36, 15.47),
    ("densenet121", 224, 7.98, 2.83),
    ("mobilenetv2_100", 224, 3.50, 0.30),
    ("mobilenetv3_large_100", 224, 5.48, 0.217),
    ("mobilenetv3_small_100", 224, 2.54, 0.057),
    ("efficientnet_b0", 224, 5.29, 0.386),
    ("tf_efficientnet_b7", 600, 66.35, 37.75),
    ("efficientnetv2_s", 384, 21.46, 8.37),
    ("convnext_tiny", 224, 28.59, 4.46),
    ("convnext_base", 224, 88.59, 15.36),
    ("regnety_160", 224, 83.59, 15.91),
    ("regnetx_032", 224, 15.30, 3.18),
    ("vit_base_patch16_224", 224, 86.57, 17.58),
    ("vit_large_patch16_224", 224, 304.33, 61.60),
    ("deit_small_patch16_224", 224, 22.05, 4.61),
    ("swin_tiny_patch4_window7_224", 224, 28.29, 4.50),
    ("swin_base_patch4_window7_224", 224, 87.77, 15.46),
    ("mixer_b16_224", 224, 59.88, 12.61),
    ("inception_v3", 299, 23.83, 5.71),
    ("xception", 299, 22.86, 8.40),
]


@pytest.mark.parametrize(("name", "image", "params_m", "gmacs"), KNOWN, ids=[k[0] for k in KNOWN])
def test_counts_are_those_of_the_literature(name, image, params_m, gmacs):
    found = network(name, image)
    assert found.params / 1e6 == pytest.approx(params_m, rel=0.02)
    assert found.macs / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_every_network_can_be_built():
    listing = list_networks()
    assert len(listing) == len(network_names()) > 300
    assert all(n["macs"] > 0 and n["params"] > 0 and n["activations"] > 0 and n["source"] for n in listing)


def test_names_with_further_words_find_their_network_and_their_size():
    assert network_key("vit_base_patch16_clip_384") == "vit_base_patch16"
    assert network("vit_base_patch16_clip_384").image == 384
    assert network("resnet50").image == 224
    more = network("vit_small_patch16_reg4_gap_224").params - network("vit_small_patch16_gap_224").params
    assert more == 4 * 384
    with pytest.raises(InputError, match=r"no network called 'resnet51'. Did you mean resnet50"):
        network("resnet51")


def test_layers_by_hand():
    conv = Conv(name="c", inputs=64, outputs=128, kernel=9, groups=1, height=28, width=28, in_pixels=56 * 56)
    assert (conv.macs, conv.params, conv.kind) == (128 * 28 * 28 * 64 * 9, 64 * 128 * 9, "conv")
    assert (
        Conv(name="d", inputs=64, outputs=64, kernel=9, groups=64, height=28, width=28, in_pixels=28 * 28).macs
        == 64 * 28 * 28 * 9
    )
    assert (
        Conv(name="g", inputs=64, outputs=64, kernel=9, groups=4, height=28, width=28, in_pixels=28 * 28).kind
        == "grouped"
    )
    whole, halves = (
        PatchAttention(name="a", windows=1, queries=197, keys=197, heads=12, width=768),
        Product("p", 12, 197, 197, 64),
    )
    assert whole.macs == 2 * halves.macs
    stack = Stack(3, 15, 15)
    stack.conv(8, 3, 2)
    assert (stack.channels, stack.height, stack.width) == (8, 8, 8)
    assert [round_channels(c) for c in (32 * 1.1, 16 * 1.4, 3)] == [32, 24, 8]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["resnet50", "vit_base_patch16", "efficientnet_b0", "swin_tiny_patch4_window7"]),
    st.sampled_from(["rtx-5090", "rtx-3090", "h100-sxm", "i9-10940x"]), st.integers(1, 512),
    st.sampled_from(["amp", "fp32"]),
)  # fmt: skip
def test_no_estimate_beats_its_bound_and_bigger_batches_take_longer(name, where, batch, precision):
    machine, found = hardware(where), network(name)
    once, twice = (
        estimate_vision(found, machine, batch, precision),
        estimate_vision(found, machine, 2 * batch, precision),
    )
    assert once.limit_ratio <= 1.0
    assert once.batch_s < twice.batch_s <= 2 * once.batch_s * (1 + 1e-9)
    counts = Counts(name, found.macs, found.params, found.activations, "conv")
    assert estimate_vision(counts, machine, batch, precision).limit_ratio <= 1.0


def test_devices_multiply_and_strangers_are_marked():
    one, four = (
        estimate_vision(network("resnet50"), hardware("rtx-3090"), 64),
        estimate_vision(network("resnet50"), hardware("4 x rtx-3090"), 64),
    )
    assert four.images_per_s == pytest.approx(4 * one.images_per_s)
    assert one.provenance == "fitted"
    assert estimate_vision(network("resnet50"), hardware("l40s"), 64).provenance == "assumed"
    with pytest.raises(InputError, match="precision"):
        estimate_vision(network("resnet50"), hardware("rtx-3090"), 64, "fp17")
    with pytest.raises(InputError, match="batch"):
        estimate_vision(network("resnet50"), hardware("rtx-3090"), 0)


def test_onnx_graph(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    from rooflab.operators.networks_onnx import network_from_onnx

    def weights(name, *dims):
        return helper.make_tensor(name, TensorProto.FLOAT, dims, np.zeros(dims, dtype=np.float32).ravel())

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=16),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "w3", "b3"], ["y"]),
    ]
    tensors = [weights("w1", 16, 3, 3, 3), weights("w2", 16, 1, 3, 3), weights("w3", 16, 10), weights("b3", 10)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])]
    graph = helper.make_graph(
        nodes, "tiny", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors
    )
    path = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph), str(path))
    found = network_from_onnx(path)
    assert found.macs == 16 * 27 * 256 + 16 * 9 * 256 + 160
    assert found.params == 16 * 27 + 16 * 9 + 170
    assert [layer.kind for layer in found.layers] == ["conv", "pass", "depthwise", "pass", "linear"]
    assert estimate_vision(found, hardware("rtx-3090"), 8).images_per_s > 0
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(InputError, match="is not an ONNX model"):
        network_from_onnx(broken)


def test_rows_use_layers_only_where_the_counts_agree():
    row = {
        "model": "resnet50",
        "device": "RTX 3090",
        "precision": "amp",
        "img_size": "224",
        "batch_size": "256.0",
        "samples_per_sec": "2000",
    }
    counts = {"params_m": "25.56", "gmacs": "4.11", "macts_m": "11.11"}
    assert isinstance(network_of(row | counts), Network)
    assert isinstance(network_of(row | counts | {"params_m": "30.0"}), Counts)
    assert network_of(row | counts | {"model": "vit_unheard_of"}).kind == "transformer"
    assert question(row | counts).batch == 256


def test_public_rows():
    if not ROWS.exists():
        pytest.skip("the measured rows are not here")
    with ROWS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    done, why = answers(rows)
    assert len(done) + sum(why.values()) == len(rows)
    by_layers = np.array([abs(p / q.measured - 1) for q, p in done if isinstance(q.network, Network)])
    by_counts = np.array([abs(p / q.measured - 1) for q, p in done if isinstance(q.network, Counts)])
    assert len(by_layers) > 550
    assert np.median(by_layers) < 0.12
    assert np.median(by_counts) < 0.20

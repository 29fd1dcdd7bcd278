"""Every kind of input: samples, summaries, files written and read again, disturbances, files gone wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from rooflab.inputs import (
    design,
    graph,
    images,
    network,
    portfolio,
    predictions,
    programs,
    runs,
    scenario,
    series,
    table,
    text,
    vectors,
    weights,
)
from rooflab.inputs.kinds import KINDS
from rooflab.testing.inputs import InputConformance, hostile_reads


def onnx_bytes() -> bytes:
    """A graph of a convolution and a product; nothing where `onnx` is not installed."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        return b""
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [0.1] * 108),
        helper.make_tensor("m", TensorProto.FLOAT, [36, 10], [0.1] * 360),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in (("x", [1, 3, 5, 5]), ("y", [1, 10]))
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    held: bytes = helper.make_model(graph).SerializeToString()
    return held


def png_bytes() -> bytes:
    """A small picture; nothing where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return b""
    out = io.BytesIO()
    Image.fromarray(images.KIND.sample("photographs").pixels[0, :20, :30]).save(out, "PNG")
    return out.getvalue()


class TestScenario(InputConformance):
    kind = scenario.KIND


class TestNetwork(InputConformance):
    kind = network.KIND

    def more_files(self) -> Iterator[dict[str, bytes]]:
        if held := onnx_bytes():
            yield {"x.onnx": held}


class TestWeights(InputConformance):
    kind = weights.KIND


class TestText(InputConformance):
    kind = text.KIND


class TestImages(InputConformance):
    kind = images.KIND

    def more_files(self) -> Iterator[dict[str, bytes]]:
        if held := png_bytes():
            yield {"x.png": held}
            yield {"x/cat/a.png": held, "x/dog/b.png": held}


class TestPredictions(InputConformance):
    kind = predictions.KIND


class TestTable(InputConformance):
    kind = table.KIND


class TestVectors(InputConformance):
    kind = vectors.KIND


class TestPrograms(InputConformance):
    kind = programs.KIND


class TestRuns(InputConformance):
    kind = runs.KIND


class TestGraph(InputConformance):
    kind = graph.KIND


class TestSeries(InputConformance):
    kind = series.KIND


class TestDesign(InputConformance):
    kind = design.KIND


class TestPortfolio(InputConformance):
    kind = portfolio.KIND


def test_every_kind_has_its_conformance_tests() -> None:
    tested = {cls.kind.name for cls in InputConformance.__subclasses__()}
    assert tested == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("tests", InputConformance.__subclasses__(), ids=lambda cls: cls.kind.name)
def test_two_thousand_wrong_files(tests: type[InputConformance]) -> None:
    hostile_reads(tests.kind, 2000, list(tests().more_files()))

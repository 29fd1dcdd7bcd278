"""ONNX graphs as networks: shapes are inferred, convolutions and products become layers, the rest streaming passes.

Needs the library `onnx`.  Symbolic sizes are taken as 1 where they are the batch; any
other unknown size is an error that names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from rooflab import extras
from rooflab.errors import InputError
from rooflab.operators.conv import Conv, Layer, Pass, Product
from rooflab.operators.networks import Network

__all__ = ["network_from_onnx"]

Shapes = Mapping[str, tuple[int, ...]]

_FREE: Final = frozenset(
    {
        "Cast", "Constant", "ConstantOfShape", "DequantizeLinear", "Dropout", "Equal", "Expand", "Flatten", "Gather",
        "Identity", "NonZero",
        "QuantizeLinear", "Range", "Reshape", "Shape", "Size", "Slice", "Split", "Squeeze", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""Views and shape arithmetic: nothing moves that counts."""
_NORMS: Final = frozenset({"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization"})


def network_from_onnx(path: str | Path) -> Network:
    """The network in an ONNX file that was exported for one image (the estimate takes the batch).

    Raises InputError for a file that is no model, sizes that cannot be inferred, or a missing `onnx` package.
    """
    model = _load(Path(path))
    graph = model.graph
    shapes = _shapes(model, str(path))
    weights = {tensor.name for tensor in graph.initializer}
    layers: list[Layer] = []
    for node in graph.node:
        try:
            layer = _layer(node, shapes, weights, str(path))
        except (LookupError, ZeroDivisionError):
            raise InputError(f"{node.op_type} {node.name!r} has inputs of unknown shape", str(path)) from None
        if layer is not None:
            layers.append(layer)
    inputs = [i for i in graph.input if i.name not in weights]
    if inputs and not shapes[inputs[0].name]:
        raise InputError(f"input {inputs[0].name!r} has no shape", str(path))
    images = shapes[inputs[0].name][0] if inputs else 1
    if images != 1:
        raise InputError(f"input {inputs[0].name!r} holds {images} images; export it for one", str(path))
    side = shapes[inputs[0].name][-1] if inputs else 0
    return Network(graph.name or Path(path).stem, side, tuple(layers), f"ONNX graph {Path(path).name}")


def _load(path: Path) -> Any:
    with extras.needed("onnx", "reading it", str(path)):
        import onnx
    if not path.is_file():
        raise InputError("no such file", str(path))
    try:
        model: Any = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf's own class, of a package that only onnx knows
        raise InputError("is not an ONNX model", str(path)) from None
    if not model.graph.node:
        raise InputError("is not an ONNX model", str(path))
    for entry in model.graph.input:
        dims = entry.type.tensor_type.shape.dim
        if len(dims) > 0 and not dims[0].dim_value:
            dims[0].dim_value = 1
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # likewise
        words = " ".join(str(error).split())[:100]
        raise InputError(f"has shapes that cannot be inferred ({words})", str(path)) from None


def _shapes(model: Any, where: str) -> dict[str, tuple[int, ...]]:
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        found[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    first = next((i for i in model.graph.input if i.name in found), None)
    if first is not None and 0 in found[first.name]:
        raise InputError(f"input {first.name!r} has a symbolic size; export it with fixed sizes", where)
    return found


def _layer(node: Any, shapes: Shapes, weights: set[str], where: str) -> Layer | None:
    if node.op_type in _FREE:
        return None
    out = shapes.get(node.output[0], ())
    if not out or 0 in out:
        raise InputError(f"size of {node.op_type} {node.name or node.output[0]!r} cannot be inferred", where)
    make = _MAKERS.get(node.op_type)
    if make is not None:
        return make(node, shapes, weights, out)
    params = sum(prod(shapes[i]) for i in node.input if i in weights)
    return Pass("norm" if node.op_type in _NORMS else node.op_type.lower(), prod(out), params)


def _conv(node: Any, shapes: Shapes, weights: set[str], out: tuple[int, ...]) -> Layer:
    attributes = {a.name: a for a in node.attribute}
    groups = int(attributes["group"].i) if "group" in attributes else 1
    kernel = shapes[node.input[1]]
    before = shapes[node.input[0]]
    rows, columns = (out[2], out[3]) if len(out) == 4 else (prod(out[2:]), 1)
    return Conv(
        name="conv",
        inputs=before[1],
        outputs=out[1],
        kernel=prod(kernel[2:]),
        groups=groups,
        height=rows,
        width=columns,
        in_pixels=prod(before[2:]),
        bias=len(node.input) > 2,
    )


def _matmul(node: Any, shapes: Shapes, weights: set[str], out: tuple[int, ...]) -> Layer:
    left, right = shapes[node.input[0]], shapes[node.input[1]]
    bias = node.op_type == "Gemm" and len(node.input) > 2
    if node.input[1] in weights or len(right) == 2:
        inputs = prod(right) // out[-1]
        rows = prod(out[:-1])
        return Conv(
            name="linear",
            inputs=inputs,
            outputs=out[-1],
            kernel=1,
            groups=1,
            height=rows,
            width=1,
            in_pixels=rows,
            tokens=True,
            bias=bias,
        )
    return Product("product", prod(out[:-2]), out[-2], out[-1], left[-1])


_MAKERS: Final[Mapping[str, Callable[[Any, Shapes, set[str], tuple[int, ...]], Layer]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gemm": _matmul,
    "MatMul": _matmul,
}

"""Layers of a network as the survey counts operators: of an ONNX graph, of a file of layers, of the catalogue.

Products and convolutions have two OPs a multiply-accumulate; weights are read once, elements in and out once. Attention
is listed in its parts. A pass over elements has 7 OPs an element for a normalisation, 5 for a softmax, 2 for an
activation, 1 for anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from rooflab.library.serving.llm_viewer.roofline import Count, Formats
from rooflab.operators.conv import Layer, Pass, PatchAttention
from rooflab.operators.networks import Network

__all__ = ["counts"]

_PER_ELEMENT: Final = {
    "norm": 7, "softmax": 5, "act": 2, "relu": 2, "gelu": 2, "silu": 2, "sigmoid": 2, "tanh": 2, "clip": 2,
    "hardswish": 2, "hardsigmoid": 2, "leakyrelu": 2,
}  # fmt: skip


def counts(network: Network, formats: Formats, batch: int) -> Iterator[Count]:
    """Operators of `batch` images, in order; a name that comes again gets a number."""
    seen: dict[str, int] = {}
    for layer in network.layers:
        for count in _layer(layer, formats, batch):
            seen[count.name] = seen.get(count.name, 0) + 1
            again = seen[count.name]
            yield count if again == 1 else replace(count, name=f"{count.name} {again}")


def _layer(layer: Layer, formats: Formats, batch: int) -> Iterator[Count]:
    a, times = formats.activations.bytes, layer.count
    if isinstance(layer, PatchAttention):
        pairs = batch * layer.windows * layer.heads * layer.queries * layer.keys
        products = 2.0 * batch * layer.windows * layer.queries * layer.keys * layer.width
        one, other = (batch * layer.windows * n * layer.width * a for n in (layer.queries, layer.keys))
        yield Count(name=f"{layer.name} qk_matmul", ops=products, read=one + other, written=pairs * a, times=times)
        yield Count(
            name=f"{layer.name} softmax",
            ops=_PER_ELEMENT["softmax"] * pairs,
            read=pairs * a,
            written=pairs * a,
            times=times,
        )
        yield Count(name=f"{layer.name} sv_matmul", ops=products, read=pairs * a + other, written=one, times=times)
        return
    streams = isinstance(layer, Pass)
    ops = _PER_ELEMENT.get(layer.name, 1) * layer.out_elements if streams else 2.0 * layer.macs
    params = layer.params if streams else layer.params / times
    yield Count(
        name=layer.name, ops=batch * ops / times, weights=params * formats.weights.bytes,
        read=batch * layer.in_elements * a / times, written=batch * layer.out_elements * a / times, times=times,
    )  # fmt: skip

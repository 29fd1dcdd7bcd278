"""Networks as lists of layers: of the catalogue by name, of an ONNX graph, or written down as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue.networks import network as named
from rooflab.errors import InputError, unknown
from rooflab.inputs.disturb import exchanging, halving, scaling, shuffled, shuffling
from rooflab.inputs.kind import Disturbance, Format, Kind
from rooflab.inputs.summary import Column, Summary, summary
from rooflab.operators.conv import Conv, Layer, Pass, PatchAttention, Product
from rooflab.operators.networks import Network
from rooflab.source.text import content, json_value

__all__ = ["KIND"]

_LAYERS: Final[Mapping[str, type[Layer]]] = {
    "conv": Conv, "attention": PatchAttention, "pass": Pass, "product": Product,
}  # fmt: skip
_OPS: Final = {cls: op for op, cls in _LAYERS.items()}
_FLAGS: Final = ("tokens", "bias", "fused")
LARGEST: Final = 10**9
"""Of a channel count, a size or a number of pixels."""


def _from_json(path: Path) -> Network:
    held = json_value(path)
    known = ("name", "image", "source", "layers")
    if not isinstance(held, dict) or not isinstance(held.get("layers"), list) or not held["layers"]:
        raise InputError("expected an object of name, image and layers (a list, not empty)", str(path))
    for key in held:
        if key not in known:
            raise unknown("field", key, known, str(path))
    name, source = held.get("name", path.stem), held.get("source", "")
    if not isinstance(name, str) or not isinstance(source, str):
        raise InputError("name and source are texts", str(path))
    image = _size(held.get("image", 0), "image", 0)
    return Network(name, image, tuple(_layer(row, f"layers[{i}]") for i, row in enumerate(held["layers"])), source)


def _layer(row: Any, where: str) -> Layer:
    if not isinstance(row, dict) or not isinstance(row.get("op"), str) or row["op"] not in _LAYERS:
        raise InputError(f"expected an object with op: one of {', '.join(_LAYERS)}", where)
    cls = _LAYERS[row["op"]]
    parts = {f.name: f for f in fields(cls)}
    values: dict[str, Any] = {"name": row["op"]}
    for key, value in row.items():
        if key == "op":
            continue
        if key not in parts:
            raise unknown("field", key, parts, where)
        if key == "name" or key in _FLAGS:
            if not isinstance(value, str if key == "name" else bool):
                raise InputError(f"{str(value)[:40]!a} is not {'a text' if key == 'name' else 'true or false'}",
                                 f"{where}.{key}")  # fmt: skip
            values[key] = value
        else:
            values[key] = _size(value, f"{where}.{key}", 0 if key == "params" else 1)
    try:
        layer: Layer = cls(**values)
    except TypeError:
        needed = [name for name, f in parts.items() if f.default is f.default_factory and name not in values]
        raise InputError(f"lacks {', '.join(needed)}", where) from None
    if isinstance(layer, Conv) and (layer.inputs % layer.groups or layer.outputs % layer.groups):
        raise InputError(f"{layer.inputs} to {layer.outputs} channels are not {layer.groups} equal groups", where)
    return layer


def _size(value: Any, where: str, low: int) -> int:
    if type(value) is not int or not low <= value <= LARGEST:
        raise InputError(f"{str(value)[:40]!a} is not a whole number of {low} to {LARGEST:,}", where)
    return value


def _to_json(network: Network) -> bytes:
    rows = [json.dumps({"op": _OPS[type(layer)], **_given(layer)}) for layer in network.layers]
    head = {"name": network.name, "image": network.image, "source": network.source}
    lead = json.dumps(head, ensure_ascii=False)[:-1]
    layers = ",\n  ".join(rows)
    return f'{lead}, "layers": [\n  {layers}\n]}}\n'.encode()


def _given(layer: Layer) -> dict[str, Any]:
    """Fields that are not as they are when nothing is said."""
    usual = {f.name: f.default for f in fields(layer)}
    return {name: value for name, value in asdict(layer).items() if value != usual[name]}


def _from_onnx(path: Path) -> Network:
    from rooflab.operators.networks_onnx import network_from_onnx

    content(path)
    return network_from_onnx(path)


def _describe(network: Network) -> Summary:
    macs = np.array([float(layer.macs) for layer in network.layers])
    kinds = tuple(layer.kind for layer in network.layers)
    counts = {
        "layers": len(network.layers), "million MACs": round(network.macs / 1e6),
        "parameters": round(network.params), "image": network.image,
    }  # fmt: skip
    found = summary(counts, {"kind": kinds, "macs": macs})
    total = Column(name="activations", type="number", low=network.activations, high=network.activations)
    return replace(found, columns=(*found.columns, total))


def _disturbances(network: Network) -> tuple[Disturbance[Network], ...]:
    return (
        scaling("positions", "pixels, windows and elements times a factor", _scale),
        halving(lambda n: len(n.layers), _take, "half of the layers"),
        shuffling("layers", "the order of the layers",
                  lambda n, rng: replace(n, layers=shuffled(n.layers, rng))),
        exchanging("inputs and outputs", "channels in and out, queries and keys, rows and columns", _exchange),
    )  # fmt: skip


def _take(network: Network, rows: npt.NDArray[np.int64]) -> Network:
    return replace(network, layers=tuple(network.layers[i] for i in rows))


def _scale(network: Network, factor: float) -> Network:
    def times(size: int) -> int:
        return max(round(size * factor), 1)

    def change(layer: Layer) -> Layer:
        if isinstance(layer, Conv):
            return replace(layer, height=times(layer.height), in_pixels=times(layer.in_pixels))
        if isinstance(layer, PatchAttention):
            return replace(layer, windows=times(layer.windows))
        if isinstance(layer, Product):
            return replace(layer, batch=times(layer.batch))
        return replace(layer, elements=times(layer.elements))

    return replace(network, layers=tuple(change(layer) for layer in network.layers))


def _exchange(network: Network) -> Network:
    def change(layer: Layer) -> Layer:
        if isinstance(layer, Conv):
            return replace(layer, inputs=layer.outputs, outputs=layer.inputs)
        if isinstance(layer, PatchAttention):
            return replace(layer, queries=layer.keys, keys=layer.queries)
        return replace(layer, m=layer.n, n=layer.m) if isinstance(layer, Product) else layer

    return replace(network, layers=tuple(change(layer) for layer in network.layers))


KIND: Final[Kind[Network]] = Kind(
    name="network",
    does="Layers of a network for one image: of the catalogue by name, of an ONNX graph, or as JSON.",
    data=Network,
    formats=(
        Format(suffix=".json", what="name, image, layers: objects with op conv, attention, product or pass", text=True,
               load=_from_json, dump=_to_json),
        Format(suffix=".onnx", what="a graph exported for one image", load=_from_onnx, needs="onnx"),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: _take(KIND.sample(), np.arange(4)),
    parts={
        "name": "what it is called",
        "image": "pixels of a side of the image; 0 where it reads none",
        "layers": "L layers in their order: convolutions and linear layers (channels, pixels), attention (windows, "
        "queries, keys, heads), products of activations, passes over elements",
        "source": "where the layers come from",
    },
    named=named,
    signs=(frozenset({"layers"}),),
)  # fmt: skip

"""Operators of vision networks: convolutions, attention over patches, streaming passes; shapes of one image.

A convolution is an implicit matrix product: m = height · width of the output (times images), n = outputs and
k = inputs · kernel of a group, one product a group.  A linear layer over tokens is a 1 × 1 convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Conv", "ConvKind", "Layer", "Pass", "PatchAttention", "Product"]

ConvKind = Literal["conv", "grouped", "depthwise", "linear", "attention", "pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """A convolution of `inputs` to `outputs` channels in `groups`; `height`, `width` of its output, `kernel` = rows ·
    columns.

    `in_pixels`: positions of its input.  `tokens`: whether it is a linear layer over tokens.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int
    groups: int
    height: int
    width: int
    in_pixels: int
    tokens: bool = False
    bias: bool = False
    count: int = 1

    @property
    def kind(self) -> ConvKind:
        """Which curve prices it."""
        if self.groups > 1:
            return "depthwise" if self.groups == self.inputs else "grouped"
        return "linear" if self.tokens else "conv"

    @property
    def out_elements(self) -> int:
        """Elements written, an image."""
        return self.count * self.outputs * self.height * self.width

    @property
    def in_elements(self) -> int:
        """Elements read, an image."""
        return self.count * self.inputs * self.in_pixels

    @property
    def macs(self) -> int:
        """Multiply-accumulates, an image."""
        return self.out_elements * (self.inputs // self.groups) * self.kernel

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.count * self.outputs * (self.inputs // self.groups * self.kernel + self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchAttention:
    """Softmax attention in `windows` of `queries` by `keys` tokens, `width` = heads · head size; scores stay on chip
    when `fused`."""

    name: str
    windows: int
    queries: int
    keys: int
    heads: int
    width: int
    fused: bool = True
    count: int = 1

    @property
    def kind(self) -> ConvKind:
        """Which curve prices it."""
        return "attention"

    @property
    def macs(self) -> int:
        """Scores and their product with the values, an image."""
        return self.count * 2 * self.windows * self.queries * self.keys * self.width

    @property
    def out_elements(self) -> int:
        """Elements written, an image: outputs, and scores that leave the chip (twice: before and after the softmax)."""
        scores = 0 if self.fused else 2 * self.heads * self.queries * self.keys
        return self.count * self.windows * (self.queries * self.width + scores)

    @property
    def in_elements(self) -> int:
        """Elements read, an image."""
        scores = 0 if self.fused else 2 * self.heads * self.queries * self.keys
        return self.count * self.windows * ((self.queries + 2 * self.keys) * self.width + scores)

    @property
    def params(self) -> int:
        """None."""
        return 0


@dataclass(frozen=True, slots=True)
class Pass:
    """A streaming pass that reads and writes `elements` each: norm, activation, sum, pooling; `params` of its scale and
    shift."""

    name: str
    elements: int
    params: int = 0
    count: int = 1

    @property
    def kind(self) -> ConvKind:
        """Which curve prices it."""
        return "pass"

    @property
    def macs(self) -> int:
        """Not counted."""
        return 0

    @property
    def out_elements(self) -> int:
        """Elements written, an image."""
        return self.elements * self.count

    @property
    def in_elements(self) -> int:
        """Elements read, an image."""
        return self.elements * self.count


@dataclass(frozen=True, slots=True)
class Product:
    """`batch` products (m × k)(k × n) of two activations: the halves of an attention that a graph spells out."""

    name: str
    batch: int
    m: int
    n: int
    k: int
    count: int = 1

    @property
    def kind(self) -> ConvKind:
        """Which curve prices it."""
        return "attention"

    @property
    def macs(self) -> int:
        """Multiply-accumulates, an image."""
        return self.count * self.batch * self.m * self.n * self.k

    @property
    def out_elements(self) -> int:
        """Elements written, an image."""
        return self.count * self.batch * self.m * self.n

    @property
    def in_elements(self) -> int:
        """Elements read, an image."""
        return self.count * self.batch * self.k * (self.m + self.n)

    @property
    def params(self) -> int:
        """None."""
        return 0


Layer: TypeAlias = Conv | PatchAttention | Pass | Product

"""Vision networks as lists of layers, made by builders from the few numbers that their papers state.

A builder is a function from a `Stack` (an image that flows through layers) and the network's numbers; the catalogue
holds the numbers.  Counts follow the usual convention: MACs of convolutions, linear layers and attention products;
activations are the elements that these write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from rooflab.operators.conv import Conv, Layer, Pass, PatchAttention

__all__ = ["BUILDERS", "Builder", "Network", "Stack", "build", "builder", "round_channels"]


@dataclass(frozen=True, slots=True)
class Network:
    """A network at one image size: its layers in order, and where they come from."""

    name: str
    image: int
    layers: tuple[Layer, ...]
    source: str = ""

    @property
    def macs(self) -> float:
        """Multiply-accumulates, an image."""
        return float(sum(layer.macs for layer in self.layers))

    @property
    def params(self) -> float:
        """Weights."""
        return float(sum(layer.params for layer in self.layers))

    @property
    def activations(self) -> float:
        """Elements written by convolutions, linear layers and attention, an image."""
        return float(sum(layer.out_elements for layer in self.layers if not isinstance(layer, Pass)))


@dataclass(slots=True)
class Stack:
    """An image of `channels` × `height` × `width` on its way through a network; layers collect in `layers`."""

    channels: int
    height: int
    width: int
    layers: list[Layer] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Positions now."""
        return self.height * self.width

    @property
    def elements(self) -> int:
        """Elements now."""
        return self.channels * self.pixels

    def conv(
        self, outputs: int, kernel: int | tuple[int, int] = 1, stride: int = 1, groups: int = 1, *, norm: bool = True,
        act: bool = True,
        valid: bool = False, bias: bool = False, name: str = "conv",
    ) -> None:  # fmt: skip
        """A convolution, the batch norm behind it and an activation; `valid`: no padding."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        before = self.pixels
        self.height = (self.height - rows) // stride + 1 if valid else ceil(self.height / stride)
        self.width = (self.width - columns) // stride + 1 if valid else ceil(self.width / stride)
        self.layers.append(
            Conv(
                name=name,
                inputs=self.channels,
                outputs=outputs,
                kernel=rows * columns,
                groups=groups,
                height=self.height,
                width=self.width,
                in_pixels=before,
                bias=bias,
            )
        )
        self.channels = outputs
        if norm:
            self.norm()
        if act:
            self.act()

    def linear(self, outputs: int, *, bias: bool = True, act: bool = False, name: str = "linear") -> None:
        """A linear layer over every position (tokens)."""
        self.layers.append(
            Conv(
                name=name,
                inputs=self.channels,
                outputs=outputs,
                kernel=1,
                groups=1,
                height=self.height,
                width=self.width,
                in_pixels=self.pixels,
                tokens=True,
                bias=bias,
            )
        )
        self.channels = outputs
        if act:
            self.act()

    def norm(self) -> None:
        """A normalisation with scale and shift."""
        self.layers.append(Pass("norm", self.elements, 2 * self.channels))

    def act(self) -> None:
        """An activation."""
        self.layers.append(Pass("act", self.elements))

    def add(self) -> None:
        """A residual sum."""
        self.layers.append(Pass("add", self.elements))

    def scale(self) -> None:
        """A learned factor a channel."""
        self.layers.append(Pass("scale", self.elements, self.channels))

    def pool(self, kernel: int, stride: int, *, valid: bool = False) -> None:
        """A pooling window."""
        self.layers.append(Pass("pool", self.elements))
        self.height = (self.height - kernel) // stride + 1 if valid else ceil(self.height / stride)
        self.width = (self.width - kernel) // stride + 1 if valid else ceil(self.width / stride)

    def squeeze_excite(self, middle: int, *, bias: bool = True) -> None:
        """Channel gates: mean of the image, two small layers, a product."""
        channels, pixels = self.channels, self.pixels
        self.layers.append(Pass("se", self.elements))
        for inputs, outputs in ((channels, middle), (middle, channels)):
            self.layers.append(
                Conv(
                    name="se",
                    inputs=inputs,
                    outputs=outputs,
                    kernel=1,
                    groups=1,
                    height=1,
                    width=1,
                    in_pixels=1,
                    bias=bias,
                )
            )
        self.layers.append(Pass("se", channels * pixels))

    def attention(self, heads: int, width: int, *, window: int = 0, fused: bool = True) -> None:
        """Softmax attention among all tokens, or in square windows of `window` positions a side."""
        if window:
            windows = ceil(self.height / window) * ceil(self.width / window)
            self.layers.append(
                PatchAttention(
                    name="attention",
                    windows=windows,
                    queries=window**2,
                    keys=window**2,
                    heads=heads,
                    width=width,
                    fused=fused,
                )
            )
        else:
            self.layers.append(
                PatchAttention(
                    name="attention",
                    windows=1,
                    queries=self.pixels,
                    keys=self.pixels,
                    heads=heads,
                    width=width,
                    fused=fused,
                )
            )

    def branch(self) -> Stack:
        """Another path from here; its layers are appended by `join`."""
        return Stack(self.channels, self.height, self.width)

    def join(self, other: Stack) -> None:
        """The layers of a path that ran beside this one."""
        self.layers.extend(other.layers)

    def classify(self, classes: int = 1000) -> None:
        """Mean over positions and the classifier."""
        self.layers.append(Pass("pool", self.elements))
        self.height = self.width = 1
        self.linear(classes)


Builder = Callable[..., None]
BUILDERS: Final[dict[str, Builder]] = {}


def builder(function: Builder) -> Builder:
    """Register a builder under its name."""
    BUILDERS[function.__name__] = function
    return function


def build(name: str, image: int, kind: str, numbers: dict[str, Any], source: str = "") -> Network:
    """The network `name` for square images of `image` pixels a side, by the builder `kind`."""
    stack = Stack(3, image, image)
    BUILDERS[kind](stack, **numbers)
    return Network(name, image, tuple(stack.layers), source)


def round_channels(channels: float, divisor: int = 8, least: float = 0.9) -> int:
    """Channels scaled by a width factor: the nearest multiple of `divisor`, never below `least` of what was asked
    (MobileNetV2)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < least * channels else rounded

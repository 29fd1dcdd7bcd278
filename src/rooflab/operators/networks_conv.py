"""Builders of convolutional networks: ResNet and its kin, RegNet, VGG, RepVGG, DenseNet, ConvNeXt, Xception,
Inception."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rooflab.operators.conv import Pass
from rooflab.operators.networks import Stack, builder

__all__ = ["convnext", "densenet", "inception_v3", "regnet", "repvgg", "resnet", "vgg", "xception"]


def _shortcut(stack: Stack, outputs: int, stride: int, *, pooled: bool) -> None:
    """The projection beside a block that changes shape; `pooled`: a mean pool, then a 1 × 1 (ResNet-D)."""
    if stride == 1 and stack.channels == outputs:
        return
    side = stack.branch()
    if pooled and stride > 1:
        side.pool(stride, stride)
        side.conv(outputs, 1, act=False)
    else:
        side.conv(outputs, 1, stride, act=False)
    stack.join(side)


@builder
def resnet(
    stack: Stack, *, layers: Sequence[int], block: str = "bottleneck", groups: int = 1, base: int = 64,
    stem: Sequence[int] = (),
    pooled: bool = False, se: float = 0.0, width: int = 1,
) -> None:  # fmt: skip
    """ResNet (He et al. 2015), ResNeXt (`groups`, `base` width), SE (`se` ratio), deep stems (ResNet-C/D/T), wide BiT
    (`width`)."""
    if stem:
        stack.conv(stem[0], 3, 2)
        for channels in stem[1:]:
            stack.conv(channels, 3)
    else:
        stack.conv(64 * width, 7, 2)
    stack.pool(3, 2)
    for stage, depth in enumerate(layers):
        planes = 64 * 2**stage * width
        outputs = planes if block == "basic" else 4 * planes
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            _shortcut(stack, outputs, stride, pooled=pooled)
            if block == "basic":
                stack.conv(planes, 3, stride)
                stack.conv(planes, 3, act=False)
            else:
                middle = int(planes * base / 64) * groups
                stack.conv(middle, 1)
                stack.conv(middle, 3, stride, groups)
                stack.conv(outputs, 1, act=False)
            if se:
                stack.squeeze_excite(int(outputs * se))
            stack.add()
            stack.act()
    stack.classify()


def regnet_widths(depth: int, w0: float, wa: float, wm: float, group: int) -> list[tuple[int, int, int]]:
    """(width, depth, group width) of each stage from the quantised linear rule (Radosavovic et al. 2020, section 3)."""
    linear = w0 + wa * np.arange(depth)
    steps = np.round(np.log(linear / w0) / np.log(wm))
    quantised = np.round(w0 * wm**steps / 8).astype(int) * 8
    stages = []
    for value in np.unique(quantised):
        size = min(group, int(value))
        stages.append((round(int(value) / size) * size, int((quantised == value).sum()), size))
    return stages


@builder
def regnet(stack: Stack, *, depth: int, w0: float, wa: float, wm: float, group: int, se: float = 0.0) -> None:
    """RegNetX, and RegNetY with `se` 0.25 of a block's inputs (Radosavovic et al. 2020)."""
    stack.conv(32, 3, 2)
    for width, count, size in regnet_widths(depth, w0, wa, wm, group):
        for index in range(count):
            stride, inputs = (2 if index == 0 else 1), stack.channels
            _shortcut(stack, width, stride, pooled=False)
            stack.conv(width, 1)
            stack.conv(width, 3, stride, width // size)
            if se:
                stack.squeeze_excite(round(inputs * se))
            stack.conv(width, 1, act=False)
            stack.add()
            stack.act()
    stack.classify()


@builder
def vgg(stack: Stack, *, stages: Sequence[int], norm: bool = False) -> None:
    """VGG (Simonyan and Zisserman 2014): 3 × 3 convolutions, pools, three linear layers."""
    for stage, depth in enumerate(stages):
        for _ in range(depth):
            stack.conv(min(64 * 2**stage, 512), 3, norm=norm, bias=True)
        stack.pool(2, 2)
    stack.conv(4096, 7, norm=False, valid=True, bias=True)
    stack.conv(4096, 1, norm=False, bias=True)
    stack.classify()


@builder
def repvgg(stack: Stack, *, depths: Sequence[int], widths: Sequence[float], groups: int = 1) -> None:
    """RepVGG as deployed (Ding et al. 2021): plain 3 × 3 convolutions; `groups` in every second layer."""
    stack.conv(min(64, int(64 * widths[0])), 3, 2, norm=False, bias=True)
    layer = 1
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for index in range(depth):
            split = groups if layer % 2 == 0 else 1
            layer += 1
            stack.conv(int(64 * 2**stage * width), 3, 2 if index == 0 else 1, split, norm=False, bias=True)
    stack.classify()


@builder
def densenet(stack: Stack, *, growth: int, stem: int, blocks: Sequence[int]) -> None:
    """DenseNet-BC (Huang et al. 2016): every layer reads all before it in its block."""
    stack.conv(stem, 7, 2)
    stack.pool(3, 2)
    for stage, depth in enumerate(blocks):
        for _ in range(depth):
            held = stack.channels
            stack.norm()
            stack.act()
            stack.conv(4 * growth, 1)
            stack.conv(growth, 3, norm=False, act=False)
            stack.channels = held + growth
            stack.add()  # the concatenation copies everything
        stack.norm()
        stack.act()
        if stage < len(blocks) - 1:
            stack.conv(stack.channels // 2, 1, norm=False, act=False)
            stack.pool(2, 2, valid=True)
    stack.classify()


@builder
def convnext(stack: Stack, *, depths: Sequence[int], width: int, grn: bool = False) -> None:
    """ConvNeXt (Liu et al. 2022) and V2 (`grn`: response normalisation in place of the learned scale)."""
    stack.conv(width, 4, 4, act=False, valid=True, bias=True)
    for stage, depth in enumerate(depths):
        dim = width * 2**stage
        if stage:
            stack.norm()
            stack.conv(dim, 2, 2, norm=False, act=False, valid=True, bias=True)
        for _ in range(depth):
            stack.conv(dim, 7, groups=dim, act=False, bias=True)
            stack.linear(4 * dim, act=True)
            if grn:
                for _ in range(3):  # mean square, ratio, scale and shift
                    stack.act()
                stack.layers.append(Pass("grn", stack.elements, 2 * stack.channels))
            stack.linear(dim)
            if not grn:
                stack.scale()
            stack.add()
    stack.norm()
    stack.classify()


@builder
def xception(stack: Stack, *, middle: int = 8, aligned: bool = False) -> None:
    """Xception (Chollet 2016), or its aligned form with strided separable convolutions (DeepLabV3+)."""

    def separable(outputs: int, stride: int = 1) -> None:
        stack.conv(stack.channels, 3, stride, stack.channels, norm=aligned, act=False)
        stack.conv(outputs, 1)

    stack.conv(32, 3, 2, valid=not aligned)
    stack.conv(64, 3, valid=not aligned)
    for outputs in (128, 256, 728):
        _shortcut(stack, outputs, 2, pooled=False)
        for index in range(3 if aligned else 2):
            separable(outputs, 2 if aligned and index == 2 else 1)
        if not aligned:
            stack.pool(3, 2)
        stack.add()
    for _ in range(middle):
        for _ in range(3):
            separable(728)
        stack.add()
    _shortcut(stack, 1024, 2, pooled=False)
    separable(728)
    separable(1024)
    if aligned:
        separable(1024, 2)
    else:
        stack.pool(3, 2)
    stack.add()
    for outputs in (1536, 1536, 2048) if aligned else (1536, 2048):
        separable(outputs)
    stack.classify()


def _mixed(
    stack: Stack, paths: Sequence[Sequence[tuple[int, tuple[int, int], int]]], pooled: int = 0, stride: int = 1
) -> None:
    """An Inception block: paths of (outputs, kernel, stride) side by side, and a pool with `pooled` outputs (0: none
    kept as is)."""
    outputs, end = 0, stack
    for path in paths:
        side = stack.branch()
        for channels, kernel, step in path:
            side.conv(channels, kernel, step, valid=step > 1)
        stack.join(side)
        outputs, end = outputs + side.channels, side
    side = stack.branch()
    side.pool(3, stride, valid=stride > 1)
    if pooled:
        side.conv(pooled, 1)
    stack.join(side)
    stack.channels, stack.height, stack.width = outputs + side.channels, end.height, end.width


@builder
def inception_v3(stack: Stack) -> None:
    """Inception-v3 (Szegedy et al. 2015, table 1)."""
    for outputs, kernel, stride, valid in ((32, 3, 2, True), (32, 3, 1, True), (64, 3, 1, False)):
        stack.conv(outputs, kernel, stride, valid=valid)
    stack.pool(3, 2, valid=True)
    stack.conv(80, 1)
    stack.conv(192, 3, valid=True)
    stack.pool(3, 2, valid=True)
    one, three, five = (1, 1), (3, 3), (5, 5)
    for pooled in (32, 64, 64):
        paths = ([(64, one, 1)], [(48, one, 1), (64, five, 1)], [(64, one, 1), (96, three, 1), (96, three, 1)])
        _mixed(stack, paths, pooled)
    _mixed(stack, ([(384, three, 2)], [(64, one, 1), (96, three, 1), (96, three, 2)]), stride=2)
    row, column = (1, 7), (7, 1)
    for c in (128, 160, 160, 192):
        long = [(c, one, 1), (c, column, 1), (c, row, 1), (c, column, 1), (192, row, 1)]
        _mixed(stack, ([(192, one, 1)], [(c, one, 1), (c, row, 1), (192, column, 1)], long), 192)
    _mixed(
        stack,
        ([(192, one, 1), (320, three, 2)], [(192, one, 1), (192, row, 1), (192, column, 1), (192, three, 2)]),
        stride=2,
    )
    for _ in range(2):
        # the last 3 × 3 of two paths is a 1 × 3 and a 3 × 1 side by side
        split = [(384, one, 1), (768, (1, 3), 1)]
        _mixed(stack, ([(320, one, 1)], split, [(448, one, 1), (384, three, 1), (768, (1, 3), 1)]), 192)
    stack.classify()

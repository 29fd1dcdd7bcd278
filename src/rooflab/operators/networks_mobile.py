"""Builders of networks made of inverted residuals: MobileNet V1 to V3, MnasNet, EfficientNet V1 and V2, TinyNet."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from rooflab.operators.networks import Stack, builder, round_channels

__all__ = ["efficientnet", "inverted", "mobilenet_v1", "mobilenet_v3"]


def inverted(
    stack: Stack, outputs: int, kernel: int, stride: int, *, middle: int, squeeze: int = 0, fused: bool = False
) -> None:
    """An inverted residual: widen to `middle`, filter by depth, gate by `squeeze` channels, narrow; `fused`: the first
    two are one."""
    inputs = stack.channels
    if fused and middle == inputs:
        stack.conv(outputs, kernel, stride)
    elif fused:
        stack.conv(middle, kernel, stride)
        if squeeze:
            stack.squeeze_excite(squeeze)
        stack.conv(outputs, 1, act=False)
    else:
        if middle != inputs:
            stack.conv(middle, 1)
        stack.conv(middle, kernel, stride, middle)
        if squeeze:
            stack.squeeze_excite(squeeze)
        stack.conv(outputs, 1, act=False)
    if stride == 1 and inputs == outputs:
        stack.add()


@builder
def efficientnet(
    stack: Stack, *, stages: Sequence[Sequence[float]], stem: int = 32, head: int = 1280, width: float = 1.0,
    depth: float = 1.0,
    se: float = 0.25, fixed_ends: bool = False, fixed_head: bool = False, least: float = 0.9, nearest: bool = False,
) -> None:  # fmt: skip
    """EfficientNet (Tan and Le 2019, 2021), MobileNetV2, MnasNet: stages of (expansion, kernel, stride, channels,
    blocks, fused, se).

    `width`, `depth` scale channels and blocks; `fixed_ends` leaves stem, head and the depth of the outer stages alone
    (Lite); `se` is the share of a block's inputs that its gates have; `nearest` rounds scaled depths instead of up.
    """
    stack.conv(stem if fixed_ends else round_channels(stem * width, least=least), 3, 2)
    for number, stage in enumerate(stages):
        expansion, kernel, stride, channels, blocks = stage[:5]
        fused = bool(stage[5]) if len(stage) > 5 else False
        gated = float(stage[6]) if len(stage) > 6 else se
        outer = fixed_ends and number in (0, len(stages) - 1)
        repeat = int(blocks) if outer else max(round(blocks * depth), 1) if nearest else ceil(blocks * depth)
        outputs = round_channels(channels * width, least=least)
        for index in range(repeat):
            inputs = stack.channels
            middle = round_channels(inputs * expansion) if expansion != 1 else inputs
            squeeze = round(inputs * gated) if gated else 0
            step = int(stride) if index == 0 else 1
            inverted(stack, outputs, int(kernel), step, middle=middle, squeeze=squeeze, fused=fused)
    wide = fixed_ends or fixed_head
    stack.conv(head if wide else round_channels(head * width, least=least), 1)
    stack.classify()


@builder
def mobilenet_v1(stack: Stack, *, width: float = 1.0) -> None:
    """MobileNet (Howard et al. 2017): depthwise separable convolutions."""
    stack.conv(round_channels(32 * width), 3, 2)
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
    for channels, stride in plan:
        stack.conv(stack.channels, 3, stride, stack.channels)
        stack.conv(round_channels(channels * width), 1)
    stack.classify()


@builder
def mobilenet_v3(
    stack: Stack,
    *,
    blocks: Sequence[Sequence[float]],
    last: int,
    head: int,
    width: float = 1.0,
    minimal: bool = False,
    depth: float = 1.0,
) -> None:
    """MobileNetV3 (Howard et al. 2019): blocks of (kernel, expansion, channels, gated, stride, repeats); `minimal`: 3 ×
    3, no gates."""
    stack.conv(16 if width < 0.75 or minimal or width <= 1 else round_channels(16 * width), 3, 2)
    for kernel, expansion, channels, gated, stride, repeats in blocks:
        for index in range(ceil(repeats * depth)):
            inputs = stack.channels
            middle = inputs if expansion == 1 else round_channels(inputs * expansion)
            squeeze = round_channels(middle / 4) if gated and not minimal else 0
            size = 3 if minimal else int(kernel)
            step = int(stride) if index == 0 else 1
            inverted(stack, round_channels(channels * width), size, step, middle=middle, squeeze=squeeze)
    stack.conv(round_channels(last * width), 1)
    stack.pool(stack.height, stack.height)
    stack.conv(head if width <= 1 else round_channels(head * width), 1, norm=False, bias=True)
    stack.classify()

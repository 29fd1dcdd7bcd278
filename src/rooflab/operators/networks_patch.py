"""Builders of networks over patches: ViT and DeiT, Swin, MLP-Mixer."""

from __future__ import annotations

from collections.abc import Sequence

from rooflab.operators.conv import Pass, PatchAttention
from rooflab.operators.networks import Stack, builder

__all__ = ["mixer", "swin", "vit"]


def _encoder_block(
    stack: Stack,
    heads: int,
    hidden: int,
    *,
    window: int = 0,
    fused: bool = True,
    gated: bool = False,
    scaled: bool = False,
) -> None:
    width = stack.channels
    stack.norm()
    stack.linear(3 * width)
    stack.attention(heads, width, window=window, fused=fused)
    stack.channels = width
    stack.linear(width)
    if scaled:
        stack.scale()
    stack.add()
    stack.norm()
    if gated:
        stack.linear(2 * hidden)
        stack.channels = hidden
        stack.act()
    else:
        stack.linear(hidden, act=True)
    stack.linear(width)
    if scaled:
        stack.scale()
    stack.add()


@builder
def vit(
    stack: Stack, *, patch: int, width: int, depth: int, heads: int, ratio: float = 4.0, extra: int = 1,
    gated: bool = False,
    scaled: bool = False, pooled_by_attention: bool = False, classes: int = 1000,
) -> None:  # fmt: skip
    """Vision Transformer (Dosovitskiy et al. 2020): `extra` class and register tokens; `gated` and `scaled` as in
    DINOv2, DeiT III."""
    stack.conv(width, patch, patch, norm=False, act=False, valid=True, bias=True)
    stack.height, stack.width = stack.pixels + extra, 1
    stack.layers.append(Pass("position", stack.elements, stack.elements))
    for _ in range(depth):
        _encoder_block(stack, heads, int(width * ratio), gated=gated, scaled=scaled)
    stack.norm()
    if pooled_by_attention:
        _attention_pool(stack, heads, int(width * ratio))
    if classes:
        stack.classify(classes)


def _attention_pool(stack: Stack, heads: int, hidden: int) -> None:
    """One learned query reads all tokens, then a two-layer network (SigLIP)."""
    width, tokens = stack.channels, stack.pixels
    stack.linear(2 * width)
    stack.layers.append(PatchAttention(name="pool", windows=1, queries=1, keys=tokens, heads=heads, width=width))
    stack.channels, stack.height, stack.width = width, 1, 1
    for outputs in (width, width, hidden, width):
        stack.linear(outputs)


@builder
def swin(
    stack: Stack,
    *,
    width: int,
    depths: Sequence[int],
    heads: Sequence[int],
    window: int = 7,
    patch: int = 4,
    cosine: bool = False,
) -> None:
    """Swin Transformer (Liu et al. 2021): attention in shifted windows; V2 (`cosine`) norms after, with position
    networks."""
    stack.conv(width, patch, patch, act=False, valid=True, bias=True)
    for stage, (depth, head) in enumerate(zip(depths, heads, strict=True)):
        if stage:
            # four neighbours become one token of twice the width
            stack.height, stack.width = -(-stack.height // 2), -(-stack.width // 2)
            stack.channels = 4 * stack.channels
            stack.norm()
            stack.linear(stack.channels // 2, bias=False)
        side = min(window, stack.height)
        for _ in range(depth):
            _encoder_block(stack, head, 4 * stack.channels, window=side, fused=not cosine)
            for _ in range(4):  # windows are shifted, cut, joined, shifted back
                stack.add()
    stack.norm()
    stack.classify()


@builder
def mixer(stack: Stack, *, patch: int, width: int, depth: int, token_ratio: float = 0.5, ratio: float = 4.0) -> None:
    """MLP-Mixer (Tolstikhin et al. 2021): linear layers across patches, then across channels."""
    stack.conv(width, patch, patch, norm=False, act=False, valid=True, bias=True)
    tokens = stack.pixels
    for _ in range(depth):
        stack.norm()
        across = Stack(tokens, width, 1)
        across.linear(int(width * token_ratio), act=True)
        across.linear(tokens)
        stack.join(across)
        stack.add()
        stack.norm()
        stack.linear(int(width * ratio), act=True)
        stack.linear(width)
        stack.add()
    stack.norm()
    stack.classify()

"""What an engine keeps and touches beside a checkpoint's own bytes: padding of its kernels, scales, its widest step.

Engines lay expert weights out for their kernels, whose tiles want widths that are multiples of 64 to 256, and vLLM
sizes its cache after a step of its own that draws tokens for as many sequences as it takes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rooflab.operators.formats import StepFormats
from rooflab.operators.offload import stored_bytes
from rooflab.operators.ops import ExpertGemm
from rooflab.scenario.deployment import Held
from rooflab.scenario.model import Experts, Model

__all__ = ["activation_bytes", "expert_bytes"]

_ACTIVATION_COPIES: Final = 4.0
"""Hidden-wide buffers that live at once in a block (input, residual, normed, output); assumed."""
_SAMPLER_BYTES: Final = 41.0
"""Bytes a sequence and word of vLLM's vocabulary at the peak of a draw with top-k and top-p: logits in 16 and 32 bits,
sorted values, 64-bit places, and what a radix sort of both writes beside them. 1.26 GiB for 256 sequences and 128,256
words, on one device as on each of two (log in vllm-project/vllm 10511), where a step's layers need less."""
_PADDED_ENGINES: Final = ("vllm", "sglang")
_TILES: Final = {
    # expert width and hidden size become multiples of these (vLLM, layers/quantization/mxfp4.py, create_weights):
    # Marlin on devices without units for it, TensorRT-LLM's kernels on Blackwell, AITER's on CDNA
    "ampere": (128, 256), "ada": (128, 256), "blackwell-rtx": (128, 256), "blackwell": (256, 256),
    "cdna3": (256, 256), "cdna4": (256, 256),
    # Triton's: the swizzle pads one side of gpt-oss's 2,880 to 3,072 (64.38 GiB in vllm-project/vllm 33155)
    "hopper": (64, 256),
}  # fmt: skip
_MARLIN_TILE: Final = (128, 256)
_MARLIN_SCALES: Final = ("hopper", "blackwell-rtx")
"""Families on which SGLang runs mxfp4 experts of fp8 checkpoints with Marlin (layers/quantization/mxfp4_marlin_moe.py);
the scales that it loads, one in fp32 for 32 weights, stay beside those that it repacks (marlin_utils_fp4.py)."""


def expert_bytes(op: ExpertGemm, formats: StepFormats, engine: str, family: str) -> float:
    """Bytes that one rank keeps of routed experts as `engine` lays them out on a device of `family`."""
    plain = float(np.asarray(stored_bytes(op)))
    if op.weight.name != "mxfp4" or engine not in _PADDED_ENGINES or family not in _TILES:
        return plain
    marlin = engine == "sglang" and family in _MARLIN_SCALES
    for size, tile in zip((op.width, op.hidden), _MARLIN_TILE if marlin else _TILES[family], strict=True):
        each = float(np.asarray(size))
        plain *= np.ceil(each / tile) * tile / each
    if marlin and formats.weights.compute == "fp8":
        plain *= 1.0 + 4.0 / 32.0 / op.weight.bytes
    return float(plain)


def activation_bytes(model: Model, d: Held) -> float:
    """Peak of what lives for a step only: activations of the largest step and the fp32 logits of its sequences; in
    vLLM, which sizes its cache after drawing tokens for all the sequences it takes, that draw where it is wider."""
    tokens = d.limits.max_num_batched_tokens / (d.split.dp * d.split.cp)
    layers = tokens * (_ACTIVATION_COPIES * model.hidden + _inner_width(model, d.split.tp or 1)) * 2.0
    if not model.head or model.vision:
        return layers
    drawn = min(d.limits.max_num_seqs, d.limits.max_num_batched_tokens) * model.vocab / d.split.dp
    # engines that fetch weights from the host take thousands of sequences, and draw for some of them at a time; assumed
    if d.runtime.engine == "vllm" and d.runtime.offload is None:
        return max(layers, drawn * _SAMPLER_BYTES)
    return layers + drawn * 4.0 / (d.split.tp or 1)


def _inner_width(model: Model, tp: int) -> float:
    """Elements a token between the matrices of the widest feed-forward."""
    width = 0.0
    for run in model.runs:
        ffn = run.block.ffn
        if isinstance(ffn, Experts):
            # permuted copies of each token for its experts, processed in chunks by every engine
            width = max(width, ffn.top_k * 2.0 * (ffn.latent or model.hidden) / 4.0 + ffn.width * ffn.top_k / tp)
        elif ffn is not None:
            width = max(width, ffn.width * (ffn.matrices - 1.0) / tp)
    return width

"""Weights of the towers that read images and sounds for a text model: they share its memory, and no step of tokens
reads them."""

from __future__ import annotations

from typing import Final

from rooflab.errors import InputError
from rooflab.scenario.hf.config import HIDDEN, LAYERS, Config
from rooflab.scenario.hf.feedforward import sparse_layers

__all__ = ["tower_parameters"]

_TOWERS: Final = ("vision_config", "visual", "audio_config", "encoder_config", "qformer_config")
_BESIDE: Final = ("perceiver_config", "projector_config", "high_res_vision_config", "vq_config", "speech_config")
_WIDTH: Final = ("hidden_size", "embed_dim", "width", "d_model", "vt_hidden_size")
_DEPTH: Final = ("num_hidden_layers", "depth", "layers", "encoder_layers", "num_layers", "vt_num_hidden_layers")
_FFN: Final = ("intermediate_size", "encoder_ffn_dim", "vt_intermediate_size")
_GLM: Final = ("glm4v", "glm46v", "glmga")
_GATED: Final = ("qwen2_5_vl", "pixtral", "gemma4", "mistral3")


def tower_parameters(outer: Config, text: Config) -> tuple[int, tuple[str, ...]]:
    """Weights of the towers of `outer`, from their widths and depths, and the parts that say too little to be counted:
    four matrices of attention and two of a feed-forward (three in the families that gate it) a layer, the projection
    into the text model, and the experts of `text` that see images only."""
    total, uncounted = 0, []
    for part in (outer, outer.sub("thinker_config")):
        for key in (*_TOWERS, *_BESIDE) if part is not None and part.data is not text.data else ():
            tower = part.data.get(key) if part else None
            if part is None or not isinstance(tower, dict) or not tower:
                continue
            try:
                size = _layers(Config(tower, part.at(key)), part.text("model_type")) if key in _TOWERS else 0
            except InputError:
                size = 0  # a tower under other keys: nothing can be said of its size
            total += size
            uncounted += [] if size else [key]
    return total + _image_experts(text), tuple(uncounted)


def _image_experts(c: Config) -> int:
    """Weights of experts in a second list (ERNIE 4.5 VL): tokens of text go to those of the first."""
    if not c.text("model_type").startswith("ernie4_5_vl") or not isinstance(c.data.get("moe_intermediate_size"), list):
        return 0
    widths = c.numbers("moe_intermediate_size")
    counts = c.numbers("moe_num_experts") if isinstance(c.data.get("moe_num_experts"), list) else []
    counts = counts or [c.whole("moe_num_experts", "num_experts", "num_local_experts", default=0)] * len(widths)
    beside = sum(count * width for count, width in zip(counts[1:], widths[1:], strict=False))
    return 3 * c.count(*HIDDEN) * beside * sum(sparse_layers(c, c.count(*LAYERS)))


def _layers(c: Config, model_type: str) -> int:
    if not c.has(*_DEPTH) or not c.has(*_WIDTH):
        return 0
    # Qwen-VL calls the text model's width hidden_size, and the tower's embed_dim
    width, depth = c.count(*(("embed_dim", *_WIDTH) if c.has("embed_dim") else _WIDTH)), c.count(*_DEPTH)
    depth += c.whole("num_global_layers", default=0)
    inner = c.count(*_FFN, default=int(c.number("mlp_ratio", 4.0) * width))
    matrices = 3 if model_type.startswith(_GATED) else 2
    if model_type.startswith(_GLM):  # its intermediate_size is that of the projection
        merger = c.count("out_hidden_size")
        layer, matrices = 4 * width * width + 3 * width * merger, 3
        return depth * layer + merger * (merger + 4 * width + matrices * inner)
    patch = c.maybe("patch_size") or 14
    embedding = 3 * patch * patch * width * (c.maybe("temporal_patch_size") or 1)
    out = c.maybe("out_hidden_size", "projection_dim") or 0
    merged = width * (c.maybe("spatial_merge_size") or 1) ** 2
    return depth * (4 * width * width + matrices * width * inner) + embedding + (merged + out) * merged * bool(out)

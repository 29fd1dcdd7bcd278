"""Weights of the towers that read images and sounds for a text model: they share its memory, and no step of tokens
reads them."""

from __future__ import annotations

from typing import Final

from rooflab.errors import InputError
from rooflab.scenario.hf.config import Config

__all__ = ["tower_parameters"]

_TOWERS: Final = ("vision_config", "visual", "audio_config")
_WIDTH: Final = ("hidden_size", "embed_dim", "width", "d_model", "vt_hidden_size")
_DEPTH: Final = ("num_hidden_layers", "depth", "layers", "encoder_layers", "num_layers", "vt_num_hidden_layers")
_FFN: Final = ("intermediate_size", "encoder_ffn_dim", "vt_intermediate_size")
_GATED: Final = ("qwen2_5_vl", "pixtral", "gemma4", "mistral3")


def tower_parameters(outer: Config) -> int:
    """Weights of the towers of `outer`, from their widths and depths: four matrices of attention and two of a
    feed-forward (three in the families that gate it) a layer, and the projection into the text model. 0 where it has
    none, or says too little to count."""
    total = 0
    for key in _TOWERS:
        tower = outer.data.get(key)
        if not isinstance(tower, dict) or not tower:
            continue
        try:
            total += _layers(Config(tower, outer.at(key)), outer.text("model_type"))
        except InputError:
            continue  # a tower under other keys: nothing can be said of its size
    return total


def _layers(c: Config, model_type: str) -> int:
    if not c.has(*_DEPTH) or not c.has(*_WIDTH):
        return 0
    # Qwen-VL calls the text model's width hidden_size, and the tower's embed_dim
    width, depth = c.count(*(("embed_dim", *_WIDTH) if c.has("embed_dim") else _WIDTH)), c.count(*_DEPTH)
    depth += c.whole("num_global_layers", default=0)
    inner = c.count(*_FFN, default=int(c.number("mlp_ratio", 4.0) * width))
    matrices = 3 if model_type.startswith(_GATED) else 2
    patch = c.maybe("patch_size") or 14
    embedding = 3 * patch * patch * width * (c.maybe("temporal_patch_size") or 1)
    out = c.maybe("out_hidden_size", "projection_dim") or 0
    merged = width * (c.maybe("spatial_merge_size") or 1) ** 2
    return depth * (4 * width * width + matrices * width * inner) + embedding + (merged + out) * merged * bool(out)

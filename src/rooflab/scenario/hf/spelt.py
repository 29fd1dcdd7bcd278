"""Decoders whose configs spell a common block in their own way: DBRX (groups of keys), OpenELM (a width a layer).

Their fields are read under the names that other families use, and the blocks are those of `hf.decoder`.
"""

from __future__ import annotations

from typing import Any

from rooflab.errors import InputError
from rooflab.scenario.hf.config import Config
from rooflab.scenario.hf.decoder import assemble, read_decoder
from rooflab.scenario.hf.family import Family
from rooflab.scenario.hf.formats import Formats
from rooflab.scenario.hf.unread import refuse_unread
from rooflab.scenario.model import Attention, Block, Dense, Model

__all__ = ["read_dbrx", "read_openelm"]


def read_dbrx(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Experts in every layer, described in `ffn_config`; key-value heads in `attn_config`."""
    ffn, attention = c.sub("ffn_config"), c.sub("attn_config")
    if ffn is None or attention is None:
        raise InputError("missing; needed to read this model", c.at("ffn_config" if ffn is None else "attn_config"))
    said = {
        "intermediate_size": ffn.count("ffn_hidden_size"),
        "moe_num_experts": ffn.count("moe_num_experts"),
        "moe_top_k": ffn.count("moe_top_k"),
        "num_key_value_heads": attention.count("kv_n_heads"),
    }
    for part in (ffn, attention):
        refuse_unread(part, "dbrx", known=True)
    return read_decoder(Config({**c.data.plain(), **said}, c.where), family, name, formats)


def read_openelm(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Heads and feed-forward widths that grow with depth (arXiv 2404.14619, section 2.1)."""
    layers, hidden, width = c.count("num_transformer_layers"), c.count("model_dim"), c.count("head_dim")
    heads, kv_heads = _whole_each(c, "num_query_heads", layers), _whole_each(c, "num_kv_heads", layers)
    divisor = c.count("ffn_dim_divisor", default=1)
    norm = c.flag("normalize_qk_projections")
    gated = c.flag("ffn_with_glu", True)
    blocks = []
    for i, multiple in enumerate(_multiples(c, layers)):
        if heads[i] % kv_heads[i]:
            raise InputError(f"{kv_heads[i]} does not divide {heads[i]} attention heads", c.at(f"num_kv_heads[{i}]"))
        attention = Attention(
            heads=heads[i], kv_heads=kv_heads[i], head_dim=width, v_head_dim=width, qk_norm="head" if norm else ""
        )
        blocks.append(Block(mixers=(attention,), ffn=Dense(_divisible(multiple * hidden, divisor), gated)))
    _say_read(c, "num_gqa_groups", "qkv_multipliers")
    said: dict[str, Any] = {
        "hidden_size": hidden,
        "max_position_embeddings": c.count("max_context_length", default=2048),
        "tie_word_embeddings": c.flag("share_input_output_layers", family.tied),
    }
    return assemble(Config({**c.data.plain(), **said}, c.where), family, name, formats, blocks)


def _say_read(c: Config, *keys: str) -> None:
    """Keys from which the lists were made and that say nothing beyond them."""
    for key in keys:
        c.data.get(key)


def _whole_each(c: Config, key: str, layers: int) -> list[int]:
    listed = c.per_layer(key, layers)
    if listed is None:
        return [c.count(key)] * layers
    return [Config({f"{key}[{i}]": one}, c.where).count(f"{key}[{i}]") for i, one in enumerate(listed[:layers])]


def _multiples(c: Config, layers: int) -> list[float]:
    """Width of each feed-forward over the hidden size."""
    listed = c.per_layer("ffn_multipliers", layers)
    if listed is None:
        if not c.has("ffn_multipliers"):
            raise InputError("missing; needed to read this model", c.at("ffn_multipliers"))
        return [c.number("ffn_multipliers", 1.0)] * layers
    keys = [f"ffn_multipliers[{i}]" for i in range(layers)]
    each = Config(dict(zip(keys, listed, strict=False)), c.where)
    for key in keys:
        if not each.has(key):
            raise InputError("missing; needed to read this model", c.at(key))
    return [each.number(key, 1.0) for key in keys]


def _divisible(value: float, divisor: int) -> int:
    """The multiple of `divisor` that is nearest, at least one, and no less than nine tenths of `value`."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near

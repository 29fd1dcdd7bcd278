"""Which mixer a layer has, and its shape: full, sliding, chunked, latent, compressed, linear, state-space."""

from __future__ import annotations

from dataclasses import replace
from reprlib import repr as shown
from typing import Final, Literal

from rooflab.errors import InputError, unknown
from rooflab.scenario.hf.config import HEADS, HIDDEN, KV_HEADS, LAYERS, Config
from rooflab.scenario.hf.family import Family
from rooflab.scenario.hf.states import mamba2
from rooflab.scenario.model import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mixer,
    ShortConvolution,
)

__all__ = ["layer_kinds", "mixer", "softmax"]

_KINDS: Final = {
    "full_attention": "full",
    "attention": "full",
    "full": "full",
    "global": "full",
    "hybrid": "hybrid",
    "sliding_attention": "sliding",
    "sliding": "sliding",
    "local": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "mamba": "mamba",
    "mamba2": "mamba",
    "recurrent": "linear",
    "compressed_sparse_attention": "compressed",
    "heavily_compressed_attention": "compressed",
    # a choice of tokens in latent attention, as transformers from 5.11 and from 5.24 on call it
    "deepseek_sparse_attention": "full",
    "indexed_attention": "full",
    "conv": "conv",
    "short_conv": "conv",
}
_STATE_SPACE_KEYS: Final = ("mamba_n_heads", "mamba_num_heads", "mamba_d_state", "ssm_state_size")  # fmt: skip


def layer_kinds(c: Config, family: Family) -> list[str]:
    """The kind of each layer's mixer: full, sliding, chunked, linear, lightning, mamba, conv, hybrid, cross or
    compressed."""
    kinds = _layer_kinds(c, family)
    if "linear" not in kinds or c.has("linear_num_key_heads", "linear_attn_config"):
        return kinds
    # transformers 5 calls the other mixer of any hybrid linear
    other = "mamba" if c.has(*_STATE_SPACE_KEYS) else "lightning" if family.lightning else "linear"
    return [other if kind == "linear" else kind for kind in kinds]


def _layer_kinds(c: Config, family: Family) -> list[str]:
    layers = c.count(*LAYERS)
    if family.hybrid:
        return ["hybrid"] * layers
    listed = c.per_layer("layer_types", layers) or c.per_layer("layers_block_type", layers)
    if listed is not None:
        for i, name in enumerate(listed[:layers]):
            if name not in _KINDS:
                raise unknown("layer type", str(name), _KINDS, f"{c.at('layer_types')}[{i}]")
        return [_KINDS[name] for name in listed[:layers]]
    if numbered := _numbered(c, layers):
        return numbered
    if pattern := c.per_layer("hybrid_layer_pattern", layers):
        return ["sliding" if p else "full" for p in pattern[:layers]]
    if named := c.per_layer("attention_layers", layers):
        return ["sliding" if name == "local" else "full" for name in named[:layers]]
    if c.has("compress_ratios"):
        return ["compressed"] * layers
    if linear := c.sub("linear_attn_config"):
        return _one_based(linear, layers)
    if c.has("full_attention_interval", "linear_num_value_heads"):
        every = c.count("full_attention_interval", default=4)
        return ["full" if (i + 1) % every == 0 else "linear" for i in range(layers)]
    if c.has("attention_chunk_size"):
        full = c.per_layer("no_rope_layers", layers)
        return [
            ("full" if not full[i] else "chunked") if full else ("full" if (i + 1) % 4 == 0 else "chunked")
            for i in range(layers)
        ]
    return _sliding_kinds(c, family, layers)


def _numbered(c: Config, layers: int) -> list[str] | None:
    """Kinds where a config lists which layers differ: by number, or by one number for each."""
    for key, listed, others in (
        ("attn_layer_indices", "full", "mamba"),
        ("full_attn_idxs", "full", "conv"),
        ("cross_attention_layers", "cross", "full"),
    ):
        if c.has(key):
            chosen = set(c.numbers(key))
            if wrong := sorted(i for i in chosen if not 0 <= i < layers):
                raise InputError(f"{wrong[0]} is not a layer of {layers}", c.at(key))
            return [listed if i in chosen else others for i in range(layers)]
    types = c.per_layer("attn_type_list", layers)
    return ["full" if one == 1 else "lightning" for one in types[:layers]] if types is not None else None


def _one_based(linear: Config, layers: int) -> list[str]:
    full = linear.data.get("full_attn_layers")
    if not isinstance(full, (list, tuple)):
        raise InputError("missing; needed to read this model", linear.at("full_attn_layers"))
    return ["full" if i + 1 in full else "linear" for i in range(layers)]


def _sliding_kinds(c: Config, family: Family, layers: int) -> list[str]:
    if not c.has("sliding_window") or family.window == "none":
        return ["full"] * layers
    if family.window == "flag":
        if not c.flag("use_sliding_window"):
            return ["full"] * layers
        first = c.whole("max_window_layers", default=layers)
        return ["full" if i < first else "sliding" for i in range(layers)]
    pattern = c.data.get("sliding_window_pattern")
    if isinstance(pattern, str):
        if not pattern or set(pattern) - set("LlGg"):
            raise InputError(f"{shown(pattern)} is not a pattern of L and G", c.at("sliding_window_pattern"))
        return ["sliding" if pattern[i % len(pattern)] in "Ll" else "full" for i in range(layers)]
    every = c.count(
        "sliding_window_pattern",
        "_sliding_window_pattern",
        "layer_switch",
        default=family.window if isinstance(family.window, int) else layers + 1,
    )
    return ["full" if (i + 1) % every == 0 else "sliding" for i in range(layers)]


def mixer(c: Config, family: Family, kind: str, layer: int) -> Mixer:
    """The mixer of `layer`, which is of `kind`."""
    if kind == "linear":
        return _linear(c)
    if kind == "mamba":
        return mamba2(c)
    if kind == "compressed":
        return _compressed(c, layer)
    if kind == "lightning":
        heads = c.count(*HEADS)
        width = c.count("head_dim", default=_quotient(c, family, c.count(*HIDDEN), heads))
        return LinearAttention(k_heads=heads, v_heads=heads, k_dim=width, v_dim=width, conv=0)
    if kind == "conv":
        return ShortConvolution(width=c.count(*HIDDEN), taps=c.count("conv_L_cache"), bias=c.flag("conv_bias"))
    if kind == "cross":
        return replace(softmax(c, family), cross=True, causal=False)
    if c.has("kv_lora_rank"):
        return _latent(c, layer)
    return softmax(c, family, kind, layer)


def softmax(c: Config, family: Family, kind: str = "full", layer: int = 0) -> Attention:
    """Grouped attention; a layer kind may have heads and widths of its own (MiMo-V2, Gemma 4, Step 3)."""
    hidden, heads = c.count(*HIDDEN), c.count(*HEADS)
    kv_heads = _kv_heads(c, family, heads)
    head_dim = c.count(
        "head_dim", "kv_channels", "d_kv", "attention_head_dim", default=_quotient(c, family, hidden, heads)
    )
    v_dim = c.count("v_head_dim", default=head_dim) if not c.has("kv_lora_rank") else head_dim
    k_is_v = kind == "full" and c.flag("attention_k_eq_v")
    if kind == "sliding":
        other = c.sub("attention_other_setting")
        if other is not None:
            heads = other.count("num_attention_heads", default=heads)
            kv_heads = other.count("num_attention_groups", "num_key_value_heads", default=kv_heads)
        heads = c.count("swa_num_attention_heads", default=heads)
        kv_heads = c.count("swa_num_key_value_heads", default=kv_heads * family.window_kv_heads)
        head_dim, v_dim = c.count("swa_head_dim", default=head_dim), c.count("swa_v_head_dim", default=v_dim)
    elif c.has("global_head_dim") and kind == "full":
        head_dim = v_dim = c.count("global_head_dim")
        kv_heads = c.count("num_global_key_value_heads", default=kv_heads)
    if heads % kv_heads:
        raise InputError(f"{kv_heads} does not divide {heads} attention heads", c.at(c.value(*KV_HEADS)[0]))
    indexer = _block_indexer(c, layer)
    qkv_bias, out_bias = _biases(c, family)
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=v_dim,
        window=indexer.top_k if indexer else _window(c, kind),
        qkv_bias=qkv_bias,
        out_bias=out_bias,
        qk_norm=_qk_norm(c, family),
        output_gate=c.flag("attn_output_gate", family.output_gate),
        sinks=family.sinks
        or c.flag("add_swa_attention_sink_bias" if kind == "sliding" else "add_full_attention_sink_bias"),
        k_is_v=k_is_v,
        chunked=kind == "chunked",
        indexer=indexer,
        head_gate=c.flag("use_head_wise_attn_gate"),
    )


def _kv_heads(c: Config, family: Family, heads: int) -> int:
    if c.flag("multi_query", family.multi_query) and not c.flag("new_decoder_architecture"):
        return 1  # Falcon-7B writes all its heads beside the flag
    attention = c.sub("attn_config")
    inner = attention.maybe("kv_n_heads") if attention else None
    return c.count(*KV_HEADS, default=inner or heads)


def _quotient(c: Config, family: Family, hidden: int, heads: int) -> int | None:
    if family.head_dim or c.has("head_dim", "kv_channels", "d_kv", "attention_head_dim"):
        return family.head_dim
    if hidden % heads:
        raise InputError(
            f"{heads} does not divide the hidden size {hidden}; head_dim is needed", c.at(c.value(*HEADS)[0])
        )
    return hidden // heads


def _window(c: Config, kind: str) -> int | None:
    if kind == "sliding":
        return c.count("sliding_window", "sliding_window_size", "attention_window_size", "window_size")
    return c.count("attention_chunk_size") if kind == "chunked" else None


def _biases(c: Config, family: Family) -> tuple[bool, bool]:
    qkv, out = family.qkv_bias, family.out_bias
    if family.bias_key and c.has(family.bias_key):
        qkv = out = c.flag(family.bias_key)
    elif c.has("attention_bias"):
        qkv = c.flag("attention_bias")
        out = qkv if family.attention_bias == "all" else out
    qkv = c.flag("use_qkv_bias", c.flag("add_qkv_bias", c.flag("qkv_bias", qkv)))
    if c.has("no_bias"):
        qkv = out = not c.flag("no_bias")
    return qkv, out


def _qk_norm(c: Config, family: Family) -> Literal["", "head", "full"]:
    if c.has("use_qk_norm") and not c.flag("use_qk_norm"):
        return ""
    if c.has("qk_norm_type"):
        return "full" if c.text("qk_norm_type") == "per_layer" else "head"
    if c.flag("use_qk_norm") and not family.qk_norm:
        return "full" if family.parallel else "head"  # Cohere scales every column
    return family.qk_norm


def _block_indexer(c: Config, layer: int) -> Indexer | None:
    """Block-sparse selection of MiniMax-M3: `sparse_topk_blocks` blocks and the local one, chosen by small heads."""
    sparse = c.sub("sparse_attention_config")
    if sparse is None or not sparse.flag("use_sparse_attention", True):
        return None
    on = sparse.per_layer("sparse_attention_freq", layer + 1)
    if on is not None and not on[layer]:
        return None
    blocks = sparse.count("sparse_topk_blocks") + sparse.whole("sparse_local_block", default=0)
    return Indexer(
        sparse.count("sparse_num_index_heads"),
        sparse.count("sparse_index_dim"),
        blocks * sparse.count("sparse_block_size"),
    )


def _latent(c: Config, layer: int) -> LatentAttention:
    indexer = None
    if c.has("index_topk"):
        kinds = c.per_layer("indexer_types", layer + 1)
        own = kinds is None or kinds[layer] == "full"
        indexer = Indexer(c.count("index_n_heads"), c.count("index_head_dim"), c.count("index_topk"), own)
    nope = c.whole("qk_nope_head_dim")
    return LatentAttention(
        heads=c.count(*HEADS),
        q_rank=c.maybe("q_lora_rank") or None,
        kv_rank=c.count("kv_lora_rank"),
        nope_dim=nope,
        rope_dim=c.whole("qk_rope_head_dim"),
        v_dim=c.count("v_head_dim"),
        indexer=indexer,
        output_gate=c.flag("mla_use_output_gate"),
    )


def _compressed(c: Config, layer: int) -> CompressedAttention:
    ratios = c.per_layer("compress_ratios", c.count(*LAYERS))
    if ratios is None:
        raise InputError("missing; needed to read this model", c.at("compress_ratios"))
    ratio = int(ratios[layer])
    indexer = (
        Indexer(c.count("index_n_heads"), c.count("index_head_dim"), c.count("index_topk")) if ratio == 4 else None
    )
    return CompressedAttention(
        heads=c.count(*HEADS),
        head_dim=c.count("head_dim"),
        rope_dim=c.count("qk_rope_head_dim"),
        window=c.count("sliding_window"),
        ratio=ratio,
        q_rank=c.count("q_lora_rank"),
        o_rank=c.count("o_lora_rank"),
        o_groups=c.count("o_groups"),
        indexer=indexer,
        overlap=ratio == 4,
    )


def _linear(c: Config) -> LinearAttention:
    if kda := c.sub("linear_attn_config"):
        heads, width = kda.count("num_heads"), kda.count("head_dim")
        full = kda.flag("use_full_rank_gate")
        return LinearAttention(
            k_heads=heads,
            v_heads=heads,
            k_dim=width,
            v_dim=width,
            conv=kda.count("short_conv_kernel_size"),
            gate_rank=width,
            full_output_gate=full,
        )
    return LinearAttention(
        k_heads=c.count("linear_num_key_heads"),
        v_heads=c.count("linear_num_value_heads"),
        k_dim=c.count("linear_key_head_dim"),
        v_dim=c.count("linear_value_head_dim"),
        conv=c.count("linear_conv_kernel_dim"),
    )

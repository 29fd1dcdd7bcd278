"""The feed-forward of a layer: dense or a mixture of experts, and which layers have which."""

from __future__ import annotations

from rooflab.errors import InputError
from rooflab.scenario.hf.config import FFN, HIDDEN, Config
from rooflab.scenario.hf.family import Family
from rooflab.scenario.model import Dense, Experts

__all__ = ["dense", "experts", "has_experts", "sparse_layers"]

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_k",
    "moe_top_k",
    "experts_per_token",
)


def has_experts(c: Config) -> bool:
    """Whether any layer has routed experts."""
    return c.has(*_EXPERTS) and _experts_count(c) > 1 and c.flag("enable_moe_block", True)


def _experts_count(c: Config) -> int:
    return c.largest(*_EXPERTS, default=0)


def sparse_layers(c: Config, layers: int) -> list[bool]:
    """Which layers have experts."""
    if not has_experts(c):
        return [False] * layers
    only_dense = set(c.numbers("mlp_only_layers"))
    first = c.whole("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", default=0)
    listed = _listed(c, layers)
    return [i >= first and i not in only_dense and listed[i] for i in range(layers)]


def _listed(c: Config, layers: int) -> list[bool]:
    for key, sparse in (("moe_layer_freq", 1), ("mlp_layer_types", "sparse")):
        flags = c.per_layer(key, layers)
        if flags is not None:
            return [bool(flag == sparse) for flag in flags[:layers]]
    chosen = set(c.numbers("moe_layers") or c.numbers("moe_layers_enum"))
    if chosen:
        return [i in chosen for i in range(layers)]
    if c.has("expert_layer_period"):
        period, offset = c.count("expert_layer_period"), c.whole("expert_layer_offset", default=0)
        return [i >= offset and (i - offset) % period == 0 for i in range(layers)]
    every = c.count(
        "decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", "moe_layer_freq", default=1
    )
    return [(i + 1) % every == 0 for i in range(layers)]


def dense(c: Config, family: Family) -> Dense:
    """The dense feed-forward of `c`."""
    if has_experts(c) and c.has("intermediate_size_mlp", "dense_intermediate_size"):
        return Dense(c.count("intermediate_size_mlp", "dense_intermediate_size"), family.gated, _mlp_bias(c, family))
    if c.has(*FFN):
        width = c.count(*FFN)
    elif c.has("expansion_ratio") or not family.gated:
        width = int(c.number("expansion_ratio", 4) * c.count(*HIDDEN))
    else:
        width = c.count(*FFN)
    if c.text("model_type") == "qwen":
        if width % 2:
            raise InputError(f"{width} is odd; Qwen halves it between its two projections", c.at("intermediate_size"))
        width //= 2  # Qwen-1 counts both halves of the gated projection
    if c.flag("block_auto_adjust_ff_dim"):  # LFM2: two thirds, times a factor, to the next multiple
        part = int(c.number("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
        multiple = c.count("block_multiple_of", default=256)
        width = -(-part // multiple) * multiple
    return Dense(width, _gated(c, family), _mlp_bias(c, family))


def _gated(c: Config, family: Family) -> bool:
    projection = c.text("feed_forward_proj")
    return projection.startswith("gated") if projection else c.flag("is_gated_act", family.gated)


def _mlp_bias(c: Config, family: Family) -> bool:
    if family.bias_key in ("use_bias", "bias") and c.has(family.bias_key):
        return c.flag(family.bias_key) and family.covers_mlp
    if c.has("no_bias"):
        return not c.flag("no_bias")
    return c.flag("mlp_bias", c.flag("add_bias_linear", family.mlp_bias))


def experts(c: Config, family: Family) -> Experts:
    """The mixture of experts of `c`."""
    count, top_k = _experts_count(c), c.largest(*_TOP_K)
    width = c.largest("moe_intermediate_size", "expert_ffn_hidden_size", *FFN)
    if not top_k or not width:
        raise InputError("0 is not a whole number of at least 1", c.at(c.value(*(_TOP_K if not top_k else FFN))[0]))
    if top_k > count:
        raise InputError(f"{top_k} is more than the {count} experts", c.at(c.value(*_TOP_K)[0]))
    return Experts(
        experts=count,
        top_k=top_k,
        width=width,
        gated=family.gated,
        shared_width=_shared_width(c, width),
        shared_gate=family.shared_gate and c.has("shared_expert_intermediate_size"),
        bias=c.text("model_type") == "gpt_oss",
        router_bias=family.router_bias or c.text("model_type") == "gpt_oss" or c.flag("use_routing_bias"),
        latent=c.maybe("moe_latent_size", "routed_expert_hidden_size"),
        latent_norm=c.flag("latent_moe_use_norm"),
    )


def _shared_width(c: Config, width: int) -> int:
    model_type = c.text("model_type")
    if model_type.startswith("llama4"):
        return width
    if model_type.startswith("gemma4"):
        return c.count(*FFN)  # a dense feed-forward beside the experts
    for key in (
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
        "shared_intermediate_size",
    ):
        if c.has(key):
            return c.whole(key)
    return width * c.largest(
        "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert", default=0
    )

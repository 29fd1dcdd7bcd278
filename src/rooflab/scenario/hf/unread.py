"""Keys of a config that describe layers and that no reader has asked for: an error, not a guess.

Which keys describe layers is told by their words; what training, numerics and kernels add is named below, and so is
what another key of the same config already says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.scenario.hf.config import FFN, HEADS, HIDDEN, KV_HEADS, LAYERS, POSITIONS, Config

__all__ = ["refuse_unread"]

_LAYERS: Final = re.compile(
    r"layer|block|attn|attention|mamba|ssm|conv|window|expert|moe|ffn|mlp|linear|rank|head|altup|laurel|width|cross"
    r"|memory|recurr|ut_steps|lru|stack|depth|stream|loop|_kv_|^kv_|index|router|intermediate|latent|(?:^|_)dim(?:$|_)"
)
_NUMERICS: Final = re.compile(
    r"(?:(?:^|_)eps|epsilon|dropout|drop|pdrop|prob|coef|coeff|dtype|act|act_fn|activation|activation_func|func|fn|scale"
    r"|scaling|(?<!expansion_)(?<!expand_)(?<!share_)factor|capping|multiplier|multipliers|noise|theta|beta|scalar"
    r"|strategy|method|impl|implementation|bias|init|std"
    r"|log_max|dt_min|dt_max|dt_floor|init_floor|jitter|alpha|norm_min|freeze|checkpointing)$"
    r"|^rope|^scale_|^dim_model_base$|^initializer|^output_|^use_cache|rope|_init_|^pretraining|^residual"
)
_SAID_ELSEWHERE: Final = frozenset(
    (
        *HIDDEN, *LAYERS, *HEADS, *KV_HEADS, *FFN, *POSITIONS,
        # ranks and groups of routing, chunks of kernels, generation, other spellings of what a family's reader knows
        "n_group", "topk_group", "chunk_size", "mamba_chunk_size", "moe_router_dtype", "router_aux_loss_coef",
        "max_window_layers", "full_attention_interval", "sliding_window_pattern", "_sliding_window_pattern",
        "no_rope_layers", "no_rope_layer_interval", "no_rope_layer_indices", "qk_head_dim", "head_dim", "rotary_dim",
        "num_key_value_heads", "num_hidden_layers", "num_layers", "intermediate_size", "intermediate_size_mlp",
        "sliding_window", "sliding_window_size", "attention_chunk_size", "time_step_rank", "mamba_expand", "expand",
        "num_attention_heads", "attn_type_list", "num_hash_layers", "index_skip_topk_offset", "index_topk_freq",
        "experts_per_token", "attention_types", "attention_layers", "moe_layer_end_index",
        "use_bidirectional_attention", "n_routed_experts", "num_experts", "num_local_experts", "conv_L_cache",
        "encoder_no_repeat_ngram_size", "attn_res_block_size", "word_embed_proj_dim",
        "attention_probs_dropout_prob", "attn_scale", "embedding_size", "num_kv_heads", "mlp_hidden_act",
        "attention_type", "attention_head_dim", "layer_switch", "cla_share_factor", "mlp_expansion_factor",
        "block_dim", "conv_dim", "conv_dim_out",
        "block_multiple_of", "block_size", "full_attn_idxs", "dense_intermediate_size",
        "mamba_d_ssm", "vocab_size_per_layer_input", "hybrid_override_pattern", "swa_attention_sink_bias",
        "attn_rotary_emb", "attention_window_size", "layer_rope_theta", "kv_channels", "multi_query_attention",
        "num_nextn_predict_layers", "mtp_layer_types", "mtp_num_hidden_layers", "moe_capacity", "moe_use_aux_free",
        "ep_size", "pretraining_tp", "image_token_index", "video_token_index", "audio_token_index",
        "image_start_token_index", "vision_feature_layer", "num_experts_per_tok", "use_moe",
        "moe_loss_weight", "moe_normalize_expert_weights",
    )
)  # fmt: skip


def refuse_unread(c: Config, family: str, known: bool) -> None:
    """InputError for the first key of `c` that describes layers, says something, and was not read.

    `known`: whether the model type has a reader; where it has not, keys that another one says elsewhere count, too.
    """
    if c.flag("use_cla"):
        raise InputError("layers that share a cache with their neighbours are not read", c.at("use_cla"))
    for key, value in c.data.unread().items():
        if _harmless(key, value) or (known and key in _SAID_ELSEWHERE):
            continue
        if not known and key in _SAID_ELSEWHERE and not isinstance(value, (list, Mapping)):
            continue
        why = f"the reader of {family!r} does not know it" if known else f"{family!r} is no known model type"
        raise InputError(f"describes layers, and {why}: such a model is not read", c.at(key))


def _harmless(key: str, value: Any) -> bool:
    if value in (None, False, 0, 0.0, 1, "", [], {}) or isinstance(value, str):
        return True
    return not _LAYERS.search(key.lower()) or bool(_NUMERICS.search(key.lower()))

"""What a `model_type` implies beyond its numbers: biases, norms, tied embeddings, parallel blocks. One line a
family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FAMILIES", "NOT_READ", "Family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Defaults of a family's blocks; keys in a config override them where the family has such a key.

    `bias_key`: a key that switches all projection biases together, those of the feed-forward too if `covers_mlp`;
    `attention_bias`: what the key of that name covers.
    `window`: "all" layers slide when `sliding_window` is set, "flag" only with `use_sliding_window`, "none" never, a
    number: every n-th layer is full and the others slide, starting with sliding ones.  `multi_query`: one key-value
    head where the config does not say otherwise; `head_dim`: the family's own, where it is not hidden / heads.
    `hybrid`: attention and a state space side by side in every layer; `lightning`: its linear layers are lightning
    attention. `window_kv_heads`: how many times the key-value heads of the others a sliding layer has.
    """

    gated: bool = True
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    attention_bias: Literal["qkv", "all"] = "all"
    bias_key: str = ""
    covers_mlp: bool = True
    norms: int = 2
    norm_bias: bool = False
    final_norm: int = 1
    tied: bool = False
    head_bias: bool = False
    qk_norm: Literal["", "head", "full"] = ""
    learned_positions: bool = False
    position_offset: int = 0
    parallel: bool = False
    window: Literal["all", "flag", "none"] | int = "all"
    sinks: bool = False
    output_gate: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    multi_query: bool = False
    head_dim: int | None = None
    hybrid: bool = False
    lightning: bool = False
    window_kv_heads: int = 1


_LLAMA: Final = Family()
_QWEN2: Final = Family(qkv_bias=True, attention_bias="qkv", window="flag")
_QWEN3: Final = Family(qk_norm="head", window="flag", head_dim=128)
_GPT2: Final = Family(
    gated=False,
    qkv_bias=True,
    out_bias=True,
    mlp_bias=True,
    norm_bias=True,
    tied=True,
    learned_positions=True,
    window="none",
)
_NEOX: Final = Family(
    gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, bias_key="attention_bias"
)
_DEEPSEEK: Final = Family(window="none", router_bias=True)
_GLM: Final = Family(attention_bias="qkv", qkv_bias=True, window="none")
_ERNIE: Final = Family(bias_key="use_bias", tied=True)

FAMILIES: Final[dict[str, Family]] = {
    "llama": _LLAMA,
    "aquila": _LLAMA,
    "internlm": Family(bias_key="bias", covers_mlp=False),
    "internlm2": _LLAMA,
    "internlm3": _LLAMA,
    "deci": _LLAMA,
    "nemotron-nas": _LLAMA,
    "mistral": _LLAMA,
    "ministral": _LLAMA,
    "mistral3": _LLAMA,
    "mixtral": _LLAMA,
    "baichuan": _LLAMA,
    "phi3": _LLAMA,
    "phi3small": Family(qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, tied=True, window="none"),
    "phimoe": Family(norm_bias=True, qkv_bias=True, out_bias=True, attention_bias="all", head_bias=True),
    "granite": Family(tied=True),
    "granitemoe": Family(tied=True),
    "granitemoeshared": Family(tied=True),
    "minicpm3": Family(tied=True, window="none"),
    "smollm3": Family(tied=True, window="flag"),
    "arcee": Family(gated=False),
    "apertus": Family(gated=False, qk_norm="head"),
    "cosmos3_edge": Family(gated=False),
    "jais2": Family(gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True),
    "muse_glimmer": Family(norms=4, output_gate=True),
    "nanochat": Family(gated=False, norms=0, final_norm=0),
    "seed_oss": Family(qkv_bias=True, attention_bias="qkv"),
    "bitnet": _LLAMA,
    "chatglm": Family(qkv_bias=True, window="none"),
    "glm": _GLM,
    "glm4": Family(norms=4, attention_bias="qkv", qkv_bias=True, window="none"),
    "glm4_moe": Family(attention_bias="qkv", router_bias=True, window="none"),
    "exaone": _LLAMA,
    "exaone4": Family(qk_norm="head", window=4),
    "hunyuan_v1_dense": Family(qk_norm="head", tied=True),
    "hunyuan_v1_moe": Family(qk_norm="head", tied=True),
    "hunyuan": Family(qk_norm="head", tied=True),
    "ernie4_5": _ERNIE,
    "ernie4_5_moe": Family(bias_key="use_bias", tied=True, router_bias=True),
    "qwen": Family(qkv_bias=True, attention_bias="qkv", window="none"),
    "qwen2": _QWEN2,
    "qwen2_moe": Family(qkv_bias=True, attention_bias="qkv", window="flag", shared_gate=True),
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3,
    "qwen3_next": Family(qk_norm="head", window="none", output_gate=True, shared_gate=True),
    "qwen3_5": Family(qk_norm="head", window="none", output_gate=True, shared_gate=True),
    "qwen3_5_moe": Family(qk_norm="head", window="none", output_gate=True, shared_gate=True),
    "mimo": Family(qkv_bias=True, attention_bias="qkv", window="flag"),
    "mimo_v2_flash": Family(router_bias=True, window_kv_heads=2),
    "gemma": Family(tied=True, window="none", head_dim=256),
    "gemma2": Family(tied=True, norms=4, window=2, head_dim=256),
    "vaultgemma": Family(tied=True, window=2, head_dim=256),
    "gemma3": Family(tied=True, norms=4, qk_norm="head", window=6, head_dim=256),
    "gemma4": Family(tied=True, norms=4, qk_norm="head", window=6),
    "gpt_oss": Family(qkv_bias=True, out_bias=True, window=2, sinks=True),
    "llama4": Family(window=4),
    "minimax_m2": Family(qk_norm="full", router_bias=True, window="none"),
    "minimax_m3": Family(qk_norm="head", router_bias=True, window="none"),
    "step3p5": Family(qk_norm="head", router_bias=True),
    "step3p7": Family(qk_norm="head", router_bias=True),
    "deepseek": Family(window="none"),
    "chameleon": Family(qk_norm="full", window="none"),
    "deepseek_v2": Family(window="none"),
    "deepseek_v3": _DEEPSEEK,
    "deepseek_v32": _DEEPSEEK,
    "deepseek_v4": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK,
    "kimi_linear": _DEEPSEEK,
    "glm_moe_dsa": _DEEPSEEK,
    "glm4_moe_lite": _DEEPSEEK,
    "longcat_flash": _DEEPSEEK,
    "olmo": Family(norms=0, final_norm=0),
    "olmo2": Family(qk_norm="full"),
    "olmo3": Family(qk_norm="full", window=4),
    "olmoe": Family(qk_norm="full"),
    "cohere": Family(norms=1, parallel=True, tied=True),
    "cohere2": Family(norms=1, parallel=True, tied=True, window=4),
    "starcoder2": Family(
        gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, tied=True, bias_key="use_bias"
    ),
    "stablelm": Family(norm_bias=True, window="none"),
    "phi": Family(
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norms=1,
        norm_bias=True,
        head_bias=True,
        parallel=True,
        window="none",
    ),
    "gptj": Family(gated=False, mlp_bias=True, norms=1, norm_bias=True, head_bias=True, parallel=True),
    "gpt_neox": _NEOX,
    "gpt_neo": Family(
        gated=False, out_bias=True, mlp_bias=True, norm_bias=True, tied=True, learned_positions=True, window="none"
    ),
    "gpt2": _GPT2,
    "gpt_bigcode": Family(
        multi_query=True,
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm_bias=True,
        tied=True,
        learned_positions=True,
        window="none",
    ),
    "opt": Family(
        gated=False,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm_bias=True,
        tied=True,
        learned_positions=True,
        position_offset=2,
        window="none",
    ),
    "bloom": Family(gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, tied=True, window="none"),
    "falcon": Family(gated=False, norms=1, norm_bias=True, tied=True, parallel=True, bias_key="bias", window="none"),
    "dbrx": Family(window="none"),
    "openelm": Family(tied=True, window="none"),
    "mpt": Family(gated=False, tied=True, window="none"),
    "palm": Family(norms=1, parallel=True, tied=True, multi_query=True, window="none"),
    "persimmon": Family(gated=False, qkv_bias=True, out_bias=True, mlp_bias=True, norm_bias=True, window="none"),
    "nemotron": Family(gated=False, norm_bias=True, window="none"),
    "nemotron_h": Family(gated=False, norms=1, router_bias=True, window="none"),
    "mamba": Family(norms=1, tied=True, window="none"),
    "falcon_mamba": Family(norms=1, window="none"),
    "mamba2": Family(norms=1, tied=True, window="none"),
    "jamba": Family(window="none"),
    "bamba": Family(window="none"),
    "granitemoehybrid": Family(tied=True, window="none"),
    "falcon_h1": Family(window="none", hybrid=True),
    "lfm2": Family(qk_norm="head", tied=True, window="none"),
    "lfm2_moe": Family(qk_norm="head", tied=True, window="none", router_bias=True),
    "minimax": Family(window="none", lightning=True),
    "minimax_m1": Family(window="none", lightning=True),
    "minimax_text_01": Family(window="none", lightning=True),
    "mllama": Family(window="none"),
}

NOT_READ: Final = {
    "albert": "its layers share their weights",
    "esmc": "it reads both ways",
    "hy_v4": "its latent attention has gates and sinks",
    "hy_v4_vl": "its latent attention has gates and sinks",
    "idefics": "layers that look at the image stand between its own",
    "jetmoe": "its attention has experts, too",
    "moonshine_streaming": "only its decoder has these keys",
    "m2m_100": "its encoder and decoder have keys of their own",
    "nllb_moe": "its encoder and decoder have keys of their own",
    "openai_privacy_filter": "it reads both ways",
    "recurrent_gemma": "its gated linear recurrence has no reader",
    "rwkv": "its time mixing has no reader",
    "rwkv6": "its time mixing has no reader",
    "rwkv7": "its time mixing has no reader",
    "t5gemma": "its encoder and decoder have configs of their own",
    "zamba2": "its attention blocks share their weights between layers",
}
"""Types that are not read, and why; some have all of a Llama's keys."""

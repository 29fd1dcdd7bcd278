"""A ``.gguf`` file's header as a `Model`: its metadata as a config, its tensors as formats and as the proof of both.

llama.cpp's keys (``qwen3moe.block_count``) become those of a config.json, which `rooflab.scenario.hf` reads; then the
weights that the shapes make are held against the tensors of the file. Bytes are the file's own: the mean bits of its
routed experts, and of all else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.files import is_file
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import Model, Run
from rooflab.source.gguf import Header, TensorInfo, read_header

__all__ = ["ARCHITECTURES", "model_from_gguf"]

ARCHITECTURES: Final[Mapping[str, str]] = {
    "llama": "llama", "mistral3": "mistral", "qwen2": "qwen2", "qwen2moe": "qwen2_moe", "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3", "phi3": "phi3",
    "gpt-oss": "gpt_oss", "deepseek2": "deepseek_v3", "command-r": "cohere", "cohere2": "cohere2", "olmo2": "olmo2",
    "olmoe": "olmoe", "granite": "granite", "starcoder2": "starcoder2", "smollm3": "smollm3", "glm4": "glm4",
    "internlm2": "internlm2", "seed_oss": "seed_oss",
}  # fmt: skip
"""``general.architecture`` of llama.cpp, and the model type whose blocks it has."""
_EXPERTS: Final = re.compile(r"\.ffn_(?:gate|up|down|gate_up)_exps\.")
_PART: Final = re.compile(r"^(.*)-(\d{5})-of-(\d{5})(\.gguf)$")
_BESIDE: Final = ("rope_freqs", "rope_factors")
"""Tensors that are tables of a position's angles and no weights."""
_TOLERANCE: Final = 0.02
"""How far tensors and shapes may differ in weights: extra norms and biases that a family's blocks leave out."""
_MOST_PARTS: Final = 1000


def model_from_gguf(path: Path) -> Model:
    """The model in the file at `path`; of a file in parts the first is named and the others lie beside it.

    Raises InputError in a line: no GGUF file, an architecture that is not known, keys that are missing, or tensors that
    contradict the shapes.
    """
    header = _whole(path)
    where = str(path)
    name = str(header.metadata.get("general.name") or path.stem)
    try:
        found = model_from_config(_config(header, where), name, "")
    except InputError as error:
        raise InputError(f"its metadata make no model: {error}", where) from None
    return _as_stored(found, header, where)


def _whole(path: Path) -> Header:
    """The header of a file, with the tensors of its other parts."""
    header = read_header(path)
    parts = header.metadata.get("split.count", 1)
    if not isinstance(parts, int) or parts <= 1:
        return header
    match = _PART.match(path.name)
    if match is None or int(match[3]) != parts or parts > _MOST_PARTS:
        raise InputError(f"is one of {parts} parts, and not called NAME-00001-of-{parts:05d}.gguf", str(path))
    if int(match[2]) != 1:
        raise InputError(f"is part {int(match[2])} of {parts}; the first has the metadata", str(path))
    tensors = list(header.tensors)
    for part in range(2, parts + 1):
        beside = path.with_name(f"{match[1]}-{part:05d}-of-{match[3]}{match[4]}")
        if not is_file(beside):
            raise InputError("is missing: a file in parts needs all of them", str(beside))
        tensors += read_header(beside).tensors
    return Header(header.metadata, tuple(tensors))


def _config(header: Header, where: str) -> dict[str, Any]:
    """The keys of a config.json that a file's metadata say."""
    data = header.metadata
    arch = data.get("general.architecture")
    if not isinstance(arch, str) or not arch:
        raise InputError("general.architecture: missing; it says which family the model is of", where)
    if arch not in ARCHITECTURES:
        raise unknown("architecture of llama.cpp", arch[:60], ARCHITECTURES, f"{where}: general.architecture")

    def of(key: str) -> Any:
        value = data.get(f"{arch}.{key}")
        return _same(value, f"{where}: {arch}.{key}") if isinstance(value, list) else value

    shapes = {t.name: t.shape for t in header.tensors}
    table = shapes.get("token_embd.weight", (0, 0))
    config: dict[str, Any] = {
        "model_type": ARCHITECTURES[arch], "num_hidden_layers": of("block_count"),
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length") or of("expert_feed_forward_length"),
        "num_attention_heads": of("attention.head_count"), "num_key_value_heads": of("attention.head_count_kv"),
        "vocab_size": of("vocab_size") or (table[1] if len(table) == 2 else None),
        "max_position_embeddings": of("context_length"), "head_dim": of("attention.key_length"),
        "sliding_window": of("attention.sliding_window"), "tie_word_embeddings": "output.weight" not in shapes,
    }  # fmt: skip
    if of("expert_count"):
        config |= _mixture(arch, of)
    if of("attention.kv_lora_rank"):
        config |= _latent(of)
    return {key: value for key, value in config.items() if value is not None}


def _mixture(arch: str, of: Any) -> dict[str, Any]:
    count, width = of("expert_count"), of("expert_feed_forward_length") or of("feed_forward_length")
    out = {
        "num_experts": count, "num_experts_per_tok": of("expert_used_count"), "moe_intermediate_size": width,
        "shared_expert_intermediate_size": of("expert_shared_feed_forward_length"),
    }  # fmt: skip
    if arch == "llama":  # Mixtral
        return {
            "model_type": "mixtral", "num_local_experts": count, "num_experts_per_tok": of("expert_used_count"),
            "intermediate_size": width,
        }  # fmt: skip
    if arch == "gpt-oss":
        return {**out, "num_local_experts": count, "intermediate_size": width}
    if arch == "deepseek2":
        out |= {
            "n_routed_experts": count, "n_shared_experts": of("expert_shared_count"),
            "first_k_dense_replace": of("leading_dense_block_count"),
        }  # fmt: skip
        out.pop("num_experts")
    return out


def _latent(of: Any) -> dict[str, Any]:
    """Latent attention; files since 2025 keep the head's own widths beside those of the compressed cache."""
    rope = of("rope.dimension_count") or 0
    key, value = of("attention.key_length_mla") or of("attention.key_length"), of("attention.value_length_mla")
    return {
        "kv_lora_rank": of("attention.kv_lora_rank"), "q_lora_rank": of("attention.q_lora_rank"),
        "qk_rope_head_dim": rope, "qk_nope_head_dim": (key or 0) - rope,
        "v_head_dim": value or of("attention.value_length"), "head_dim": None,
        "num_key_value_heads": of("attention.head_count"),
    }  # fmt: skip


def _same(values: Sequence[Any], where: str) -> Any:
    """The one value of a list that has an entry a layer."""
    if not values or any(v != values[0] for v in values):
        raise InputError("differs from layer to layer, which is not read", where)
    return values[0]


def _as_stored(model: Model, header: Header, where: str) -> Model:
    """`model` in the formats of the file's tensors."""
    weights = [t for t in header.tensors if not t.name.startswith(_BESIDE)]
    stated, made = sum(t.elements for t in weights), model.parameters
    if abs(stated - made) > _TOLERANCE * max(made, 1):
        raise InputError(
            f"its tensors have {stated:,} weights, and the shapes in its metadata make {made:,}: not read", where
        )
    routed = [t for t in weights if _EXPERTS.search(t.name)]
    rest = [t for t in weights if not _EXPERTS.search(t.name)]
    dtype = _mean_format(rest)
    experts = _mean_format(routed) if routed else None
    runs = tuple(Run(r.count, replace(r.block, stored=None)) for r in model.runs)
    return replace(
        model, runs=runs, dtype=dtype, expert_dtype=None if experts == dtype else experts, head_dtype=None,
        sources=(f"{where}: {len(weights)} tensors, {sum(t.bytes for t in weights) / 1e9:.2f} GB", *model.sources),
    )  # fmt: skip


def _mean_format(tensors: Sequence[TensorInfo]) -> str:
    """Mean bits a weight of some tensors, as a format."""
    bits = 8.0 * sum(t.bytes for t in tensors) / max(sum(t.elements for t in tensors), 1)
    return f"gguf-{bits:.4f}"

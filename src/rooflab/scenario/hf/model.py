"""A Hugging Face config.json as a `Model`: `model_type` chooses the reader, its keys give the shapes.

Keys are read as the model's own code reads them; a family's defaults stand where a key is absent.  A model type that is
not known is read like a Llama when it has a Llama's keys, and `Model.sources` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from reprlib import repr as shown
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.scenario.hf.config import HEADS, HIDDEN, LAYERS, VOCAB, Config
from rooflab.scenario.hf.decoder import read_decoder
from rooflab.scenario.hf.encoders import read_bart, read_bert, read_t5, read_vit, read_whisper
from rooflab.scenario.hf.family import FAMILIES, NOT_READ, Family
from rooflab.scenario.hf.formats import Formats, read_formats
from rooflab.scenario.hf.spelt import read_dbrx, read_openelm
from rooflab.scenario.hf.stored import KEPT, settled
from rooflab.scenario.hf.towers import tower_parameters
from rooflab.scenario.hf.unread import refuse_unread
from rooflab.scenario.hf.variants import read_deci, read_jamba, read_longcat, read_mamba, read_nas, read_nemotron_h
from rooflab.scenario.model import Model

__all__ = ["model_from_config"]

_VARIANTS: Final[dict[str, Callable[[Config, Family, str, Formats], Model]]] = {
    "nemotron_h": read_nemotron_h,
    "nemotron-nas": read_nas,
    "deci": read_deci,
    "mamba": read_mamba,
    "mamba2": read_mamba,
    "falcon_mamba": read_mamba,
    "jamba": read_jamba,
    "longcat_flash": read_longcat,
    "dbrx": read_dbrx,
    "openelm": read_openelm,
}
_ENCODERS: Final[dict[str, Callable[[Config, str], Model]]] = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "camembert", "megatron-bert"), read_bert
    ),
    **dict.fromkeys(("t5", "mt5", "umt5"), read_t5),
    **dict.fromkeys(("bart", "mbart", "pegasus", "marian"), read_bart),
    "whisper": read_whisper,
    **dict.fromkeys(("vit", "deit", "clip_vision_model", "siglip_vision_model"), read_vit),
}
_TEXT_KEYS: Final = ("thinker_config", "text_config", "llm_config", "language_config")
_MOST_LAYERS: Final = 10_000
# what the class of a text part assumes where the config of a larger model leaves a key out
_TEXT_DEFAULTS: Final[dict[str, dict[str, int]]] = {
    "gemma3": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208,
    "sliding_window": 4096},
    "llama": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "vocab_size": 32000,
    },
    "mistral": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
    },
}  # fmt: skip


def model_from_config(config: Mapping[str, Any], name: str, where: str) -> Model:
    """The model that `config` describes; `where` is the path that errors show.

    Of a model with image or audio parts the text part is read.  Raises InputError with the path of a key that is
    missing or has a value that cannot be.
    """
    outer = Config(config, where)
    text, notes = _text_part(outer)
    model_type = _family_name(text.text("model_type") or outer.text("model_type"))
    assumed = _TEXT_DEFAULTS.get(model_type, {}) if text is not outer else {}
    text = Config({**assumed, **text.data, "model_type": model_type}, text.where)
    formats = read_formats(outer, text)
    if text.has(*LAYERS) and text.count(*LAYERS) > _MOST_LAYERS:
        key = next(key for key in LAYERS if text.has(key))
        raise InputError(f"{text.count(*LAYERS):,} layers are more than any model has ({_MOST_LAYERS:,})", text.at(key))
    if model_type in _ENCODERS:
        model = _ENCODERS[model_type](text, name)
    else:
        family = FAMILIES.get(model_type)
        if family is None:
            _require_llama_keys(text, model_type)
            family = Family()
            notes.append(f"model type {model_type!r} is not known; read like a Llama")
        model = _VARIANTS.get(model_type, read_decoder)(text, family, name, formats)
        refuse_unread(text, model_type, model_type in FAMILIES)
    # encoders are read without an order of their layers: all in the format of the rest
    rest = formats.listing.rest if formats.listing and model_type in _ENCODERS else KEPT
    model = settled(model, formats.base if rest == KEPT else rest)
    towers, uncounted = tower_parameters(outer, text)
    if towers:
        notes.append(f"its image and audio parts, about {towers / 1e9:.2g} billion weights, share the memory")
    if uncounted:
        notes.append(f"weights of {' and '.join(uncounted)} are not counted")
    return replace(model, kv_dtype=formats.kv, head_dtype=formats.head, tower_parameters=towers, sources=tuple(notes))


def _text_part(outer: Config) -> tuple[Config, list[str]]:
    for key in _TEXT_KEYS:
        inner = outer.sub(key)
        if inner is not None:
            shared = {k: outer.data[k] for k in ("tie_word_embeddings", "model_type") if k in outer.data}
            text, _ = _text_part(Config({**shared, **inner.data}, inner.where))
            return text, [f"text part ({key}): steps are those of the text model"]
    return outer, []


def _family_name(model_type: str) -> str:
    """`model_type` without the endings that mark the text part of a larger model."""
    base = model_type
    for ending in ("_text_model", "_text", "_language"):
        base = base.removesuffix(ending)
    same = {
        "qwen3_vl": "qwen3", "qwen3_vl_moe": "qwen3_moe", "qwen2_vl": "qwen2", "qwen2_5_vl": "qwen2",
        "kimi_k25": "kimi_k2", "minimax_m3_vl": "minimax_m3", "MiniMaxM1": "minimax_m1",
        "kimi_k3": "kimi_linear", "llava": "llama", "DeciLM": "deci", "RefinedWeb": "falcon",
        "RefinedWebModel": "falcon",
        "codellama": "llama", "Yi": "llama", "nemotron_nas": "nemotron-nas",
    }  # fmt: skip
    return same.get(base, base)


def _require_llama_keys(c: Config, model_type: str) -> None:
    """InputError where a model of unknown type says less or something else than a Llama."""
    if why := NOT_READ.get(model_type):
        raise InputError(f"{model_type!r} is not read: {why}", c.at("model_type"))
    if not model_type and not c.has(*HIDDEN):
        raise InputError("missing; it says which family the model is of", c.at("model_type"))
    for keys in (HIDDEN, LAYERS, HEADS, VOCAB):
        if not c.has(*keys):
            raise InputError(f"missing; needed to read a model of unknown type {model_type!r}", c.at(keys[0]))
    key, activation = c.value("hidden_act", "hidden_activation", "activation_function")
    if activation not in (None, "silu", "swish", "swiglu"):
        raise InputError(
            f"{shown(activation)} in a model of unknown type {model_type!r}: its feed-forward may have a gate or not",
            c.at(key),
        )
    if c.has("type_vocab_size"):
        raise InputError(f"an encoder of unknown type {model_type!r} is not read", c.at("type_vocab_size"))

"""Decoders whose layers are listed one by one: Nemotron-H, Mamba, Jamba, searched architectures (DeciLM,
Nemotron-NAS)."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as shown
from typing import Final

from rooflab.errors import InputError, unknown
from rooflab.scenario.hf.config import FFN, HEADS, HIDDEN, LAYERS, Config
from rooflab.scenario.hf.decoder import assemble, runs
from rooflab.scenario.hf.family import Family
from rooflab.scenario.hf.feedforward import dense, experts, sparse_layers
from rooflab.scenario.hf.formats import Formats
from rooflab.scenario.hf.mixers import mixer, softmax
from rooflab.scenario.hf.states import mamba1, mamba2
from rooflab.scenario.model import Attention, Block, Dense, Experts, FeedForward, Mixer, Model

__all__ = ["read_deci", "read_jamba", "read_longcat", "read_mamba", "read_nas", "read_nemotron_h"]

_LETTERS: Final = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_NEMOTRON_5: Final = {"linear_attention": "mamba", "full_attention": "attention", "sparse": "moe", "dense": "mlp"}
"""Names of layers as transformers 5 writes them."""


def read_nemotron_h(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Each layer is one thing: a Mamba-2 mixer, attention, a feed-forward or experts (Nemotron-H, 2.1)."""
    kinds = _nemotron_kinds(c, "hybrid_override_pattern", "layers_block_type")
    if not kinds:
        raise InputError("missing; needed to read this model", c.at("hybrid_override_pattern"))
    mtp = _nemotron_kinds(c, "mtp_hybrid_override_pattern", "mtp_layers_block_type")
    repeated = c.whole("num_nextn_predict_layers", default=0)
    if repeated > len(kinds):
        raise InputError(
            f"{repeated:,} layers of prediction for {len(kinds)} of the model", c.at("num_nextn_predict_layers")
        )
    merged = _merge([_nemotron_block(c, family, k) for k in mtp]) if repeated else []
    made = {kind: _nemotron_block(c, family, kind) for kind in dict.fromkeys(kinds)}
    return assemble(c, family, name, formats, [made[kind] for kind in kinds], mtp=runs(merged * repeated))


def _nemotron_kinds(c: Config, pattern_key: str, list_key: str) -> list[str]:
    pattern = c.text(pattern_key)
    if pattern:
        for i, letter in enumerate(pattern):
            if letter not in _LETTERS:
                raise unknown("layer letter", letter, _LETTERS, f"{c.at(pattern_key)}[{i}]")
        return [_LETTERS[letter] for letter in pattern]
    listed = c.data.get(list_key) or []
    if not isinstance(listed, list):
        raise InputError(f"{shown(listed)} is not a list of layer types", c.at(list_key))
    listed = [_NEMOTRON_5.get(kind, kind) if isinstance(kind, str) else kind for kind in listed]
    for i, kind in enumerate(listed):
        if kind not in _LETTERS.values():
            raise unknown("layer type", str(kind), _LETTERS.values(), f"{c.at(list_key)}[{i}]")
    return listed


def _nemotron_block(c: Config, family: Family, kind: str) -> Block:
    mixers: tuple[Mixer, ...] = ()
    ffn: FeedForward | None = None
    if kind == "mamba":
        mixers = (mamba2(c),)
    elif kind == "attention":
        mixers = (softmax(c, family),)
    else:
        ffn = experts(c, family) if kind == "moe" else Dense(c.count(*FFN), family.gated, c.flag("mlp_bias"))
    return Block(mixers=mixers, ffn=ffn, norms=1)


def _merge(blocks: list[Block]) -> list[Block]:
    """One block of several single-purpose ones: a prediction module is attention and experts together."""
    if not blocks:
        return []
    mixers = tuple(m for b in blocks for m in b.mixers)
    return [Block(mixers=mixers, ffn=next((b.ffn for b in blocks if b.ffn), None), norms=len(blocks))]


def read_mamba(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Layers of one state-space mixer (Mamba, Mamba-2)."""
    ssm = mamba2(c) if c.text("model_type") == "mamba2" else mamba1(c)
    return assemble(c, family, name, formats, [Block(mixers=(ssm,), ffn=None, norms=1)] * c.count(*LAYERS))


def read_jamba(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """One attention layer in a period of Mamba layers, experts in every other one (Jamba, 3.1)."""
    layers = c.count(*LAYERS)
    period, offset = c.count("attn_layer_period", default=8), c.whole("attn_layer_offset", default=4)
    attention, ssm = softmax(c, family), mamba1(c)
    blocks = []
    for i, sparse in enumerate(sparse_layers(c, layers)):
        one: Mixer = attention if i % period == offset else ssm
        blocks.append(Block(mixers=(one,), ffn=experts(c, family) if sparse else dense(c, family)))
    return assemble(c, family, name, formats, blocks)


def read_longcat(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Layers of two latent attentions, two dense feed-forwards and one mixture beside them (LongCat-Flash, 2.1).

    Of the router's targets `zero_expert_num` do nothing; where load is balanced their share of the choices is theirs.
    """
    mixers: tuple[Mixer, ...] = (mixer(c, family, "full", 0),)
    half = Block(mixers=mixers, ffn=Dense(c.count("ffn_hidden_size", "intermediate_size")))
    routed, empty = c.count("n_routed_experts"), c.whole("zero_expert_num", default=0)
    chosen = max(round(c.count("moe_topk", "num_experts_per_tok") * routed / (routed + empty)), 1)
    mixture = Experts(experts=routed, top_k=chosen, width=c.count("expert_ffn_hidden_size"), router_bias=True)
    beside = Block(mixers=(), ffn=mixture, norms=0, extra_parameters=c.count(*HIDDEN) * empty)
    return assemble(c, family, name, formats, [half, half, beside] * c.count(*LAYERS))


def read_deci(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Grouped attention with a number of groups for each layer (DeciLM)."""
    layers = c.count(*LAYERS)
    per_layer = c.per_layer("num_key_value_heads_per_layer", layers)
    base = softmax(c, family)
    blocks = []
    for i in range(layers):
        kv_heads = base.kv_heads if per_layer is None else int(per_layer[i])
        blocks.append(
            Block(
                mixers=(
                    Attention(heads=base.heads, kv_heads=kv_heads, head_dim=base.head_dim, v_head_dim=base.v_head_dim),
                ),
                ffn=dense(c, family),
            )
        )
    return assemble(c, family, name, formats, blocks)


def read_nas(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """Blocks found by search: attention or feed-forward absent, thinner, or one matrix (Puzzle; `block_configs`)."""
    layers = c.count(*LAYERS)
    listed = c.per_layer("block_configs", layers)
    if listed is None:
        raise InputError("missing; needed to read this model", c.at("block_configs"))
    return assemble(
        c, family, name, formats, [_nas_block(c, listed[i], c.at(f"block_configs[{i}]")) for i in range(layers)]
    )


def _nas_block(c: Config, listed: object, where: str) -> Block:
    if not isinstance(listed, Mapping):
        raise InputError(f"{shown(listed)} is not a group of fields", where)
    block = Config(listed, where)
    attention, ffn = block.sub("attention"), block.sub("ffn")
    if attention is None or ffn is None:
        raise InputError("missing; needed to read this model", block.at("attention" if attention is None else "ffn"))
    hidden, heads = c.count(*HIDDEN), c.count(*HEADS)
    mixers: tuple[Mixer, ...] = ()
    forward: FeedForward | None = None
    extra = 0
    if not attention.flag("no_op"):
        if attention.flag("replace_with_linear"):
            extra += hidden * hidden
        else:
            width = c.count("head_dim", default=hidden // heads)
            mixers = (
                Attention(
                    heads=heads,
                    kv_heads=heads // attention.count("n_heads_in_group"),
                    head_dim=width,
                    v_head_dim=width,
                    window=attention.maybe("window_length"),
                ),
            )
    if not ffn.flag("no_op"):
        if ffn.flag("replace_with_linear"):
            extra += hidden * hidden
        else:
            forward = Dense(ffn.maybe("intermediate_size") or _nas_width(ffn.number("ffn_mult", 1.0), hidden))
    norms = (0 if attention.flag("no_op") else 1) + (0 if ffn.flag("no_op") else 1)
    return Block(mixers=mixers, ffn=forward, norms=norms, extra_parameters=extra)


def _nas_width(multiple: float, hidden: int) -> int:
    width = int(2 * multiple * hidden / 3)
    return -(-width // 256) * 256

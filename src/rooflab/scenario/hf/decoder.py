"""Decoders whose layers are a mixer and a feed-forward: most language models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rooflab.errors import InputError
from rooflab.scenario.hf.config import HIDDEN, POSITIONS, VOCAB, Config
from rooflab.scenario.hf.family import Family
from rooflab.scenario.hf.feedforward import dense, experts, sparse_layers
from rooflab.scenario.hf.formats import Formats
from rooflab.scenario.hf.mixers import layer_kinds, mixer, softmax
from rooflab.scenario.hf.states import mamba1, mamba2
from rooflab.scenario.hf.stored import stored_as
from rooflab.scenario.model import Attention, Block, Dense, Experts, LatentAttention, Mixer, Model, Run

__all__ = ["assemble", "decoder_blocks", "norms_of", "read_decoder", "runs"]


def runs(blocks: Iterable[Block]) -> tuple[Run, ...]:
    """Equal blocks gathered, in the order in which they first appear."""
    counted: dict[Block, int] = {}
    for block in blocks:
        counted[block] = counted.get(block, 0) + 1
    return tuple(Run(count, block) for block, count in counted.items())


def read_decoder(c: Config, family: Family, name: str, formats: Formats) -> Model:
    """A decoder whose blocks follow from `layer_types` and its kin."""
    blocks = _sharing(c, layer_kinds(c, family), decoder_blocks(c, family))
    return assemble(c, family, name, formats, blocks)


def decoder_blocks(c: Config, family: Family) -> list[Block]:
    """The blocks in order; equal ones are one object."""
    made: dict[tuple[str, int, bool], Block] = {}
    kinds = layer_kinds(c, family)
    numbered = c.has(
        "compress_ratios", "indexer_types", "sparse_attention_config"
    )  # the mixer depends on where it stands
    blocks = []
    others = _layers_of_their_own(c, len(kinds))
    for i, (kind, sparse) in enumerate(zip(kinds, sparse_layers(c, len(kinds)), strict=True)):
        if i in others:
            blocks.append(_block(others[i], family, kind, i, sparse))
            _refuse_unread_of(others[i], c, i)
            continue
        key = (kind, i if numbered else 0, sparse)
        if key not in made:
            made[key] = _block(c, family, kind, i, sparse)
        blocks.append(made[key])
    return blocks


def _sharing(c: Config, kinds: Sequence[str], blocks: list[Block]) -> list[Block]:
    """`blocks`, the last of which attend to keys and values that the last layer of their kind before them has cached,
    with a feed-forward of twice the width where the config says so (Gemma 4 E)."""
    count = c.whole("num_kv_shared_layers", default=0) if c.text("model_type") == "gemma4" else 0
    if not count:
        return blocks
    first = len(blocks) - count
    if first < 1 or set(kinds[first:]) - set(kinds[:first]):
        raise InputError(
            f"{count} of {len(blocks)} layers leave none of some kind to share from", c.at("num_kv_shared_layers")
        )
    return blocks[:first] + [_sharing_block(block, wide=c.flag("use_double_wide_mlp")) for block in blocks[first:]]


def _sharing_block(block: Block, *, wide: bool) -> Block:
    mixers = tuple(replace(m, shared=True) if isinstance(m, Attention) else m for m in block.mixers)
    ffn = replace(block.ffn, width=2 * block.ffn.width) if wide and isinstance(block.ffn, Dense) else block.ffn
    return replace(block, mixers=mixers, ffn=ffn)


def _layers_of_their_own(c: Config, layers: int) -> dict[int, Config]:
    """Configs of the layers for which `per_layer_config` changes keys, by number (transformers 5)."""
    listed = c.sub("per_layer_config")
    found: dict[int, Config] = {}
    for key in listed.data if listed else ():
        changed = listed.sub(key) if listed else None
        if not key.isdecimal() or int(key) >= layers:
            raise InputError(f"{key!r} is not a layer of {layers}", c.at("per_layer_config"))
        if changed is not None and changed.data:
            found[int(key)] = c.changed(changed)
    return found


def _refuse_unread_of(layer: Config, c: Config, number: int) -> None:
    """InputError for a key that only this layer has otherwise, and that its reader has not asked for."""
    before = c.data.plain()
    for key, value in layer.data.unread().items():
        if key not in before or value != before[key]:
            raise InputError(f"differs in layer {number}, and no reader asks for it: not read", layer.at(key))


def _block(c: Config, family: Family, kind: str, layer: int, sparse: bool) -> Block:
    hidden = c.count(*HIDDEN)
    norms, bias, parallel = norms_of(c, family)
    ffn = experts(c, family) if sparse else dense(c, family)
    extra = _hyper_connections(c, hidden)
    if isinstance(ffn, Experts) and c.text("model_type").startswith("gemma4"):
        norms += 3  # around the experts, beside those around the dense part
        extra += hidden + ffn.experts  # scales of the router and of each expert
    if c.text("model_type") == "gemma4" and (each := c.maybe("hidden_size_per_layer_input")):
        extra += 2 * hidden * each + hidden  # gate, projection and norm of what the layer's own table adds
    return Block(
        mixers=_mixers(c, family, kind, layer),
        ffn=ffn,
        norms=norms,
        norm_bias=bias,
        parallel=parallel,
        extra_parameters=extra,
    )


def _mixers(c: Config, family: Family, kind: str, layer: int) -> tuple[Mixer, ...]:
    if kind == "hybrid":
        return (softmax(c, family), mamba2(c))
    if kind == "mamba" and not c.has("mamba_n_heads", "mamba_num_heads"):
        return (mamba1(c),)
    return (mixer(c, family, kind, layer),)


def norms_of(c: Config, family: Family) -> tuple[int, bool, bool]:
    """Norms of a block, whether they have biases, and whether mixer and feed-forward are parallel."""
    norms, bias, parallel = family.norms, family.norm_bias, family.parallel
    model_type = c.text("model_type")
    if model_type == "falcon":
        parallel = c.flag("parallel_attn", True)
        two = c.flag("new_decoder_architecture") and c.whole("num_ln_in_parallel_attn", default=2) == 2
        norms = 2 if two or not parallel else 1
    elif model_type == "gpt_neox":
        parallel = c.flag("use_parallel_residual", True)
    elif model_type == "stablelm" and c.flag("use_parallel_residual"):
        norms, parallel = 1, True
    elif model_type == "mpt":
        bias = not c.flag("no_bias", True)
    return norms, bias, parallel


def _hyper_connections(c: Config, hidden: int) -> int:
    """Weights that mix `hc_mult` residual streams before and after each of the two halves of a layer (DeepSeek-V4)."""
    streams = c.maybe("hc_mult")
    if not streams:
        return 0
    mixes = (2 + streams) * streams
    return 2 * (mixes * streams * hidden + mixes + 3)


def assemble(
    c: Config,
    family: Family,
    name: str,
    formats: Formats,
    blocks: Sequence[Block],
    *,
    mtp: tuple[Run, ...] | None = None,
) -> Model:
    """The model around `blocks`, stored as `formats` say: embeddings, positions, head, final norm."""
    blocks = stored_as(blocks, formats.listing, formats.base, beside=c.text("model_type").startswith("gemma4"))
    hidden, vocab = c.count(*HIDDEN), c.count(*VOCAB)
    context = c.whole(*POSITIONS, default=0)
    positions = context + family.position_offset if family.learned_positions else _mpt_positions(c, context)
    model_type = c.text("model_type")
    streams = c.maybe("hc_mult") or 0
    each = c.maybe("hidden_size_per_layer_input") or 0 if model_type == "gemma4" else 0
    return Model(
        name=name,
        kind="decoder",
        family=model_type,
        hidden=hidden,
        vocab=vocab,
        runs=runs(blocks),
        tied=c.flag("tie_word_embeddings", family.tied),
        head_bias=family.head_bias,
        positions=positions,
        final_norm=family.final_norm,
        norm_bias=norms_of(c, family)[1],
        other_parameters=(2 * hidden if model_type == "bloom" else 0)
        + streams * (streams * hidden + 1)
        + (1 if streams else 0)
        + each * len(blocks) * hidden,
        layer_embedding=each * len(blocks),
        max_context=context,
        mtp=_mtp(c, blocks) if mtp is None else mtp,
    )


def _mpt_positions(c: Config, context: int) -> int:
    attention = c.sub("attn_config")
    alibi = c.flag("alibi") or (attention is not None and attention.flag("alibi"))
    return context if c.flag("learned_pos_emb", c.text("model_type") == "mpt") and not alibi else 0


def _mtp(c: Config, blocks: Sequence[Block]) -> tuple[Run, ...]:
    """Multi-token-prediction layers: blocks like the decoder's last one, which select their own tokens (GLM-5.3's
    stored total)."""
    count = c.whole("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", default=0)
    if not count:
        return ()
    return (Run(count, replace(blocks[-1], mixers=tuple(_with_own_indexer(m) for m in blocks[-1].mixers))),)


def _with_own_indexer(one: Mixer) -> Mixer:
    if isinstance(one, LatentAttention) and one.indexer:
        return replace(one, indexer=replace(one.indexer, own=True))
    return one

"""Encoders, encoder-decoders and vision transformers: BERT and kin, T5, BART, Whisper, ViT."""

from __future__ import annotations

from dataclasses import replace

from rooflab.scenario.hf.config import FFN, HEADS, HIDDEN, KV_HEADS, LAYERS, POSITIONS, VOCAB, Config
from rooflab.scenario.model import Attention, Block, Dense, Model, Run, Vision

__all__ = ["read_bart", "read_bert", "read_t5", "read_vit", "read_whisper"]


def _attention(
    c: Config, *heads_keys: str, causal: bool = False, k_bias: bool = True, biased: bool = True
) -> Attention:
    hidden, heads = c.count(*HIDDEN), c.count(*(heads_keys or HEADS))
    width = hidden // heads
    kv_heads = c.count(*KV_HEADS, default=heads)
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width,
        v_head_dim=width,
        causal=causal,
        qkv_bias=biased,
        out_bias=biased,
        k_bias=k_bias,
    )


def read_bert(c: Config, name: str) -> Model:
    """BERT, RoBERTa, XLM-R, ELECTRA, DistilBERT: post-norm encoder; the count is the bare encoder's, pooler
    included."""
    hidden, model_type = c.count(*HIDDEN), c.text("model_type")
    distil = model_type == "distilbert"
    block = Block(
        mixers=(_attention(c),), ffn=Dense(c.count("hidden_dim", *FFN), gated=False, bias=True), norm_bias=True
    )
    types = 0 if distil else c.whole("type_vocab_size", default=2)
    pooler = 0 if distil or model_type == "electra" else hidden * hidden + hidden
    return Model(
        name=name,
        kind="encoder",
        family=model_type,
        hidden=hidden,
        vocab=c.count(*VOCAB),
        runs=(Run(c.count(*LAYERS), block),),
        tied=True,
        head=False,
        positions=c.count(*POSITIONS),
        final_norm=0,
        norm_bias=True,
        other_parameters=types * hidden + 2 * hidden + pooler,
        max_context=c.count(*POSITIONS),
    )


def read_t5(c: Config, name: str) -> Model:
    """T5, mT5, UL2: no biases, relative positions in buckets once a stack (T5 paper, 2.1)."""
    heads, width = c.count(*HEADS), c.count("d_kv")
    gated = c.text("feed_forward_proj", "relu").startswith("gated")
    ffn = Dense(c.count("d_ff"), gated)
    own = Attention(heads=heads, kv_heads=heads, head_dim=width, v_head_dim=width)
    layers = c.count("num_layers")
    model_type = c.text("model_type")
    return Model(
        name=name,
        kind="encoder-decoder",
        family=model_type,
        hidden=c.count("d_model"),
        vocab=c.count("vocab_size"),
        runs=(
            Run(
                c.count("num_decoder_layers", default=layers),
                Block(mixers=(own, replace(own, cross=True, causal=False)), ffn=ffn, norms=3),
            ),
        ),
        encoder=(Run(layers, Block(mixers=(replace(own, causal=False),), ffn=ffn)),),
        tied=c.flag("tie_word_embeddings", model_type == "t5"),
        relative_buckets=c.count("relative_attention_num_buckets", default=32),
        max_context=c.whole("n_positions", default=512),
    )


def read_bart(c: Config, name: str) -> Model:
    """BART, mBART, Pegasus, Marian: learned positions in both stacks."""
    hidden, positions = c.count("d_model"), c.count("max_position_embeddings")
    model_type = c.text("model_type")
    pre_norm = model_type in ("mbart", "pegasus")
    offset = 2 if model_type in ("bart", "mbart") else 0
    learned = model_type in ("bart", "mbart")
    enc, dec = _attention(c, "encoder_attention_heads"), _attention(c, "decoder_attention_heads", causal=True)
    decoder = Block(
        mixers=(dec, replace(dec, cross=True, causal=False)),
        ffn=Dense(c.count("decoder_ffn_dim"), False, True),
        norms=3,
        norm_bias=True,
    )
    embedding_norms = 2 * 2 * hidden if model_type in ("bart", "mbart") else 0
    return Model(
        name=name,
        kind="encoder-decoder",
        family=model_type,
        hidden=hidden,
        vocab=c.count("vocab_size"),
        runs=(Run(c.count("decoder_layers"), decoder),),
        encoder=(
            Run(
                c.count("encoder_layers"),
                Block(mixers=(enc,), ffn=Dense(c.count("encoder_ffn_dim"), False, True), norm_bias=True),
            ),
        ),
        tied=c.flag("tie_word_embeddings", True),
        positions=positions + offset if learned else 0,
        final_norm=1 if pre_norm else 0,
        norm_bias=True,
        other_parameters=embedding_norms + ((positions + offset) * hidden if learned else 0),
        max_context=positions,
    )


def read_whisper(c: Config, name: str) -> Model:
    """Whisper: two convolutions before the encoder, whose positions are fixed and stored (Whisper paper, 2.2)."""
    hidden, mels = c.count("d_model"), c.count("num_mel_bins", default=80)
    frames, context = c.count("max_source_positions", default=1500), c.count("max_target_positions", default=448)
    enc = _attention(c, "encoder_attention_heads", k_bias=False)
    dec = _attention(c, "decoder_attention_heads", causal=True, k_bias=False)
    decoder = Block(
        mixers=(dec, replace(dec, cross=True, causal=False)),
        ffn=Dense(c.count("decoder_ffn_dim"), False, True),
        norms=3,
        norm_bias=True,
    )
    convolutions = 3 * mels * hidden + hidden + 3 * hidden * hidden + hidden
    return Model(
        name=name,
        kind="encoder-decoder",
        family="whisper",
        hidden=hidden,
        vocab=c.count("vocab_size"),
        runs=(Run(c.count("decoder_layers"), decoder),),
        encoder=(
            Run(
                c.count("encoder_layers"),
                Block(mixers=(enc,), ffn=Dense(c.count("encoder_ffn_dim"), False, True), norm_bias=True),
            ),
        ),
        tied=True,
        positions=context,
        norm_bias=True,
        other_parameters=convolutions + frames * hidden,
        max_context=context,
    )


def read_vit(c: Config, name: str) -> Model:
    """ViT, DeiT and the vision half of CLIP: patches, one class token, learned positions."""
    hidden, model_type = c.count(*HIDDEN), c.text("model_type")
    clip = model_type in ("clip_vision_model", "siglip_vision_model")
    bias = c.flag("qkv_bias", True)
    one = replace(_attention(c, biased=bias), out_bias=True)
    vision = Vision(
        c.count("image_size", default=224),
        c.count("patch_size", default=16),
        c.count("num_channels", default=3),
        _classes(c),
    )
    block = Block(mixers=(one,), ffn=Dense(c.count(*FFN), gated=False, bias=True), norm_bias=True)
    return Model(
        name=name,
        kind="vision",
        family=model_type,
        hidden=hidden,
        vocab=0,
        runs=(Run(c.count(*LAYERS), block),),
        norm_bias=True,
        head=not clip,
        other_parameters=2 * hidden - hidden if clip else 0,  # CLIP: a norm before the blocks, no bias on the patches
        vision=vision,
    )


def _classes(c: Config) -> int:
    labels = c.data.get("id2label")
    return len(labels) if isinstance(labels, dict) else c.whole("num_labels", "num_classes", default=1000)

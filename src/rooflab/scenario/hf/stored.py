"""Which module of a checkpoint is stored in which format, by its own lists: kept ones, named ones, and the rest.

A list names modules as the checkpoint does (``model.layers.0.self_attn.q_proj``), by a path above them, with ``*``, or
as a regular expression after ``re:``.  A mixer, a feed-forward or the shared experts of a layer are priced in one
format: the one that holds most of their weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Final

from rooflab.scenario.model import (
    Attention,
    Block,
    Experts,
    LatentAttention,
    LinearAttention,
    Mixer,
    Model,
    Run,
    ShortConvolution,
    StateSpace,
    Stored,
)

__all__ = ["KEPT", "Listing", "Modules", "root_of", "settled", "stored_as"]

KEPT: Final = "kept"
"""What a listing says of a module that stays as the base format has it."""
_ATTENTION: Final = ("self_attn", "attention", "attn", "linear_attn", "mixer")
_RECURRENT: Final = ("linear_attn", "mamba", "mixer", "self_attn", "conv")
_DENSE: Final = ("mlp", "feed_forward", "ffn", "mixer")
_MIXTURES: Final = ("mlp", "block_sparse_moe", "mixer", "ffn", "feed_forward", "moe")
_LAYER: Final = re.compile(r"^(.*?)(?:layers|h|blocks)\.")


@dataclass(frozen=True, slots=True)
class Modules:
    """A set of modules as a list names them."""

    literal: frozenset[str] = frozenset()
    patterns: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Modules:
        """Literal paths, globs and expressions from the entries of a list; one that is no expression matches
        nothing."""
        literal, patterns = [], []
        for name in names:
            if name.startswith("re:") or "*" in name:
                text = name[3:] if name.startswith("re:") else translate(name)
                try:
                    patterns.append(re.compile(text))
                except re.error:
                    continue
            else:
                literal.append(name)
        return cls(frozenset(literal), tuple(patterns))

    def __contains__(self, name: str) -> bool:
        """Whether the module `name` or a path above it is listed; a single word lists every module called so."""
        parts = name.split(".")
        above = [".".join(parts[: i + 1]) for i in range(len(parts))]
        return any(path in self.literal for path in (*above, *parts)) or any(
            p.match(path) for p in self.patterns for path in above
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """Formats by module: what is named first, then what is kept, then `rest`."""

    rest: str
    kept: Modules = Modules()
    named: tuple[tuple[Modules, str], ...] = ()
    root: str = field(default="model.")

    def format_of(self, names: Sequence[str]) -> str:
        """The format of one module that may go by any of `names`."""
        for modules, name in self.named:
            if any(n in modules for n in names):
                return name
        return KEPT if any(n in self.kept for n in names) else self.rest


def root_of(names: Iterable[str]) -> str:
    """What stands before ``layers.`` in the paths of a checkpoint: ``model.`` unless a list says otherwise."""
    found = (_LAYER.match(name) for name in names if not name.startswith("re:"))
    return next((m[1] for m in found if m and "*" not in m[1] and not m[1].startswith(("mtp", "vision"))), "model.")


def stored_as(blocks: Sequence[Block], listing: Listing | None, base: str, beside: bool = False) -> list[Block]:
    """`blocks`, in the order of their layers, with the formats that `listing` gives them; `base` is the format of what
    it keeps. `beside`: routed experts stand beside the feed-forward, which is the shared one (Gemma 4)."""
    if listing is None:
        return list(blocks)
    made: dict[tuple[Block, Stored], Block] = {}
    out = []
    for i, block in enumerate(blocks):
        stored = _stored(block, listing, f"{listing.root}layers.{i}.", base, beside)
        out.append(made.setdefault((block, stored), replace(block, stored=stored)))
    return out


def _stored(block: Block, listing: Listing, layer: str, base: str, beside: bool) -> Stored:
    def most(shares: Mapping[tuple[str, ...], float]) -> str | None:
        total: dict[str, float] = {}
        for names, share in shares.items():
            name = listing.format_of([layer + n for n in names])
            name = base if name == KEPT else name
            total[name] = total.get(name, 0.0) + share
        return max(total, key=lambda n: total[n]) if total else None

    mixers: dict[tuple[str, ...], float] = {}
    for mixer in block.mixers:
        mixers |= _mixer_modules(mixer)
    ffn, shared = block.ffn, {}
    if isinstance(ffn, Experts):
        parents = ("experts",) if beside else tuple(f"{m}.experts" for m in _MIXTURES)
        modules = _feed_forward([f"{p}.0" for p in parents])
        if ffn.shared_width:
            names = ("shared_experts", "shared_expert")
            shared = _feed_forward(["mlp"] if beside else [f"{m}.{n}" for m in _MIXTURES for n in names])
    else:
        modules = _feed_forward(_DENSE) if ffn is not None else {}
    return Stored(most(mixers), most(modules), most(shared))


def _feed_forward(parents: Sequence[str]) -> dict[tuple[str, ...], float]:
    leaves = (("gate_proj", "up_proj", "gate_up_proj", "w1", "w3"), ("down_proj", "w2"))
    up, down = (tuple(f"{p}.{leaf}" for p in parents for leaf in group) for group in leaves)
    return {up: 2.0, down: 1.0}


def _mixer_modules(mixer: Mixer) -> dict[tuple[str, ...], float]:
    """The products of a mixer under the names that checkpoints give them, each with its share of the weights."""
    if isinstance(mixer, Attention):
        q, kv = float(mixer.q_width), float(mixer.kv_width)
        leaves = {("q_proj", "qkv_proj", "wq"): q, ("k_proj", "qkv_proj", "wk"): kv / 2, ("v_proj", "wv"): kv / 2}
        leaves[("o_proj", "wo", "dense")] = float(mixer.heads * mixer.v_head_dim)
        parents = _ATTENTION
    elif isinstance(mixer, LatentAttention):
        leaves = {("q_b_proj", "q_proj", "wq_b"): 1.0, ("kv_a_proj_with_mqa",): 0.3, ("o_proj", "wo"): 1.0}
        parents = _ATTENTION
    elif isinstance(mixer, (LinearAttention, StateSpace, ShortConvolution)):
        leaves = {("in_proj_qkv", "in_proj_qkvz", "in_proj", "q_proj"): 2.0, ("out_proj", "o_proj"): 1.0}
        parents = _RECURRENT
    else:
        leaves, parents = {("wq_b", "q_b_proj"): 1.0, ("wo_b", "o_proj"): 1.0}, _ATTENTION
    return {tuple(f"{p}.{leaf}" for p in parents for leaf in names): share for names, share in leaves.items()}


def settled(model: Model, base: str) -> Model:
    """`model` with the formats that hold most of its weights as its own (`dtype`, `expert_dtype`); blocks keep what
    differs. `base` is the format of what no block has."""
    linear: dict[str, float] = {}
    routed: dict[str, float] = {}
    for run in model.runs:
        for into, name, size in _weighed(run, model.hidden):
            kind = routed if into == "experts" else linear
            kind[name or base] = kind.get(name or base, 0.0) + size
    weights = max(linear, key=lambda n: linear[n], default=base)
    experts = max(routed, key=lambda n: routed[n], default=weights)
    expert_dtype = None if experts == weights else experts
    counted: dict[Block, int] = {}
    for run in model.runs:
        block = replace(run.block, stored=_apart(run.block, weights, experts))
        counted[block] = counted.get(block, 0) + run.count
    runs = tuple(Run(count, block) for block, count in counted.items())
    mtp = tuple(Run(r.count, replace(r.block, stored=_apart(r.block, weights, experts))) for r in model.mtp)
    return replace(model, runs=runs, mtp=mtp, dtype=weights, expert_dtype=expert_dtype)


def _weighed(run: Run, hidden: int) -> list[tuple[str, str | None, float]]:
    block, stored = run.block, run.block.stored or Stored()
    parts = [("mixer", stored.mixer, float(sum(m.parameters(hidden) for m in block.mixers)))]
    if isinstance(block.ffn, Experts):
        parts.append(("experts", stored.ffn, float(block.ffn.experts * block.ffn.expert_parameters(hidden))))
        parts.append(("shared", stored.shared, float(block.ffn.matrices * hidden * block.ffn.shared_width)))
    elif block.ffn is not None:
        parts.append(("ffn", stored.ffn, float(block.ffn.parameters(hidden))))
    return [(into, name, run.count * size) for into, name, size in parts if size]


def _apart(block: Block, weights: str, experts: str) -> Stored | None:
    """What of a block is in another format than the model's own."""
    if block.stored is None:
        return None
    own = experts if isinstance(block.ffn, Experts) else weights
    found = Stored(
        None if block.stored.mixer == weights else block.stored.mixer,
        None if block.stored.ffn == own else block.stored.ffn,
        None if block.stored.shared == experts else block.stored.shared,
    )
    return None if found == Stored() else found

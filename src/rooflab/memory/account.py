"""What must be resident on each device, and how many sequences the rest holds.

    memory · utilisation = weights + activations + workspace + engine reserve + [KV cache and states]
    (memory − engine reserve) · utilisation = weights + [KV cache and states]  in SGLang, activations beyond
    [KV cache and states] = utilisation · (memory − all others)  in TensorRT-LLM: its setting is a share of what is free

Offloaded weights leave two layers on the device (the one at work and the one that arrives) and fill their tier; a cache
in host memory has what the weights leave of that.

Weights are those of the operators themselves (one rank's products, all experts of the rank), so a split
that replicates something pays for it.  The fullest pipeline stage counts.  Cache is paged per layer kind:
full attention keeps every token, a sliding window its window, a recurrent layer a state.
Arrays run over deployments of one model on one hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from rooflab.memory.engine_buffers import activation_bytes, expert_bytes
from rooflab.operators.formats import StepFormats, formats_of
from rooflab.operators.offload import host_shares, mixtures_of, stored_bytes
from rooflab.operators.ops import ExpertGemm
from rooflab.operators.split import Degrees
from rooflab.operators.step import step_operators
from rooflab.scenario.attention import Attention, LatentAttention
from rooflab.scenario.deployment import Held
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import LinearAttention, Model, ShortConvolution, StateSpace
from rooflab.scenario.paid import LEAST_MEMORY, paid
from rooflab.scenario.split import Split

__all__ = ["MemoryAccount", "account"]

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_RESERVE_BYTES: Final = {"gpu": 2.0e9, "npu": 2.0e9, "tpu": 1.0e9}
"""Driver context, communication buffers and captured graphs of a server-class engine; assumed (nvidia-smi shows 1.5 to
2.5 GB)."""
_RESERVE_SHARE: Final = 0.05
"""The same on small devices: at most this share of memory."""
_VLLM_RESERVE_SHARE: Final = 0.018
"""In vLLM, which captures its graphs after it has sized its cache. Chosen between two logs, on whose caches it errs by
-2 % (0.19 on an RTX 4090, Llama-3.1-8B and 256 sequences: 41,408 tokens; casys-kaist/LLMServingSim) and by +10 %
(gpt-oss-120b on an H100 at 0.95: 1.7 GiB; vllm-project/vllm 27508, 23278); a third, of 0.6.4, has some 20 % fewer
tokens than it says (RTX 3090; vllm-project/vllm 10517)."""
_STATE_BYTES: Final = 4.0
"""Recurrent states are fp32 in the engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAccount:
    """Bytes on the fullest device of each deployment, (D,) arrays.

    `capacity_bytes` is what the engine may use, `free_bytes` what is left for cache and states (negative: does
    not fit).  `sequences(length)` and `tokens(length)` say how much of it requests of a length can use.
    `least_length`: tokens of a sequence that the engine must be able to hold to start at all (0: any).
    `behind_bytes`: weights that lie in a tier behind the device.
    """

    capacity_bytes: Array
    weights_bytes: Array
    activations_bytes: Array
    reserve_bytes: Array
    free_bytes: Array
    dp: Array
    cp: Array
    least_length: Array
    behind_bytes: Array
    kinds: tuple[tuple[Array, float], ...]
    state_bytes: Array
    cross_bytes: Array

    @property
    def fits(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether weights leave room for anything."""
        return self.free_bytes > 0

    @property
    def kv_bytes_per_token(self) -> Array:
        """Bytes that a further token of a long sequence adds on its device."""
        return sum((b for b, window in self.kinds if window == float("inf")), np.zeros_like(self.free_bytes)) / self.cp

    def sequence_bytes(self, length: Array, cross: Array | float = 0.0) -> Array:
        """Bytes of one sequence of `length` tokens (and `cross` encoder tokens) on its device; broadcasts over
        deployments."""
        out = self.state_bytes + self.cross_bytes * cross
        for bytes_per_token, window in self.kinds:
            out = out + bytes_per_token * np.minimum(length, window) / self.cp
        return out

    def sequences(
        self, length: Array, cross: Array | float = 0.0, shared: Array | float = 0.0, once: Array | float = 0.0
    ) -> Array:
        """How many sequences of `length` tokens an engine holds at once (a real number; its floor is what runs); none
        where it does not start.

        `shared` tokens of a sequence (its beginning) are others', too: instead of them `once` tokens lie in the cache
        of each rank. Layers with a sliding window have left a beginning behind and share nothing.
        """
        each = self.kv_bytes_per_token
        size = self.sequence_bytes(length, cross) - each * shared
        room = np.maximum(self.free_bytes - each * once, 0.0)
        with np.errstate(divide="ignore"):
            held = np.where(size > 0, room / np.maximum(size, 1e-9), np.inf) * self.dp
        return np.where(self.starts & (self.free_bytes >= 0), held, 0.0)

    @property
    def starts(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether the cache holds the longest sequence that the engine was told to take."""
        return self.sequence_bytes(self.least_length) <= np.maximum(self.free_bytes, 0.0)


def account(model: Model, hardware: Hardware, deployments: Sequence[Held]) -> MemoryAccount:
    """The memory account of `deployments` (with `tp` chosen)."""
    hardware = _as_large_as_paid(hardware)
    parts = [_one(model, hardware, d, formats_of(model, hardware.device, d)) for d in deployments]
    columns = {name: np.array([p[name] for p in parts], dtype=np.float64) for name in parts[0]}
    windows = [_window(m) for r in model.runs for m in r.block.mixers]
    distinct = list(dict.fromkeys(w for w in windows if w is not None))
    kinds = tuple((columns.pop(f"kind {w}"), w) for w in distinct)
    return MemoryAccount(kinds=kinds, **columns)


def _as_large_as_paid(hardware: Hardware) -> Hardware:
    """The hardware with memories in which data takes the share of its size that is paid for."""
    share = max(paid().memory, LEAST_MEMORY)
    if share == 1.0:
        return hardware
    device = replace(hardware.device, memory_bytes=hardware.device.memory_bytes / share)
    tiers = tuple(replace(t, bytes=t.bytes / share) for t in hardware.tiers)
    return replace(hardware, device=device, tiers=tiers)


def _window(mixer: object) -> float | None:
    """Tokens that a layer keeps, inf for all; None when it keeps a state only."""
    if isinstance(mixer, (LinearAttention, StateSpace, ShortConvolution)) or (
        isinstance(mixer, Attention) and mixer.cross
    ):
        return None
    if isinstance(mixer, Attention) and mixer.window is not None and not mixer.indexer:
        return float(mixer.window)
    return float("inf")


def _one(model: Model, hardware: Hardware, d: Held, formats: StepFormats) -> dict[str, float]:
    device, tp = hardware.device, d.split.tp or 1
    layers, experts, table, head = _weights_bytes(model, formats, d.split, d.runtime.engine, device.family)
    offload = d.runtime.offload
    whole, routed = host_shares(offload, model.layers, mixtures_of(model))
    if offload is not None and offload.weights is not None:
        # streamed: the layer at work and the one that arrives
        held = 2.0 * (layers + experts) / _stage_layers(model.layers, d.split.pp)
    else:
        held = (1.0 - whole) * (layers + (1.0 - routed) * experts)
    if (
        offload is not None and offload.computes
    ):  # llama.cpp: the table is looked up on the host, the last layer is the head
        table, head = (table, 0.0) if model.tied else (0.0, 0.0 if whole else head)
    weights = held + table + head
    small = _VLLM_RESERVE_SHARE if d.runtime.engine == "vllm" else _RESERVE_SHARE
    reserve = min(_RESERVE_BYTES.get(device.kind, float("inf")), small * device.memory_bytes)
    activations = activation_bytes(model, d)
    taken = weights + activations + reserve
    left = _left_bytes(d, device.memory_bytes, weights, activations, reserve)
    behind = 0.0
    if offload is not None and (offload.weights is not None or offload.computes):
        behind = layers + experts - (held if whole or routed else 0.0)
    out = {
        "capacity_bytes": taken + left,
        "weights_bytes": weights,
        "activations_bytes": activations,
        "reserve_bytes": reserve,
        "free_bytes": _free_bytes(hardware, d, left, behind, whole),
        "dp": float(d.split.dp),
        "cp": float(d.split.cp),
        "least_length": float(d.limits.max_model_len or 0) if d.runtime.engine == "vllm" else 0.0,
        "behind_bytes": behind,
        "state_bytes": 0.0,
        "cross_bytes": 0.0,
    }
    for run in model.runs:
        # where all layers are on the host their cache is what is counted
        layers = _stage_layers(run.count, d.split.pp) * (1.0 - whole if whole < 1.0 else 1.0)
        for mixer in run.block.mixers:
            if isinstance(mixer, Attention):
                here = max(mixer.kv_heads / tp, 1.0) / mixer.kv_heads
                size = layers * mixer.kv_elements_per_token * here * formats.kv.bytes
                if mixer.cross:
                    out["cross_bytes"] += size
                    continue
            elif isinstance(mixer, (LinearAttention, StateSpace, ShortConvolution)):
                out["state_bytes"] += layers * mixer.state_elements / tp * _STATE_BYTES
                continue
            elif isinstance(mixer, LatentAttention) and mixer.indexer:
                size = layers * _sparse_latent_bytes(mixer, formats.kv.bytes)
            else:
                # latent and compressed caches are replicated over tensor-parallel ranks
                size = layers * mixer.kv_elements_per_token * formats.kv.bytes
                out["state_bytes"] += layers * mixer.state_elements * formats.kv.bytes
            key = f"kind {_window(mixer)}"
            out[key] = out.get(key, 0.0) + size
    return out


def _sparse_latent_bytes(mixer: LatentAttention, element_bytes: float) -> float:
    """Bytes a token and layer of latent attention that chooses its tokens (sgl-project/sglang 11309 logs 48,072 over 61
    layers): in 8 bits the latent has an fp32 scale for every 128 elements and the rotary key stays in 16 bits; the
    index key is in 8 bits with one fp32 scale whatever the cache's format."""
    narrow = element_bytes <= 1.0
    latent = mixer.kv_rank * element_bytes + (mixer.kv_rank / 128.0 * 4.0 if narrow else 0.0)
    index = mixer.indexer.key_elements if mixer.indexer else 0
    return latent + mixer.rope_dim * (2.0 if narrow else element_bytes) + (index + 4.0 if index else 0.0)


def _left_bytes(
    d: Held, memory_bytes: float, weights_bytes: float, activations_bytes: float, reserve_bytes: float
) -> float:
    """What weights, activations and reserve leave on the device of the engine's share of memory.

    SGLang's share (--mem-fraction-static) is of weights and cache alone, out of what its context leaves;
    TensorRT-LLM's is of what all others leave.
    """
    # devices of a host whose memory is the host's own share it with the system: utilisation covers that too
    share, left = d.limits.gpu_memory_utilization, memory_bytes - weights_bytes - activations_bytes - reserve_bytes
    if d.runtime.engine == "sglang":
        return min((memory_bytes - reserve_bytes) * share - weights_bytes, left)
    if d.runtime.engine != "trtllm":
        return left - memory_bytes * (1.0 - share)
    return left * share if left > 0 else left


def _free_bytes(hardware: Hardware, d: Held, on_device: float, layers: float, whole: float) -> float:
    """Bytes left for cache and states of `on_device` on the device and in the tiers; negative where something does not
    fit.

    The cache of the share `whole` of the layers that the CPU computes lies in the host's memory: the device has no use
    for more than what goes with it.
    """
    if d.runtime.offload is None:
        return on_device
    left = {t.name: t.bytes for t in hardware.tiers}
    weights = "dram" if d.runtime.offload.computes else d.runtime.offload.weights
    if weights is not None:
        left[weights] = left.get(weights, 0.0) - layers
    missing = min([on_device, *left.values(), 0.0])
    if missing < 0.0:
        return missing
    host = left.get("dram", 0.0)
    if d.runtime.offload.kv or whole >= 1.0:
        return host
    return min(on_device, host * (1.0 - whole) / whole) if whole > 0.0 else on_device


def _stage_layers(count: int, pp: int) -> float:
    """Layers of a run on the fullest pipeline stage, spread as evenly as they go."""
    return float(-(-count // pp)) if count >= pp else 1.0


@lru_cache(maxsize=4096)
def _weights_bytes(
    model: Model, formats: StepFormats, split: Split, engine: str, family: str
) -> tuple[float, float, float, float]:
    """Bytes of one rank's layers without their routed experts, of those, of its embedding and of its head, from its
    operators at a token count that needs all of them; experts as `engine` lays them out on devices of `family`."""
    tp, pp = split.tp or 1, split.pp
    whole = Degrees(float(tp), 1.0, float(split.ep or 1), float(split.dp), float(split.cp))
    layers, experts, table, head = 0.0, 0.0, 0.0, 0.0
    for op in step_operators(model, formats, whole, 1.0, 1.0):
        size = float(np.asarray(stored_bytes(op)))
        if op.group == "head":
            head += 0.0 if model.tied else size
        elif op.group == "embedding":
            table += size
        elif isinstance(op, ExpertGemm):
            experts += expert_bytes(op, formats, engine, family)
        else:
            layers += size
    if not model.vision:
        stored = formats.weights if formats.weights.everywhere else formats.plain
        table += (model.embedding_parameters * stored.bytes + model.tower_parameters * formats.plain.bytes) / tp
    encoder = float(sum(r.count * r.block.parameters(model.hidden) for r in model.encoder)) * formats.weights.bytes / tp
    layers += _encoder_keys(model) * formats.weights.bytes / tp
    depth = _stage_layers(model.layers, pp) / model.layers
    ends = min(pp, 2)  # embedding and head sit on different stages
    return float((layers + encoder) * depth), float(experts * depth), float(table / ends), float(head / ends)


def _encoder_keys(model: Model) -> float:
    """Weights of the projections that make keys and values of an encoder's output: once a request, in no step."""
    return float(
        sum(
            run.count * model.hidden * mixer.kv_width
            for run in model.runs
            for mixer in run.block.mixers
            if isinstance(mixer, Attention) and mixer.cross
        )
    )

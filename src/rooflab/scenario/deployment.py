"""The deployment: the engine, how the model is split and stored, and the limits of its scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rooflab.errors import InputError, unknown
from rooflab.scenario import cluster, fields
from rooflab.scenario.dtype import dtype
from rooflab.scenario.offload import Offload, read_offload

__all__ = ["ENGINES", "Deployment", "Overlap", "Speculation", "read_deployment"]

ENGINES: Final = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "trtllm": "TensorRT-LLM",
    "lmdeploy": "LMDeploy",
    "tgi": "TGI",
    "transformers": "Transformers",
    "deepspeed": "DeepSpeed-MII",
    "llamacpp": "llama.cpp",
    "mlx": "MLX",
    "onnxruntime": "ONNX Runtime",
    "pytorch": "PyTorch",
    "neuron": "Neuron",
    "fastertransformer": "FasterTransformer",
    "ideal": "an engine without overhead",
}
_ENGINE_ALIASES: Final = {
    "tensorrt-llm": "trtllm", "trt-llm": "trtllm", "tensorrt": "trtllm", "nim": "trtllm", "llama.cpp": "llamacpp",
    "llama-cpp": "llamacpp",
    "hf": "transformers", "huggingface": "transformers", "deepspeed-mii": "deepspeed", "mii": "deepspeed",
    "turbomind": "lmdeploy",
    "torch": "pytorch", "ft": "fastertransformer",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: `tokens` drafted a step, each accepted with probability `acceptance` while all before it
    were.

    `draft_share`: time of drafting one token over a plain decode step of the target.
    """

    tokens: int
    acceptance: float
    draft_share: float = 0.05

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens gained by a step: (1 − a^(k+1)) / (1 − a), the target's own token included (Leviathan et al.
        2023, eq. 1)."""
        if self.acceptance >= 1:
            return self.tokens + 1.0
        return (1 - self.acceptance ** (self.tokens + 1)) / (1 - self.acceptance)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Work of one step that runs beside its matrix products on the same device.

    `attention`: share of decode attention that runs while products leave the memory idle; `comm`: share of
    communication that runs while anything else does.  1 is everything that could be hidden, 0 one operator after the
    other.
    """

    attention: float = 0.0
    comm: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How a model is served.  An empty `engine` is the usual one for the hardware.

    Splits: `tp` tensor, `pp` pipeline, `ep` expert, `dp` attention-data, `cp` context parallel; one engine
    uses tp·pp·dp·cp devices (experts are spread over them by `ep`), and there are `replicas` engines
    (None: as many as the hardware holds).  Formats None mean the model's own.  Limits carry vLLM's names.
    `batching` "separate": every sequence is an instance of its own that reads the (once resident) weights for itself.
    `admit_every`: decode steps between two looks at the waiting line (SGLang's scheduler-recv-interval);
    `batch_wait_steps`: decode steps that a prompt waits for others to share its step (TensorRT-LLM's
    batch_wait_timeout_iters). With `pools` the engines are those of the pools, prompts and decodes apart; beyond
    `spill_tokens` on every engine for prompts (None: never) a decode engine takes the prompt and answers it.
    """

    engine: str = ""
    engine_version: str = ""
    tp: int | None = None
    pp: int = 1
    ep: int | None = None
    dp: int = 1
    cp: int = 1
    replicas: int | None = None
    weights: str | None = None
    activations: str | None = None
    experts: str | None = None
    kv: str | None = None
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int | None = None
    block_size: int = 16
    gpu_memory_utilization: float = 0.9
    chunked_prefill: bool = True
    admit_every: int = 1
    batch_wait_steps: int = 0
    prefix_caching: bool = True
    cuda_graphs: bool = True
    host: Literal["fast", "slow"] = "fast"
    speculation: Speculation | None = None
    overlap: Overlap | None = None
    batching: Literal["shared", "separate"] = "shared"
    offload: Offload | None = None
    scheduler: str | None = None
    policy: str = "fcfs"
    preemption: Literal["recompute", "swap"] = "recompute"
    swap: cluster.Swap | None = None
    rotation: cluster.Rotation | None = None
    router: str = "round-robin"
    pools: tuple[cluster.Pool, ...] = ()
    transfer: cluster.Transfer = cluster.Transfer()
    spill_tokens: int | None = None
    kv_tiers: cluster.KVTier = cluster.KVTier()
    max_waiting: int | None = None
    autoscale: cluster.Autoscale | None = None
    failures: tuple[cluster.Failure, ...] = ()
    speed: tuple[cluster.SpeedChange, ...] = ()

    @property
    def devices_per_replica(self) -> int:
        """Devices that one engine uses; `tp` must have been chosen."""
        assert self.tp is not None
        return self.tp * self.pp * self.dp * self.cp

    @property
    def devices(self) -> int:
        """Devices in use; `replicas` must have been chosen."""
        assert self.replicas is not None
        return self.devices_per_replica * self.replicas


def _engine(value: Any, where: str) -> str:
    name = str(value).strip().lower()
    name = _ENGINE_ALIASES.get(name, name)
    if name not in ENGINES:
        raise unknown("engine", str(value), ENGINES, where)
    return name


def _format(value: Any, where: str) -> str:
    return dtype(str(value), where).name


def _speculation(value: Any, where: str) -> Speculation:
    readers: Mapping[str, fields.Reader] = {
        "tokens": fields.at_least(1),
        "acceptance": fields.number(0, 1),
        "draft_share": fields.number(0),
    }
    for key in ("tokens", "acceptance"):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError("speculation needs tokens and acceptance, for example {tokens: 3, acceptance: 0.7}", where)
    return fields.read(Speculation, value, where, readers)


def _overlap(value: Any, where: str) -> Overlap:
    if isinstance(value, Overlap):
        return value
    return fields.read(Overlap, value, where, {"attention": fields.number(0, 1), "comm": fields.number(0, 1)})


DEPLOYMENT_READERS: Final[dict[str, fields.Reader]] = {
    "engine": _engine,
    "engine_version": fields.text,
    **{k: fields.at_least(1) for k in ("tp", "pp", "ep", "dp", "cp", "replicas")},
    **dict.fromkeys(("weights", "activations", "experts", "kv"), _format),
    "max_num_seqs": fields.at_least(1),
    "max_num_batched_tokens": fields.at_least(1),
    "max_model_len": fields.at_least(1),
    "block_size": fields.at_least(1),
    "gpu_memory_utilization": fields.number(0, 1, exclusive=True),
    "chunked_prefill": fields.flag,
    "admit_every": fields.at_least(1),
    "batch_wait_steps": fields.integer,
    "prefix_caching": fields.flag,
    "cuda_graphs": fields.flag,
    "host": fields.choice("fast", "slow"),
    "speculation": _speculation,
    "overlap": _overlap,
    "batching": fields.choice("shared", "separate"),
    "offload": read_offload,
    "scheduler": fields.text,
    "policy": fields.text,
    "preemption": fields.choice("recompute", "swap"),
    "swap": cluster.read_swap,
    "rotation": cluster.read_rotation,
    "router": fields.text,
    "pools": cluster.read_pools,
    "transfer": cluster.read_transfer,
    "spill_tokens": fields.at_least(1),
    "kv_tiers": cluster.read_tiers,
    "max_waiting": fields.integer,
    "autoscale": cluster.read_autoscale,
    "failures": cluster.read_failures,
    "speed": cluster.read_speed,
}


def read_deployment(value: Any, where: str = "deployment") -> Deployment:
    """A deployment from its mapping; splits are checked against model and hardware later, when both are known."""
    if isinstance(value, Deployment):
        return value
    return fields.read(Deployment, value, where, DEPLOYMENT_READERS)

"""How an engine runs a step: its name and version, its host, and what it does beside or instead of plain decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rooflab.errors import InputError, unknown
from rooflab.scenario import fields
from rooflab.scenario.offload import Offload, read_offload

__all__ = ["ENGINES", "RUNTIME_READERS", "Overlap", "Runtime", "Speculation"]

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

    `draft_share`: time of drafting one token over a plain decode step of the target. `method`: a "model" drafts (the
    target's own layers for further tokens where it has them), or "ngram": what followed the same words before.
    """

    tokens: int
    acceptance: float
    draft_share: float = 0.05
    method: Literal["model", "ngram"] = "model"

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
class Runtime:
    """How a step runs.  An empty `engine` is the usual one for the hardware.

    `host` "slow": a process that costs every step some milliseconds; "contended": one that shares its processor with
    others, so that steps take tens of milliseconds whatever they hold.
    `batching` "separate": every sequence is an instance of its own that reads the (once resident) weights for itself.
    """

    engine: str = ""
    engine_version: str = ""
    host: Literal["fast", "slow", "contended"] = "fast"
    cuda_graphs: bool = True
    speculation: Speculation | None = None
    overlap: Overlap | None = None
    batching: Literal["shared", "separate"] = "shared"
    offload: Offload | None = None


def _engine(value: Any, where: str) -> str:
    name = str(value).strip().lower()
    name = _ENGINE_ALIASES.get(name, name)
    if name not in ENGINES:
        raise unknown("engine", str(value), ENGINES, where)
    return name


def _speculation(value: Any, where: str) -> Speculation:
    readers: Mapping[str, fields.Reader] = {
        "tokens": fields.at_least(1),
        "acceptance": fields.number(0, 1),
        "draft_share": fields.number(0),
        "method": fields.choice("model", "ngram"),
    }
    for key in ("tokens", "acceptance"):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError("speculation needs tokens and acceptance, for example {tokens: 3, acceptance: 0.7}", where)
    return fields.read(Speculation, value, where, readers)


def _overlap(value: Any, where: str) -> Overlap:
    if isinstance(value, Overlap):
        return value
    return fields.read(Overlap, value, where, {"attention": fields.number(0, 1), "comm": fields.number(0, 1)})


RUNTIME_READERS: Final[dict[str, fields.Reader]] = {
    "engine": _engine,
    "engine_version": fields.text,
    "host": fields.choice("fast", "slow", "contended"),
    "cuda_graphs": fields.flag,
    "speculation": _speculation,
    "overlap": _overlap,
    "batching": fields.choice("shared", "separate"),
    "offload": read_offload,
}

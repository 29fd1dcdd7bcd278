"""Launch commands: a planned deployment in the flags that each engine documents.

Flags: vLLM "Engine arguments" and "vllm serve"; SGLang "Server arguments"; TensorRT-LLM "trtllm-serve" and "LLM
arguments"; llama.cpp "llama-server".  A command starts one engine; lines that begin with # say what a flag cannot.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Sequence
from typing import Final

from rooflab.errors import InputError, unknown
from rooflab.launch.label import split_label
from rooflab.launch.pools import BOOTSTRAP, Part, members, router, started
from rooflab.memory.account import account
from rooflab.operators.formats import StepFormats, formats_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario

__all__ = ["EMITTERS", "arguments", "context_length", "hosts_per_engine", "launch_command"]

_PORT: Final = 8000
_DRAFT: Final = "DRAFT-MODEL"
_DRAFT_NOTE: Final = f"put the draft head's name (EAGLE-3, trained for this model) in place of {_DRAFT}"


def launch_command(scenario: Scenario, engine: str | None = None, parts: Sequence[Part] = ()) -> str:
    """The command that starts one engine of a completed scenario, one flag a line, comments first; of a scenario with
    pools, whose `parts` (`rooflab.deploy.pools`) go with it, a script that starts all of them.

    `engine`: "vllm", "sglang", "trtllm" or "llamacpp"; the deployment's own by default.  Raises InputError for others.
    """
    engine = _engine(scenario, engine)
    if scenario.deployment.cluster.pools:
        return _pools_command(scenario, engine, parts)
    words, files, notes = EMITTERS[engine](scenario)
    lines = [f"# {note}" for note in _notes(scenario, engine) + notes]
    for name, content in files.items():
        lines += [f"cat > {name} <<'EOF'", content.rstrip(), "EOF"]
    return "\n".join([*lines, _wrapped(words)])


def _pools_command(scenario: Scenario, engine: str, parts: Sequence[Part]) -> str:
    """A script that starts every engine of the pools in the background, and what clients talk to."""
    if engine != scenario.deployment.runtime.engine:
        raise InputError(f"these pools are of {ENGINES[scenario.deployment.runtime.engine]}", "--emit")
    placed = members(scenario, parts)
    alone = placed[-1].host == 0
    lines = [] if alone else ["# run each on its host, and put the hosts' names in place of HOST0, HOST1, ..."]
    for member in placed:
        words, _, notes = EMITTERS[engine](member.scenario)
        environment, words = started(member, words, alone=alone)
        where = "" if alone else f" of {member.address}"
        lines += [f"# {note}" for note in (f"{member.words}{where}", *notes)]
        before = [f"{key}={value} \\" for key, value in environment.items()]
        lines += [*before, f"{_wrapped(words)} &"]
    hosts = [(m, "127.0.0.1" if alone else m.address) for m in placed]
    front = router(
        engine,
        [(host, m.port, BOOTSTRAP + m.number) for m, host in hosts if m.role == "prefill"],
        [(host, m.port) for m, host in hosts if m.role == "decode"],
        port=_PORT,
    )
    lines.append(f"# clients talk to port {_PORT}" + ("; in a clone of vLLM" if engine == "vllm" else ""))
    return "\n".join([*lines, _wrapped(front)])


def arguments(scenario: Scenario, engine: str | None = None) -> tuple[list[str], dict[str, str]]:
    """The command as words, and the files that it reads by name."""
    words, files, _ = EMITTERS[_engine(scenario, engine)](scenario)
    return words, files


def _engine(scenario: Scenario, engine: str | None) -> str:
    name = engine or scenario.deployment.runtime.engine
    if name not in EMITTERS:
        raise unknown("engine with a launch command", name, EMITTERS, "engine")
    if scenario.deployment.split.cp > 1:
        raise InputError(
            f"context parallelism over further devices has no flag in {ENGINES[name]}; set cp to 1", "deployment.cp"
        )
    return name


def _wrapped(words: list[str]) -> str:
    """The words quoted for a shell, a flag and its value on each line."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and word != "-m" and lines[-1] and not _is_number(word):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


def _notes(scenario: Scenario, engine: str) -> list[str]:
    d = scenario.deployment
    notes = []
    if engine != d.runtime.engine:
        notes.append(f"priced as {ENGINES.get(d.runtime.engine, d.runtime.engine)}; {ENGINES[engine]} may differ")
    if (d.cluster.replicas or 1) > 1:
        notes.append(f"one of {d.cluster.replicas} engines ({split_label(d)}); put a load balancer in front")
    if hosts_per_engine(scenario) > 1:
        notes.append(f"spans {hosts_per_engine(scenario)} hosts; start it as the engine's multi-node guide says")
    return notes


def hosts_per_engine(scenario: Scenario) -> int:
    """Hosts that one engine spans."""
    return -(-scenario.deployment.split.devices_per_replica // scenario.hardware.devices_per_host)


def context_length(scenario: Scenario) -> int | None:
    """Tokens that the longest request needs, in steps of 1,024, at most the model's own; None where lengths have no
    end."""
    d, w, most = scenario.deployment, scenario.workload, scenario.model.max_context
    if d.limits.max_model_len:
        return d.limits.max_model_len
    longest = max(w.isl.high, w.mean_prompt_tokens) + max(w.osl.high, w.mean_output_tokens)
    if longest == float("inf") or w.classes or w.sessions:
        return None
    tokens = 1024 * int(-(-longest // 1024))
    return min(tokens, most) if most else tokens


def _formats(scenario: Scenario) -> StepFormats:
    return formats_of(scenario.model, scenario.hardware.device, scenario.deployment)


def _asked_weights(scenario: Scenario) -> str | None:
    """The weight format where it is not the checkpoint's own."""
    asked, m = scenario.deployment.formats.weights, scenario.model
    return None if asked in (None, m.dtype, m.expert_dtype, "bf16", "fp16") else asked


def _quantisation(scenario: Scenario) -> tuple[list[str], list[str]]:
    """The flag that quantises on loading (fp8 only); other formats need a checkpoint in them, which engines recognise
    themselves."""
    asked = _asked_weights(scenario)
    if asked is None:
        return [], []
    if asked in ("fp8", "fp8-block"):
        return ["--quantization", "fp8"], []
    return [], [f"needs a checkpoint of {scenario.model.served_name} quantised to {asked}; put its name in place"]


def _vllm(s: Scenario) -> tuple[list[str], dict[str, str], list[str]]:
    d = s.deployment
    quantisation, notes = _quantisation(s)
    words = ["vllm", "serve", s.model.served_name, "--port", str(_PORT), "--tensor-parallel-size", str(d.split.tp)]
    words += _above_one("--pipeline-parallel-size", d.split.pp) + _above_one("--data-parallel-size", d.split.dp)
    words += ["--enable-expert-parallel"] if (d.split.ep or 1) > 1 else []
    words += quantisation
    words += ["--kv-cache-dtype", "fp8"] if d.formats.kv and d.formats.kv.startswith("fp8") else []
    tokens = d.limits.max_num_batched_tokens
    words += ["--max-num-seqs", str(d.limits.max_num_seqs), "--max-num-batched-tokens", str(tokens)]
    length = context_length(s)
    if not d.limits.chunked_prefill:  # a whole prompt must fit into a step
        length = min(length or tokens, tokens)
    words += [*_given("--max-model-len", length), "--gpu-memory-utilization", f"{d.limits.gpu_memory_utilization:g}"]
    words += [] if d.limits.block_size == 16 else ["--block-size", str(d.limits.block_size)]
    words += [] if d.limits.chunked_prefill else ["--no-enable-chunked-prefill"]
    words += [] if d.limits.prefix_caching else ["--no-enable-prefix-caching"]
    words += [] if d.runtime.cuda_graphs else ["--enforce-eager"]
    if d.runtime.speculation is not None:
        draft, more = _vllm_drafts(s)
        notes += more
        words += ["--speculative-config", json.dumps(draft | {"num_speculative_tokens": d.runtime.speculation.tokens})]
    words += _vllm_host_memory(s)
    if hosts_per_engine(s) > 1:
        words += ["--distributed-executor-backend", "ray"] if d.split.dp == 1 else ["--data-parallel-backend", "ray"]
    return words, {}, notes


def _vllm_drafts(s: Scenario) -> tuple[dict[str, object], list[str]]:
    """Who drafts, for ``--speculative-config``, and what is left to fill in."""
    if _by_ngrams(s.deployment):
        return {"method": "ngram", "prompt_lookup_max": 4}, []
    if s.model.mtp_layers:
        return {"method": "mtp"}, []
    return {"model": _DRAFT}, [_DRAFT_NOTE]


def _vllm_host_memory(s: Scenario) -> list[str]:
    """Flags for what lies in the host's memory, in GiB: evicted cache of all ranks, weights of each."""
    d = s.deployment
    words = []
    if d.cluster.kv_tiers.host_bytes:
        words += ["--kv-offloading-backend", "native", "--kv-offloading-size", _gib(d.cluster.kv_tiers.host_bytes)]
    if d.runtime.offload is not None and d.runtime.offload.weights is not None:
        resident = account(s.model, s.hardware, [d.changed(offload=None)])
        words += ["--cpu-offload-gb", _gib(float(resident.weights_bytes[0]))]
    return words


def _gib(size_bytes: float) -> str:
    return str(max(math.ceil(size_bytes / 2**30), 1))


def _by_ngrams(d: Deployment) -> bool:
    return d.runtime.speculation is not None and d.runtime.speculation.method == "ngram"


def _sglang(s: Scenario) -> tuple[list[str], dict[str, str], list[str]]:
    d = s.deployment
    quantisation, notes = _quantisation(s)
    words = ["python", "-m", "sglang.launch_server", "--model-path", s.model.served_name, "--port", str(_PORT)]
    words += ["--tp", str((d.split.tp or 1) * d.split.dp)]
    words += _above_one("--pp-size", d.split.pp)
    words += ["--dp", str(d.split.dp), "--enable-dp-attention"] if d.split.dp > 1 else []
    words += _above_one("--ep-size", d.split.ep or 1) + quantisation
    words += ["--kv-cache-dtype", "fp8_e4m3"] if d.formats.kv and d.formats.kv.startswith("fp8") else []
    # both limits are shared out over data-parallel ranks
    chunk = d.limits.max_num_batched_tokens * d.split.dp if d.limits.chunked_prefill else -1
    words += ["--max-running-requests", str(d.limits.max_num_seqs * d.split.dp), "--chunked-prefill-size", str(chunk)]
    words += _above_one("--scheduler-recv-interval", d.limits.admit_every)
    words += [*_given("--context-length", context_length(s)), "--mem-fraction-static", f"{_static_fraction(s):.2f}"]
    words += [] if d.limits.prefix_caching else ["--disable-radix-cache"]
    words += [] if d.runtime.cuda_graphs else ["--disable-cuda-graph"]
    drafts, more = _sglang_drafts(s)
    words, notes = words + drafts, notes + more
    if d.cluster.kv_tiers.host_bytes:
        each = d.cluster.kv_tiers.host_bytes / d.split.devices_per_replica  # of a rank, in GB
        words += ["--enable-hierarchical-cache", "--hicache-size", str(max(int(each / 1e9), 1))]
    if hosts_per_engine(s) > 1:
        words += ["--nnodes", str(hosts_per_engine(s)), "--node-rank", "0", "--dist-init-addr", "HOST0:5000"]
        notes.append("run it on every host with its own --node-rank; HOST0 is the first one's address")
    return words, {}, notes


def _sglang_drafts(s: Scenario) -> tuple[list[str], list[str]]:
    """Flags for who drafts, and what is left to fill in."""
    if s.deployment.runtime.speculation is None:
        return [], []
    k = s.deployment.runtime.speculation.tokens
    if _by_ngrams(s.deployment):
        return ["--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", str(k + 1)], []
    words = ["--speculative-algorithm", "EAGLE" if s.model.mtp_layers else "EAGLE3"]
    words += ["--speculative-num-steps", str(k), "--speculative-eagle-topk", "1"]
    words += ["--speculative-num-draft-tokens", str(k + 1)]
    if s.model.mtp_layers:
        return words, []
    return [*words, "--speculative-draft-model-path", _DRAFT], [_DRAFT_NOTE]


def _trtllm(s: Scenario) -> tuple[list[str], dict[str, str], list[str]]:
    import yaml

    d = s.deployment
    if d.split.dp > 1 and (d.split.tp or 1) > 1:
        raise InputError("TensorRT-LLM's attention DP takes every rank of a stage; use tp 1 with it", "deployment.tp")
    ranks = (d.split.tp or 1) * d.split.dp
    words = ["trtllm-serve", s.model.served_name, "--port", str(_PORT), "--tp_size", str(ranks)]
    words += _above_one("--pp_size", d.split.pp) + _above_one("--ep_size", d.split.ep or 1)
    words += ["--max_batch_size", str(d.limits.max_num_seqs), "--max_num_tokens", str(d.limits.max_num_batched_tokens)]
    words += [
        *_given("--max_seq_len", context_length(s)),
        "--kv_cache_free_gpu_memory_fraction",
        f"{d.limits.gpu_memory_utilization:.2f}",
    ]
    cache: dict[str, object] = {"enable_block_reuse": d.limits.prefix_caching}
    if d.formats.kv and d.formats.kv.startswith("fp8"):
        cache["dtype"] = "fp8"
    options: dict[str, object] = {"enable_chunked_prefill": d.limits.chunked_prefill, "kv_cache_config": cache}
    if d.split.dp > 1:
        options["enable_attention_dp"] = True
    if not d.runtime.cuda_graphs:
        options["cuda_graph_config"] = None
    if d.limits.batch_wait_steps:
        options |= {"batch_wait_timeout_iters": d.limits.batch_wait_steps, "batch_wait_max_tokens_ratio": 0.9}
    notes = []
    if d.runtime.speculation is not None:
        options["speculative_config"], more = _trtllm_drafts(s, d.runtime.speculation.tokens)
        notes += more
    asked = _asked_weights(s)
    if asked is not None:
        notes.append(f"needs a checkpoint of {s.model.served_name} quantised to {asked}; put its name in place")
    words += ["--extra_llm_api_options", "trtllm.yaml"]
    return words, {"trtllm.yaml": yaml.safe_dump(options, sort_keys=False)}, notes


def _trtllm_drafts(s: Scenario, tokens: int) -> tuple[dict[str, object], list[str]]:
    """Who drafts, as ``speculative_config`` says it, and what is left to fill in."""
    if _by_ngrams(s.deployment):
        return {"decoding_type": "NGram", "max_draft_len": tokens, "max_matching_ngram_size": 4}, []
    if s.model.mtp_layers:
        return {"decoding_type": "MTP", "num_nextn_predict_layers": tokens}, []
    return {"decoding_type": "Eagle3", "max_draft_len": tokens, "speculative_model": _DRAFT}, [_DRAFT_NOTE]


_GGUF: Final = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}


def _llamacpp(s: Scenario) -> tuple[list[str], dict[str, str], list[str]]:
    d, f = s.deployment, _formats(s)
    named = "MXFP4" if f.experts.name == "mxfp4" else f.weights.name.upper() if f.weights.everywhere else ""
    gguf = named or _GGUF.get(f.weights.name, "Q4_K_M" if f.weights.element_bits <= 4 else "Q8_0")
    given = s.model.given if isinstance(s.model.given, str) and s.model.given.endswith(".gguf") else ""
    file = given or f"{s.model.served_name.rsplit('/', 1)[-1]}-{gguf}.gguf"
    get = "" if given else f"convert {s.model.served_name} to GGUF {gguf}, or download it so; "
    each = context_length(s) or s.model.max_context or 4096
    offload = d.runtime.offload
    layers = "0" if s.hardware.device.kind in ("cpu", "soc") else "99"
    if offload is not None and offload.gpu_layers is not None:
        layers = str(offload.gpu_layers)
    words = [
        "llama-server",
        "-m",
        file,
        "--port",
        str(_PORT),
        "-ngl",
        layers,
        "-c",
        str(each * d.limits.max_num_seqs),
        "-np",
        str(d.limits.max_num_seqs),
    ]
    words += ["--n-cpu-moe", str(offload.cpu_experts)] if offload is not None and offload.cpu_experts else []
    words += ["-ctk", "q8_0", "-ctv", "q8_0"] if d.formats.kv in ("q8_0", "int8", "fp8") else []
    words += ["-sm", "layer"] if d.split.devices_per_replica > 1 else []
    return (
        words,
        {},
        [f"{get}the context is shared by {d.limits.max_num_seqs} slots"],
    )


EMITTERS: Final[dict[str, Callable[[Scenario], tuple[list[str], dict[str, str], list[str]]]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "llamacpp": _llamacpp,
}
"""Engines with a launch command: scenario -> words, files, notes."""


def _above_one(flag: str, n: int) -> list[str]:
    return [flag, str(n)] if n > 1 else []


def _given(flag: str, n: int | None) -> list[str]:
    return [flag, str(n)] if n else []


def _static_fraction(s: Scenario) -> float:
    """SGLang's share of memory for weights and cache: what the engine may use less activations and reserve."""
    d: Deployment = s.deployment
    m = account(s.model, s.hardware, [d])
    share = (m.capacity_bytes - m.activations_bytes - m.reserve_bytes) / s.hardware.device.memory_bytes
    return max(float(share[0]), 0.1)

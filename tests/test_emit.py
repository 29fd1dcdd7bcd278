"""Launch commands parse as a shell would and carry the deployment; manifests are valid YAML with the right devices."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.deploy.complete import complete
from rooflab.errors import InputError
from rooflab.launch.command import EMITTERS, launch_command
from rooflab.launch.kubernetes import kubernetes
from rooflab.scenario.deployment import read_deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import read_workload

DENSE = {"tp": 4, "replicas": 2, "weights": "fp8", "kv": "fp8", "max_num_seqs": 128, "max_num_batched_tokens": 4096}


def scenario(name: str = "Llama-3.1-70B", on: str = "8 x h100-sxm", **deployment: Any) -> Scenario:
    load = read_workload({"isl": 1024, "osl": 512, "rate": 2})
    return complete(
        Scenario(
            model=model(name),
            hardware=hardware(on),
            workload=load,
            deployment=read_deployment({"engine": "vllm"} | deployment),
        )
    )


def words(s: Scenario, engine: str | None = None) -> list[str]:
    """The command after its comments and files, as a shell splits it."""
    text = launch_command(s, engine)
    command = text.rsplit("EOF\n", 1)[-1]
    return shlex.split(command.replace("\\\n", " "), comments=True)


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_vllm() -> None:
    got = words(scenario(**DENSE))
    assert got[:3] == ["vllm", "serve", "meta-llama/Llama-3.1-70B"]
    wanted = {
        "--tensor-parallel-size": "4", "--quantization": "fp8", "--kv-cache-dtype": "fp8", "--max-num-seqs": "128",
        "--max-num-batched-tokens": "4096", "--max-model-len": "2048", "--gpu-memory-utilization": "0.9",
    }  # fmt: skip
    assert {name: flag(got, name) for name in wanted} == wanted
    assert not {
        "--pipeline-parallel-size",
        "--data-parallel-size",
        "--enable-expert-parallel",
        "--no-enable-chunked-prefill",
    } & set(got)
    assert "# one of 2 engines" in launch_command(scenario(**DENSE))


def test_vllm_switches() -> None:
    off = {
        "chunked_prefill": False,
        "prefix_caching": False,
        "cuda_graphs": False,
        "speculation": {"tokens": 3, "acceptance": 0.7},
    }
    got = words(scenario(tp=8, max_num_batched_tokens=16384, **off))
    assert {"--no-enable-chunked-prefill", "--no-enable-prefix-caching", "--enforce-eager"} <= set(got)
    assert int(flag(got, "--max-model-len")) <= int(flag(got, "--max-num-batched-tokens"))
    assert json.loads(flag(got, "--speculative-config")) == {"model": "DRAFT-MODEL", "num_speculative_tokens": 3}


def test_experts_and_attention_data_parallelism_in_each_engine() -> None:
    s = scenario("DeepSeek-V3", "8 x h200", tp=1, dp=8, ep=8, max_num_seqs=64, max_num_batched_tokens=2048)
    vllm, sglang, trtllm = (words(s, e) for e in ("vllm", "sglang", "trtllm"))
    assert flag(vllm, "--data-parallel-size") == "8"
    assert "--enable-expert-parallel" in vllm
    assert (flag(sglang, "--tp"), flag(sglang, "--dp"), flag(sglang, "--ep-size")) == ("8", "8", "8")
    assert "--enable-dp-attention" in sglang
    assert (flag(sglang, "--max-running-requests"), flag(sglang, "--chunked-prefill-size")) == ("512", "16384")
    assert (flag(trtllm, "--tp_size"), flag(trtllm, "--ep_size"), flag(trtllm, "--max_batch_size")) == ("8", "8", "64")
    options = yaml.safe_load(launch_command(s, "trtllm").split("<<'EOF'\n")[1].split("\nEOF")[0])
    assert options["enable_attention_dp"] is True
    with pytest.raises(InputError, match="takes every rank"):
        launch_command(scenario("DeepSeek-V3", "8 x h200", tp=2, dp=4, ep=8), "trtllm")


def test_sglang() -> None:
    got = words(scenario(**DENSE | {"engine": "sglang", "chunked_prefill": False, "prefix_caching": False}))
    assert got[:5] == ["python", "-m", "sglang.launch_server", "--model-path", "meta-llama/Llama-3.1-70B"]
    assert (flag(got, "--tp"), flag(got, "--kv-cache-dtype"), flag(got, "--chunked-prefill-size")) == (
        "4",
        "fp8_e4m3",
        "-1",
    )
    assert "--disable-radix-cache" in got
    assert 0.7 < float(flag(got, "--mem-fraction-static")) < 0.9


def test_trtllm() -> None:
    s = scenario(**DENSE | {"engine": "trtllm", "pp": 2, "tp": 2})
    got = words(s)
    assert got[:2] == ["trtllm-serve", "meta-llama/Llama-3.1-70B"]
    wanted = {
        "--tp_size": "2",
        "--pp_size": "2",
        "--max_batch_size": "128",
        "--max_num_tokens": "4096",
        "--max_seq_len": "2048",
    }
    assert {name: flag(got, name) for name in wanted} == wanted
    assert 0 < float(flag(got, "--kv_cache_free_gpu_memory_fraction")) < 1
    text = launch_command(s)
    options = yaml.safe_load(text.split("<<'EOF'\n")[1].split("\nEOF")[0])
    assert options == {"enable_chunked_prefill": True, "kv_cache_config": {"enable_block_reuse": True, "dtype": "fp8"}}
    assert "quantised to fp8" in text


def test_llamacpp() -> None:
    mac = scenario("Llama-3.1-8B", "M3 Max", engine="llamacpp", weights="q4_k_m", max_num_seqs=4)
    got = words(mac)
    assert got[0] == "llama-server"
    assert (flag(got, "-m"), flag(got, "-ngl"), flag(got, "-c"), flag(got, "-np")) == (
        "Llama-3.1-8B-Q4_K_M.gguf",
        "99",
        "8192",
        "4",
    )
    pi = scenario("Llama-3.2-3B", "raspberry pi 5", engine="llamacpp", weights="q4_0", max_num_seqs=1)
    assert flag(words(pi), "-ngl") == "0"


def test_quantised_weights_ask_for_a_checkpoint() -> None:
    text = launch_command(scenario(tp=4, weights="int4"))
    assert "--quantization" not in text
    assert "needs a checkpoint of meta-llama/Llama-3.1-70B quantised to int4" in text
    assert "--quantization" not in launch_command(scenario(tp=4, weights="bf16"))
    assert "--quantization" not in launch_command(scenario("gpt-oss-120b", tp=2))


def test_engines_without_a_command_are_named() -> None:
    with pytest.raises(
        InputError, match=r"no engine with a launch command called 'tgi'. Known: vllm, sglang, trtllm, llamacpp"
    ):
        launch_command(scenario(**DENSE), "tgi")
    assert "# priced as vLLM; SGLang may differ" in launch_command(scenario(**DENSE), "sglang")
    assert set(EMITTERS) == {"vllm", "sglang", "trtllm", "llamacpp"}


@pytest.mark.parametrize(
    ("on", "resource"),
    [("8 x h100-sxm", "nvidia.com/gpu"), ("8 x mi300x", "amd.com/gpu"), ("8 x gaudi 3", "habana.ai/gaudi")],
)
def test_kubernetes(on: str, resource: str) -> None:
    s = scenario(on=on, tp=4, replicas=2)
    deployment, service = yaml.safe_load_all(kubernetes(s))
    assert (deployment["kind"], deployment["apiVersion"], deployment["spec"]["replicas"]) == (
        "Deployment",
        "apps/v1",
        2,
    )
    template = deployment["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert container["resources"]["limits"] == {resource: 4}
    assert container["command"][:2] == ["vllm", "serve"]
    assert all(isinstance(word, str) for word in container["command"])
    assert (
        service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    )
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
    assert len(deployment["metadata"]["name"]) <= 63
    assert "&id" not in kubernetes(s)


def test_kubernetes_over_hosts_and_with_files() -> None:
    over = scenario("DeepSeek-V3", "16 x h200", tp=8, pp=2)
    workers, service = yaml.safe_load_all(kubernetes(over))
    assert workers["kind"] == "LeaderWorkerSet"
    template = workers["spec"]["leaderWorkerTemplate"]
    assert template["size"] == 2
    leader = template["leaderTemplate"]["spec"]["containers"][0]
    assert leader["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert "--tensor-parallel-size 8" in leader["command"][-1]
    assert service["spec"]["selector"]["role"] == "leader"
    config, deployment, _ = yaml.safe_load_all(kubernetes(scenario(**DENSE | {"engine": "trtllm"})))
    assert yaml.safe_load(config["data"]["trtllm.yaml"])["enable_chunked_prefill"] is True
    assert "/etc/rooflab/trtllm.yaml" in deployment["spec"]["template"]["spec"]["containers"][0]["command"]
    with pytest.raises(InputError, match="multi-node guide"):
        kubernetes(scenario("DeepSeek-V3", "16 x h200", engine="sglang", tp=8, pp=2))

"""Kubernetes manifests: a Deployment with one pod an engine and a Service in front; a LeaderWorkerSet where an engine
spans hosts."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.launch.command import arguments, hosts_per_engine
from rooflab.launch.pools import BOOTSTRAP, PROXY, Part, members, role_flags, router
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario

__all__ = ["kubernetes"]

_IMAGES: Final = {
    "vllm": "vllm/vllm-openai:latest",
    "sglang": "lmsysorg/sglang:latest",
    "trtllm": "nvcr.io/nvidia/tensorrt-llm/release:latest",
    "llamacpp": "ghcr.io/ggml-org/llama.cpp:server",
}
_ROCM_IMAGES: Final = {"vllm": "rocm/vllm:latest", "sglang": "lmsysorg/sglang:latest-rocm"}
_RESOURCES: Final = {
    "nvidia": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "google": "google.com/tpu",
    "aws": "aws.amazon.com/neuron",
    "huawei": "huawei.com/Ascend910",
}
"""Vendor -> the extended resource of its device plugin."""
_PORT: Final = 8000
_RAY: Final = "/vllm-workspace/examples/online_serving/multi-node-serving.sh"


def kubernetes(scenario: Scenario, parts: Sequence[Part] = ()) -> str:
    """The manifest (YAML documents) that runs every replica of a completed scenario.

    A Deployment with `replicas` pods of one engine each and a Service on port 8000; where an engine spans hosts, a
    LeaderWorkerSet (vLLM only); for pools (`parts` of the scenario, `rooflab.deploy.pools`) a StatefulSet each and a
    router.  Raises InputError for devices without a device plugin.
    """
    import yaml

    if scenario.deployment.cluster.pools:
        return yaml.safe_dump_all(json.loads(json.dumps(_pools(scenario, parts))), sort_keys=False, width=1000)
    engine = scenario.deployment.runtime.engine
    words, files = arguments(scenario)
    name = _name(scenario)
    labels = {"app": name}
    hosts = hosts_per_engine(scenario)
    documents: list[dict[str, Any]] = []
    if files:
        documents.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": files}
        )
    if hosts > 1:
        if engine != "vllm":
            raise InputError(
                f"an engine over {hosts} hosts has no manifest for {ENGINES[engine]}; use its multi-node guide",
                "deployment",
            )
        documents.append(_leader_workers(scenario, name, labels, words, hosts))
    else:
        pod = _pod(scenario, name, words, files, scenario.deployment.split.devices_per_replica)
        documents.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "replicas": scenario.deployment.cluster.replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            }
        )
    selector = labels | ({"role": "leader"} if hosts > 1 else {})
    documents.append(_service(name, labels, selector, headless=False))
    copies = json.loads(json.dumps(documents))  # shared parts would come out as YAML anchors
    return yaml.safe_dump_all(copies, sort_keys=False, width=1000)


def _pools(scenario: Scenario, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """A StatefulSet for each pool, whose pods have names that a router can list, and the router with its Service."""
    engine, name = scenario.deployment.runtime.engine, _name(scenario)
    placed = members(scenario, parts)
    documents: list[dict[str, Any]] = []
    pods: dict[str, list[str]] = {"prefill": [], "decode": []}
    for role in pods:
        own = [m for m in placed if m.role == role]
        labels, pool = {"app": name, "role": role}, f"{name}-{role}"
        words, _ = arguments(own[0].scenario)
        words += role_flags(engine, role)
        words += ["--disaggregation-bootstrap-port", str(BOOTSTRAP)] if engine == "sglang" and role == "prefill" else []
        pod = _pod(own[0].scenario, pool, words, {}, own[0].scenario.deployment.split.devices_per_replica)
        if engine == "vllm":
            address = {"name": "VLLM_NIXL_SIDE_CHANNEL_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
            pod["containers"][0]["env"].append(address)
        spec = {
            "serviceName": pool, "replicas": len(own), "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod},
        }  # fmt: skip
        documents.append(
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": pool, "labels": labels}, "spec": spec}
        )
        documents.append(_service(pool, labels, labels, headless=True))
        pods[role] = [f"{pool}-{i}.{pool}" for i in range(len(own))]
    return [*documents, *_router(scenario, name, pods)]


_PROXY_COMMIT: Final = "e009930196c9a5da69d0a6c025ae580efff00168"
"""Of vLLM's repository: what runs is what was looked at, and it is an example of theirs, not a product."""


def _router(scenario: Scenario, name: str, pods: dict[str, list[str]]) -> list[dict[str, Any]]:
    """What clients talk to: a Deployment of one pod without a device, and its Service."""
    engine, labels = scenario.deployment.runtime.engine, {"app": name, "role": "router"}
    prefill = [(host, _PORT, BOOTSTRAP) for host in pods["prefill"]]
    words = router(engine, prefill, [(host, _PORT) for host in pods["decode"]], port=_PORT)
    if engine == "vllm":
        script = f"https://raw.githubusercontent.com/vllm-project/vllm/{_PROXY_COMMIT}/{PROXY}"
        words = ["sh", "-c", f"curl -sSLo proxy.py {script} && python3 proxy.py {shlex.join(words[2:])}"]
    container = {
        "name": "router", "image": _image(scenario), "command": words, "ports": [{"containerPort": _PORT}],
    }  # fmt: skip
    spec = {
        "replicas": 1, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }  # fmt: skip
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"{name}-router", "labels": labels},
        "spec": spec,
    }  # fmt: skip
    return [deployment, _service(name, {"app": name}, labels, headless=False)]


def _service(name: str, labels: dict[str, str], selector: dict[str, str], *, headless: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"clusterIP": "None", "publishNotReadyAddresses": True} if headless else {}
    spec |= {"selector": selector, "ports": [{"name": "http", "port": _PORT, "targetPort": _PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _name(scenario: Scenario) -> str:
    """A DNS label from the model's name."""
    text = re.sub(r"[^a-z0-9]+", "-", scenario.model.served_name.rsplit("/", 1)[-1].lower()).strip("-")
    return f"{scenario.deployment.runtime.engine}-{text}"[:50].strip("-")


def _resource(scenario: Scenario) -> str | None:
    device = scenario.hardware.device
    if device.kind in ("cpu", "soc", "apple"):
        return None
    vendor = device.vendor.lower()
    if vendor == "intel":
        return "habana.ai/gaudi" if "gaudi" in device.key else "gpu.intel.com/xe"
    if vendor not in _RESOURCES:
        raise InputError(f"no Kubernetes device plugin of {device.vendor} is known", "hardware")
    return _RESOURCES[vendor]


def _pod(scenario: Scenario, name: str, words: list[str], files: dict[str, str], devices: int) -> dict[str, Any]:
    engine = scenario.deployment.runtime.engine
    where = {f: f"/etc/rooflab/{f}" for f in files}
    container: dict[str, Any] = {
        "name": engine,
        "image": _image(scenario),
        "command": [where.get(word, word) for word in _listening(engine, words)],
        "ports": [{"containerPort": _PORT}],
        "env": [
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token", "optional": True}}}
        ],
        "readinessProbe": {"httpGet": {"path": "/health", "port": _PORT}, "periodSeconds": 10, "failureThreshold": 180},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    resource = _resource(scenario)
    if resource is not None:
        container["resources"] = {"limits": {resource: devices}}
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}]
    if files:
        container["volumeMounts"].append({"name": "config", "mountPath": "/etc/rooflab"})
        volumes.append({"name": "config", "configMap": {"name": name}})
    return {"containers": [container], "volumes": volumes}


def _image(scenario: Scenario) -> str:
    engine = scenario.deployment.runtime.engine
    images = _ROCM_IMAGES if scenario.hardware.device.vendor.lower() == "amd" and engine in _ROCM_IMAGES else _IMAGES
    return images[engine]


def _listening(engine: str, words: list[str]) -> list[str]:
    """The command bound to every interface, which a Service needs."""
    return words if engine == "vllm" else [*words, "--host", "0.0.0.0"]


def _leader_workers(
    scenario: Scenario, name: str, labels: dict[str, str], words: list[str], hosts: int
) -> dict[str, Any]:
    devices = -(-scenario.deployment.split.devices_per_replica // hosts)
    leader = _pod(scenario, name, words, {}, devices)
    leader["containers"][0]["command"] = [
        "sh", "-c", f"bash {_RAY} leader --ray_cluster_size=$(LWS_GROUP_SIZE); {shlex.join(words)}",
    ]  # fmt: skip
    worker = _pod(scenario, name, words, {}, devices)
    worker["containers"][0]["command"] = ["sh", "-c", f"bash {_RAY} worker --ray_address=$(LWS_LEADER_ADDRESS)"]
    del worker["containers"][0]["readinessProbe"]
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": scenario.deployment.cluster.replicas,
            "leaderWorkerTemplate": {
                "size": hosts,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {"metadata": {"labels": labels | {"role": "leader"}}, "spec": leader},
                "workerTemplate": {"metadata": {"labels": labels}, "spec": worker},
            },
        },
    }

"""Freeze what Rooflab answers, change the code, and see which answers moved.

    python benchmarks/golden.py record FOLDER [PART ...]     # before a change
    python benchmarks/golden.py compare FOLDER [PART ...]    # after it: exit status 1 when an answer differs

Parts: `estimates` and `plans` of every example, 200 `random` scenarios in closed form, 40 `simulations` with a row a
request, `claims` of the papers, predictions of the shipped rows (`validate`), and `pages` that code makes. Everything
goes through the command line, so that a move of modules does not touch this file. A comparison is exact unless
--tolerance gives a relative difference.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIMIT_S = 300.0
ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
MODELS = (
    "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3",
    "openai/gpt-oss-20b",
    "google/gemma-2-9b", "nvidia/Nemotron-H-56B-Base-8K", "bigscience/bloom-7b1",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "Qwen/Qwen2.5-72B", "openai/gpt-oss-120b", "google/t5-v1_1-xl",
)  # fmt: skip
DEVICES = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm", "l40s", "mi300x", "rtx-4090", "tpu-v5e")
LIKE = ("azure-conv", "azure-code", "sharegpt")


def rooflab(*arguments: str) -> str:
    """What a command prints; its error line where it fails (an error is an answer, too)."""
    command = [sys.executable, "-m", "rooflab", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"error": "no end"})
    return (
        done.stdout
        if done.returncode in (0, 1) and done.stdout
        else json.dumps({"exit": done.returncode, "error": done.stderr.strip()})
    )


def scenario(rng: random.Random) -> dict[str, Any]:
    """A random scenario as its fields; some do not fit or cannot be cut, which is an answer."""
    tp, pp, replicas = rng.choice((1, 1, 2, 4, 8)), rng.choice((1, 1, 1, 2)), rng.choice((1, 1, 2, 4))
    deployment: dict[str, Any] = {
        "engine": rng.choice(("vllm", "sglang", "trtllm", "vllm", "tgi", "ideal")), "tp": tp, "pp": pp,
        "replicas": replicas,
        "max_num_seqs": rng.choice((16, 128, 256)), "max_num_batched_tokens": rng.choice((1024, 2048, 8192)),
    }  # fmt: skip
    options: dict[str, tuple[Any, ...]] = {
        "weights": ("fp8", "int4"), "kv": ("fp8",), "chunked_prefill": (False,), "prefix_caching": (True,), "dp": (2,),
        "speculation": ({"tokens": 3, "acceptance": 0.7},), "gpu_memory_utilization": (0.85,), "host": ("slow",),
    }  # fmt: skip
    deployment |= some(rng, options, 0.25)
    workload: dict[str, Any] = {"isl": rng.randrange(16, 4096), "osl": rng.randrange(2, 700)}
    if rng.random() < 0.4:
        workload = {"like": rng.choice(LIKE)}
    workload |= rng.choice(
        (
            {"rate": round(rng.uniform(0.1, 20.0), 2)},
            {"concurrency": rng.choice((1, 8, 64, 300))},
            {"batch": rng.choice((1, 16, 64))},
        )
    )
    return {
        "model": rng.choice(MODELS), "hardware": f"{tp * pp * replicas * deployment.get('dp', 1)} x "
                                                 f"{rng.choice(DEVICES)}",
        "workload": workload, "deployment": deployment, "slo": {"ttft_p99": 1.0, "tpot_p99": 0.05},
    }  # fmt: skip


def simulated(rng: random.Random) -> dict[str, Any]:
    """A random scenario that fits and uses two or three features of the simulator."""
    deployment: dict[str, Any] = {
        "engine": rng.choice(("vllm", "sglang", "trtllm", "lmdeploy")),
        "tp": 2,
        "replicas": 3,
    }
    deployment["max_num_seqs"] = rng.choice((8, 64, 256))
    options: dict[str, tuple[Any, ...]] = {
        "router": ("least-loaded", "jsq", "power-of-two", "prefix-affinity", "session"), "spill_tokens": (4000,),
        "max_waiting": (200,),
        "policy": ("priority", "shortest", "shortest-predicted", "deadline", "fair", "longest-prefix"), "kv": ("fp8",),
        "rotation": (20,),
        "scheduler": ("orca", "static", "vllm-v0", "trtllm-max-utilization"), "gpu_memory_utilization": (0.25, 0.3),
        "speculation": ({"tokens": 3, "acceptance": 0.7},),
        "kv_tiers": ({"host": "40 GB", "ssd": "400 GB", "swap": "20 GB"},),
        "swap": ({"call": "5 us", "run_blocks": 4, "asynchronous": True, "reuse": True},), "preemption": ("swap",),
        "admit_every": (4,),
        "failures": ([{"replica": 0, "at": "10 s", "until": "30 s"}],), "speed": ([{"at": "5 s", "clock": 0.6}],),
        "pp": (2,),
        "autoscale": ({"load": 8, "least": 1, "every": "5 s", "startup": "10 s"},), "chunked_prefill": (False,),
    }  # fmt: skip
    deployment |= some(rng, options, 0.14)
    if "autoscale" not in deployment and rng.random() < 0.2:
        deployment["pools"] = [{"role": "prefill", "replicas": 1}, {"role": "decode", "replicas": 2}]
    workload: dict[str, Any] = {"isl": rng.randrange(64, 3000), "osl": rng.randrange(2, 500), "requests": 600}
    if rng.random() < 0.5:
        workload = {"like": rng.choice(LIKE), "requests": 600}
    loads: dict[str, tuple[Any, ...]] = {
        "prefixes": ({"tokens": 1000, "count": 8},), "clients": ({"count": 4, "skew": 1.0},), "adapters": (16,),
        "sessions": ({"turns": 4, "think": "3 s"},), "predict_cv": (0.5,), "seed": (5,),
        "classes": ([{"name": "chat", "share": 0.7}, {"name": "batch", "share": 0.3, "osl": 50, "priority": 1}],),
    }  # fmt: skip
    workload |= some(rng, loads, 0.25) | rng.choice(
        ({"rate": round(rng.uniform(0.5, 30.0), 2)}, {"concurrency": rng.choice((1, 8, 64, 300))})
    )
    devices = deployment["tp"] * deployment["replicas"] * deployment.get("pp", 1)
    return {
        "model": rng.choice(("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "google/gemma-2-9b",
        "openai/gpt-oss-20b")),
        "hardware": f"{devices} x {rng.choice(('a100-sxm-80gb', 'h100-sxm', 'l40s', 'mi300x'))}",
        "workload": workload, "deployment": deployment, "slo": {"ttft_p99": 1.0, "tpot_p99": 0.05},
    }  # fmt: skip


def some(rng: random.Random, options: dict[str, tuple[Any, ...]], share: float) -> dict[str, Any]:
    """Each option with probability `share`, at one of its values."""
    return {name: rng.choice(values) for name, values in options.items() if rng.random() < share}


def estimates() -> Iterator[tuple[str, Any]]:
    """Every example in closed form, with its operators."""
    for path in EXAMPLES:
        yield path.stem, json.loads(rooflab("estimate", str(path), "--json", "--breakdown", "--quiet"))


def plans() -> Iterator[tuple[str, Any]]:
    """A plan of every example."""
    for path in EXAMPLES:
        yield path.stem, json.loads(rooflab("plan", str(path), "--json", "--quiet"))


def randoms() -> Iterator[tuple[str, Any]]:
    """Two hundred random scenarios in closed form."""
    rng = random.Random(7)
    rows = [scenario(rng) for _ in range(200)]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "scenarios.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for i, line in enumerate(rooflab("estimate", "--batch", str(source), "--quiet").splitlines()):
            yield f"{i:03d}", {"asked": rows[i], "answer": json.loads(line)}


def simulations() -> Iterator[tuple[str, Any]]:
    """Forty random scenarios event by event: metrics, and the records of all requests."""
    rng = random.Random(11)
    with tempfile.TemporaryDirectory() as folder:
        source, records = Path(folder) / "scenario.json", Path(folder) / "records.csv"
        for i in range(40):
            asked = simulated(rng)
            source.write_text(json.dumps(asked))
            records.unlink(missing_ok=True)
            answer = json.loads(
                rooflab("simulate", str(source), "--json", "--quiet", "--records", str(records)).replace(folder, "")
            )
            yield (
                f"{i:02d}",
                {
                    "asked": asked,
                    "answer": answer,
                    "records": records.read_text().splitlines() if records.exists() else None,
                },
            )


def claims() -> Iterator[tuple[str, Any]]:
    """What is recomputed of the papers, and the feed."""
    for row in json.loads(rooflab("papers", "check", "--json", "--quiet")):
        # how many inputs the audit tries beyond the first depends on the clock
        yield f"{row['paper']}.{row['claim']}", {k: v for k, v in row.items() if k not in ("seconds", "moved_by")}
    yield "list", json.loads(rooflab("papers", "list", "--json"))


def validations() -> Iterator[tuple[str, Any]]:
    """Predicted against measured, row by row."""
    yield "rows", json.loads(rooflab("validate", "--json", "--rows", "--quiet"))


def pages() -> Iterator[tuple[str, Any]]:
    """Pages of docs that code makes (what needs held-out predictions, docs/accuracy.md, is made by a refit and not
    here)."""
    with tempfile.TemporaryDirectory() as folder:
        for module in (("rooflab.evidence.claims.pages", "--to", folder), ("rooflab.cli.reference", folder)):
            subprocess.run([sys.executable, "-m", *module], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        for path in sorted(Path(folder).rglob("*.md")):
            yield path.name, path.read_text("utf-8").splitlines()


PARTS: dict[str, Callable[[], Iterator[tuple[str, Any]]]] = {
    "estimates": estimates, "plans": plans, "random": randoms, "simulations": simulations, "claims": claims,
    "validate": validations,
    "pages": pages,
}  # fmt: skip


def differences(before: Any, after: Any, tolerance: float, path: str = "") -> Iterator[str]:
    """Where two answers differ, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            if key not in before or key not in after:
                yield f"{path}.{key}: only {'before' if key in before else 'after'}"
            else:
                yield from differences(before[key], after[key], tolerance, f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{path}: {len(before)} items, now {len(after)}"
        for i, (a, b) in enumerate(zip(before, after, strict=False)):
            yield from differences(a, b, tolerance, f"{path}[{i}]")
    elif isinstance(before, float) and isinstance(after, float):
        if before != after and not math.isclose(before, after, rel_tol=tolerance, abs_tol=0.0):
            yield f"{path}: {before!r}, now {after!r}"
    elif before != after:
        yield f"{path}: {str(before)[:120]!r}, now {str(after)[:120]!r}"


def main() -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--tolerance", type=float, default=0.0)
    parser.add_argument("--show", type=int, default=10, help="differences shown of each part")
    options = parser.parse_args()
    moved = 0
    for part in options.parts or PARTS:
        path = options.folder / f"{part}.json"
        found = dict(PARTS[part]())
        if options.what == "record":
            options.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found))
            print(f"{part}: {len(found)} answers kept", flush=True)
            continue
        lines = list(differences(json.loads(path.read_text()), json.loads(json.dumps(found)), options.tolerance))
        moved += len(lines)
        print(f"{part}: {len(found)} answers, {len(lines)} differences", flush=True)
        for line in lines[: options.show]:
            print(f"    {line}")
    return int(moved > 0)


if __name__ == "__main__":
    sys.exit(main())

"""A hundred thousand scenarios through `rooflab estimate --batch`: the whole process, parsing and printing included.

    python benchmarks/bench_batch.py [--rows 100000] [--pairs 50]

Scenarios are drawn at random over PAIRS of model and hardware, four splits, number formats, and open, closed and static
loads. Prints wall and CPU seconds, peak memory and rows without an answer. Run it with OMP_NUM_THREADS=1 for one core.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = (
    "Llama-3.1-70B", "Llama-3.1-8B", "Qwen3-32B", "Mixtral-8x7B", "gpt-oss-120b",
    "Qwen3-30B-A3B", "DeepSeek-V3", "Gemma-2-27B", "Mistral-7B", "Qwen2.5-72B",
)  # fmt: skip
HARDWARE = ("8 x h100-sxm", "8 x h200", "8 x a100", "8 x b200", "8 x mi300x")


def scenarios(rows: int, pairs: int) -> list[str]:
    rng = random.Random(1)
    grid = [(m, h) for h in HARDWARE for m in MODELS][:pairs]
    out = []
    for _ in range(rows):
        model, hardware = rng.choice(grid)
        workload: dict[str, object] = {"isl": rng.randrange(64, 4096), "osl": rng.randrange(16, 1024)}
        kind = rng.random()
        if kind < 0.4:
            workload["rate"] = round(rng.uniform(0.1, 20), 2)
        elif kind < 0.8:
            workload["concurrency"] = rng.choice((1, 4, 16, 64, 256))
        else:
            workload["batch"] = rng.choice((1, 8, 32))
        deployment: dict[str, object] = {
            "tp": rng.choice((1, 2, 4, 8)),
            "max_num_seqs": rng.choice((64, 128, 256, 512)),
        }
        if rng.random() < 0.5:
            deployment["weights"] = rng.choice(("fp8", "bf16", "int4"))
        if rng.random() < 0.3:
            deployment["kv"] = "fp8"
        slo = {"ttft_p99": "1 s", "tpot_p99": "50 ms"}
        out.append(
            json.dumps(
                {"model": model, "hardware": hardware, "workload": workload, "deployment": deployment, "slo": slo}
            )
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        source.write_text("\n".join(scenarios(arguments.rows, arguments.pairs)) + "\n")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        with target.open("w") as out:
            subprocess.run(
                [sys.executable, "-m", "rooflab", "estimate", "--batch", str(source), "--quiet"], check=True, stdout=out
            )
        wall_s = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        failed = sum(line.startswith('{"error"') for line in target.open())
        print(
            f"{arguments.rows:,} scenarios, {arguments.pairs} pairs of model and hardware, {failed:,} without an answer"
        )
        print(f"wall {wall_s:.2f} s   CPU {cpu_s:.2f} s   peak memory {after.ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()

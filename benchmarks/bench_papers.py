"""How long papers are listed, searched and ranked where other packages have brought two hundred more.

    python benchmarks/bench_papers.py

Prints the first run of each (listing reads every KEY.yaml, ranking imports every paper and tries it) and the best and
median of nine later ones, whole processes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "papers list": ("list",), "papers search": ("search", "kv", "cache"),
    "papers rank": ("rank", "examples/moe-l40s.yaml", "--budget", "2m", "--quiet"),
}  # fmt: skip


def seconds(words: tuple[str, ...], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rooflab", "papers", *words], check=True, capture_output=True, env=env, cwd=ROOT
    )
    return time.perf_counter() - start


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from many_papers import COUNT, install

    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder) / "site")
        path = os.pathsep.join([str(ROOT / "src"), str(Path(folder) / "site")])
        print(f"{COUNT} papers of other packages")
        for name, words in CASES.items():
            env = os.environ | {"PYTHONPATH": path, "ROOFLAB_CACHE": str(Path(folder) / name)}
            first = seconds(words, env)
            times = [seconds(words, env) for _ in range(9)]
            best, median = min(times), statistics.median(times)
            print(f"{name:<14} first {first:6.3f} s   then best {best:6.3f} s   median {median:6.3f} s")


if __name__ == "__main__":
    main()

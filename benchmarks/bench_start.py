"""How long it takes to start: import, help, an estimate, a plan; and what an installation weighs.

    python benchmarks/bench_start.py [--installed]

Prints the best and median of nine runs of each, whole processes. `--installed` also builds the wheel into a fresh
environment (needs the package index or its cache) and prints its size on disk and the first plan after installation.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "python": ("-c", "pass"),
    "import rooflab": ("-c", "import rooflab"),
    "rooflab --help": ("-m", "rooflab", "--help"),
    "rooflab estimate": ("-m", "rooflab", "estimate", "examples/moe-l40s.yaml"),
    "rooflab plan": ("-m", "rooflab", "plan", "examples/chat-70b.yaml"),
}


def seconds(python: str, arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([python, *arguments], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def report(python: str) -> None:
    for name, arguments in CASES.items():
        times = [seconds(python, arguments) for _ in range(9)]
        print(f"{name:<18} best {min(times):6.3f} s   median {statistics.median(times):6.3f} s")


def installed() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = str(folder / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "."], check=True, cwd=ROOT)
        print(f"first plan         {seconds(python, CASES['rooflab plan']):6.3f} s")
        site = next((folder / "venv").glob("lib/python*/site-packages"))
        own = ("pip", "setuptools", "_distutils_hack", "pkg_resources")
        sizes = {
            p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file())
            for p in site.iterdir()
            if p.name.split("-")[0] not in own
        }
        print(f"installed          {sum(sizes.values()) / 1e6:6.0f} MB")
        for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
            print(f"  {name:<24} {size / 1e6:6.1f} MB")
        report(python)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    installed() if "--installed" in sys.argv else report(sys.executable)

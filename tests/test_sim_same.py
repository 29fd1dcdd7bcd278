"""The loop compiled and the loop as plain Python give the same bytes; so do two runs."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import test_sim_laws as laws

from rooflab.simulator.serving.run import Simulation

SEEDS = range(1000, 1012)


def digest() -> str:
    """Of all records and histograms over random clusters."""
    total = sha256()
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        simulation = Simulation(laws.random_requests(rng), laws.random_cluster(rng))
        simulation.advance(100_000)
        result = simulation.result()
        total.update(laws.bytes_of(result))
        for field in result.totals.__slots__:
            total.update(getattr(result.totals, field).tobytes())
        for field in result.timeline.__slots__[1:]:
            total.update(getattr(result.timeline, field).tobytes())
    return total.hexdigest()


def test_uncompiled_is_the_same_to_the_byte() -> None:
    code = "import test_sim_same; print(test_sim_same.digest())"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parent)}
    plain = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == digest()


def test_twice_is_the_same_to_the_byte() -> None:
    assert digest() == digest()

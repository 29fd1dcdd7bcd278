"""Timings of small decoders that really run, by the protocol of papers that profile one request at a time.

    OMP_NUM_THREADS=1 python benchmarks/decoder_profile.py > profile.csv

Two decoders in NumPy (random weights, 32-bit floats, a cache of keys and values) answer prompts of several lengths with
answers of several lengths, each pair ten times in random order, on a machine that does other things meanwhile.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rooflab.inputs.runs import KIND, Runs

PROMPTS = (1, 16, 64, 128, 256, 512)
OUTPUTS = (1, 2, 4, 8, 16, 32)
TRIALS = 10
SHAPES = {"decoder-4x256": (4, 256), "decoder-6x448": (6, 448)}
HEAD = 64
VOCABULARY = 512


@dataclass
class Decoder:
    """Layers of attention and a feed-forward network of four times the width, without norms."""

    layers: int
    hidden: int

    def __post_init__(self) -> None:
        rng, h = np.random.default_rng(self.layers), self.hidden
        shapes = ((h, 3 * h), (h, h), (h, 4 * h), (4 * h, h))
        self.weights = [
            [rng.standard_normal(s, dtype=np.float32) / np.float32(s[0] ** 0.5) for s in shapes]
            for _ in range(self.layers)
        ]
        self.embedding = rng.standard_normal((VOCABULARY, h), dtype=np.float32)
        self.cache = np.zeros((self.layers, 2, h // HEAD, max(PROMPTS) + max(OUTPUTS), HEAD), np.float32)

    def step(self, tokens: Any, at: int) -> int:
        """The next token after `tokens`, which stand from position `at` on."""
        x, n = self.embedding[tokens], len(tokens)
        for (qkv, out, up, down), (keys, values) in zip(self.weights, self.cache, strict=True):
            q, k, v = (part.reshape(n, -1, HEAD).transpose(1, 0, 2) for part in np.split(x @ qkv, 3, axis=1))
            keys[:, at : at + n], values[:, at : at + n] = k, v
            scores = q @ keys[:, : at + n].transpose(0, 2, 1) * np.float32(HEAD**-0.5)
            scores += np.triu(np.full((n, at + n), -1e9, np.float32), at + 1)
            scores = np.exp(scores - scores.max(axis=2, keepdims=True))
            mixed = (scores / scores.sum(axis=2, keepdims=True)) @ values[:, : at + n]
            x = x + mixed.transpose(1, 0, 2).reshape(n, -1) @ out
            x = x + np.maximum(x @ up, 0) @ down
            x = x / np.abs(x).max()
        return int(np.argmax(self.embedding @ x[-1]))

    def answer(self, prompt: int, output: int) -> None:
        """Read a prompt and generate an answer."""
        token = self.step(np.arange(prompt) % VOCABULARY, 0)
        for k in range(output - 1):
            token = self.step(np.array([token]), prompt + k)


def decoder_profile(sources: Path | None = None) -> Runs:
    """The log of all requests, in the order in which they ran."""
    decoders = {name: Decoder(*shape) for name, shape in SHAPES.items()}
    todo = [(name, p, o) for name in SHAPES for p in PROMPTS for o in OUTPUTS] * TRIALS
    np.random.default_rng(0).shuffle(todo)
    for decoder in decoders.values():
        decoder.answer(max(PROMPTS), 4)
    began, starts, took = time.perf_counter(), [], []
    for name, p, o in todo:
        start = time.perf_counter()
        decoders[str(name)].answer(int(p), int(o))
        starts.append(round(start - began, 4))
        took.append(round(time.perf_counter() - start, 6))
    return Runs(
        session=tuple(str(i) for i in range(len(todo))), time_s=np.array(starts), duration_s=np.array(took),
        model=tuple(str(name) for name, _, _ in todo), input_tokens=np.array([int(p) for _, p, _ in todo]),
        output_tokens=np.array([int(o) for _, _, o in todo]),
    )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.buffer.write(KIND.formats[0].dump(decoder_profile()))

"""Block hashes of generated prompts: what of a prompt has been seen before, as numbers.

A conversation is one growing text, so its j-th block is `base + j` whatever the turn; a shared prefix is a text of
its own whose blocks stand in front.  Equal numbers are then equal content up to there, as `Requests` wants it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["block_size_for", "chain_blocks"]

I64 = npt.NDArray[np.int64]

MOST_BLOCKS: Final = 32_000_000
BLOCKS_A_REQUEST: Final = 128
"""Blocks of all requests together (256 MB), and of a mean request, above which they are made coarser.

A hit is rounded down to whole blocks: at 128 a request, by less than half a percent of its tokens on average.
"""


def block_size_for(tokens: float, requests: int, block_tokens: int) -> int:
    """The multiple block_tokens · 2^k that cuts the `tokens` of all requests into at most so many blocks."""
    while tokens / block_tokens > min(MOST_BLOCKS, BLOCKS_A_REQUEST * requests):
        block_tokens *= 2
    return block_tokens


def chain_blocks(chain: I64, listed: I64, prefix: I64, prefix_blocks: I64) -> tuple[I64, I64]:
    """Start (N + 1,) and blocks of N requests.

    Request i lists the first `listed[i]` blocks of conversation `chain[i]`, of which the first
    `prefix_blocks[i]` are those of prefix number `prefix[i]`.
    """
    start = np.concatenate(([0], np.cumsum(listed)))
    total = int(start[-1])
    if total == 0:
        return start, np.zeros(0, dtype=np.int64)
    longest_prefix = int(prefix_blocks.max())
    longest = np.zeros(int(chain.max()) + 1, dtype=np.int64)
    np.maximum.at(longest, chain, listed)
    base = (
        (int(prefix.max()) + 1) * longest_prefix + np.cumsum(longest) - longest
    )  # dense numbers: tables over blocks stay small
    position = np.arange(total, dtype=np.int64)
    position -= np.repeat(start[:-1], listed)
    block = np.repeat(base[chain], listed)
    block += position
    if prefix_blocks.any():
        shared = position < np.repeat(prefix_blocks, listed)
        block[shared] = (np.repeat(prefix * longest_prefix, listed) + position)[shared]
    return start, block

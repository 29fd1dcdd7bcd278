"""The searches of the provisioning: the highest rate that holds, the best split of a number of machines, the cheapest
pools.

They ask a question at a time and know nothing of what is behind it; each takes that what is asked holds up to an edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from rooflab.search.highest import Bracket, narrow, whole

__all__ = ["best_split", "cheapest", "highest_rate"]


def highest_rate(
    holds: Callable[[float], bool], step: float, most: float, *, above: float = 0.0, guess: float = 0.0
) -> float:
    """The highest multiple of `step` beyond `above` and up to `most` that holds; `above` if the next one fails.

    The search starts at `guess`, and strides twice as far each time until the answer changes.
    """

    def asked(steps: int) -> bool:
        return holds(steps * step)

    low, top = round(above / step), round(most / step)
    at, stride = min(max(round(guess / step), low + 1), top), 1
    if asked(at):
        while at + stride <= top and asked(at + stride):
            at, stride = at + stride, 2 * stride
        bracket = Bracket(at, min(at + stride, top + 1), whole)
    else:
        while at - stride > low and not asked(at - stride):
            at, stride = at - stride, 2 * stride
        bracket = Bracket(max(at - stride, low), at, whole)
    found = narrow(asked, bracket).holds
    return above if found == low else found * step


def best_split(rate: Callable[[int, float], float], tried: Sequence[int], start: int) -> tuple[float, int]:
    """The highest rate over splits, and the split that has it: up from the one nearest to `start`, then down, as long
    as each is better than the last. ``rate(split, above)`` gives the rate of a split, `above` where it is no higher."""
    at = min(range(len(tried)), key=lambda i: abs(tried[i] - start))
    best, split = rate(tried[at], 0.0), tried[at]
    for way in (1, -1):
        k = tried.index(split) + way
        if way == -1 and split != tried[at]:
            break
        while 0 <= k < len(tried):
            found = rate(tried[k], best)
            if found <= best:
                break
            best, split, k = found, tried[k], k + way
    return best, split


def cheapest(
    holds: Callable[[int, int], bool], most: tuple[int, int], price: tuple[float, float]
) -> tuple[int, int] | None:
    """Prompt and token machines, at most `most` of either, that hold at the lowest price; None where all of them do
    not.

    The fewest token machines beside all prompt machines, the fewest prompt machines beside those; then a token machine
    more as long as it saves prompt machines worth more.
    """
    p, t = most
    if not holds(p, t):
        return None
    t = _lowest(lambda n: holds(most[0], n), t)
    p = _lowest(partial(_beside, holds, t), p)
    while t < most[1]:
        fewer = p - int(price[1] / price[0]) - 1
        if fewer < 1 or not holds(fewer, t + 1):
            break
        t += 1
        p = _lowest(partial(_beside, holds, t), fewer)
    return p, t


def _beside(holds: Callable[[int, int], bool], tokens: int, prompts: int) -> bool:
    return holds(prompts, tokens)


def _lowest(holds: Callable[[int], bool], known: int) -> int:
    """The lowest number that holds, down from one that does."""
    return narrow(holds, Bracket(known, 0, whole)).holds if known > 0 else known

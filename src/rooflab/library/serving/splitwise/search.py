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

    The search starts just beyond `above`, without one at `guess`, and strides twice as far each time until the answer
    changes.
    """

    def asked(steps: int) -> bool:
        return holds(steps * step)

    low, top = round(above / step), round(most / step)
    at = min(low + 1 if low else max(round(guess / step), 1), top)
    stride = _stride(at)
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
    holds: Callable[[int, int], bool],
    most: tuple[int, int],
    price: tuple[float, float],
    *,
    start: tuple[int, int] | None = None,
) -> tuple[int, int] | None:
    """Prompt and token machines, at most `most` of either, that hold at the lowest price; None where all of them do
    not.

    From `start` up by an eighth each time until they hold; the fewest token machines beside those prompt machines,
    the fewest prompt machines beside those; then one more of either as long as it saves others worth more.
    """
    p, t = (min(max(n, 1), m) for n, m in zip(start or most, most, strict=True))
    while not holds(p, t):
        if (p, t) == most:
            return None
        p, t = min(p + _stride(p), most[0]), min(t + _stride(t), most[1])
    t = _lowest(partial(holds, p), t)
    p = _lowest(partial(_beside, holds, t), p)
    found = _traded(holds, (p, t), most[1], price[1] / price[0])
    if found != (p, t):
        return found
    t, p = _traded(lambda n, m: holds(m, n), (t, p), most[0], price[0] / price[1])
    return p, t


def _traded(holds: Callable[[int, int], bool], pools: tuple[int, int], most: int, worth: float) -> tuple[int, int]:
    """Pools with more of the second kind, one of which is worth so many of the first, as long as that is cheaper."""
    a, b = pools
    while b < most:
        fewer = a - int(worth) - 1
        if fewer < 1 or not holds(fewer, b + 1):
            break
        b += 1
        a = _lowest(partial(_beside, holds, b), fewer)
    return a, b


def _beside(holds: Callable[[int, int], bool], second: int, first: int) -> bool:
    return holds(first, second)


def _lowest(holds: Callable[[int], bool], known: int) -> int:
    """The lowest number that holds, down from one that does, in strides twice as far each time until one does not."""
    low, stride = known, _stride(known)
    while low - stride > 0 and holds(low - stride):
        low, stride = low - stride, 2 * stride
    return narrow(holds, Bracket(low, max(low - stride, 0), whole)).holds


def _stride(at: int) -> int:
    """The first stride from a number: an eighth of it."""
    return max(at // 8, 1)

from random import Random


def inputs(n):
    draw = Random(n)
    starts = [draw.randrange(20 * n) for _ in range(n)]
    return ([[start, start + draw.randrange(20)] for start in starts],)

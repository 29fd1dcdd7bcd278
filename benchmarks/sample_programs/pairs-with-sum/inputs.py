from random import Random


def inputs(n):
    draw = Random(n)
    return [draw.randrange(-n, n + 1) for _ in range(n)], 3

from random import Random


def inputs(n):
    draw = Random(n)
    return ([draw.randrange(n) for _ in range(n)],)

from random import Random


def inputs(n):
    draw = Random(n)
    return ([draw.randrange(-50, 51) for _ in range(n)],)

from random import Random


def inputs(n):
    draw = Random(n)
    return (["".join(draw.choices("abcdef", k=4)) for _ in range(n)],)

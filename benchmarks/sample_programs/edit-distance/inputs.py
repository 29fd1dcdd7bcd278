from random import Random


def inputs(n):
    draw = Random(n)
    return "".join(draw.choices("abcd", k=n)), "".join(draw.choices("abcd", k=n))

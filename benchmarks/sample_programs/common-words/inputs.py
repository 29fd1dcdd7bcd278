from random import Random


def inputs(n):
    draw = Random(n)
    return " ".join("".join(draw.choices("abc", k=3)) for _ in range(n)), 10

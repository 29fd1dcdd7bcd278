from random import Random


def inputs(n):
    return (Random(n).sample(range(n), n),)

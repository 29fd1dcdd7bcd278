def inputs(n):
    return n, 1_000_007

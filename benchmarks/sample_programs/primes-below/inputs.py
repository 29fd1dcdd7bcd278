def inputs(n):
    return (n,)

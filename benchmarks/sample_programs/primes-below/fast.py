def primes_below(n):
    if n < 3:
        return []
    kept = bytearray([1]) * n
    kept[0] = kept[1] = 0
    for p in range(2, int((n - 1) ** 0.5) + 1):
        if kept[p]:
            kept[p * p :: p] = bytes(len(range(p * p, n, p)))
    return [i for i, k in enumerate(kept) if k]

def primes_below(n):
    return [candidate for candidate in range(2, n) if all(candidate % d for d in range(2, candidate))]

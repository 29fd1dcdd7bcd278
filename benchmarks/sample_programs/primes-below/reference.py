def primes_below(n):
    primes = []
    for candidate in range(2, n):
        root = int(candidate**0.5)
        if all(candidate % p for p in primes if p <= root):
            primes.append(candidate)
    return primes

from collections import Counter


def pairs_with_sum(values, target):
    counts = Counter(values)
    pairs = sum(n * counts[target - v] for v, n in counts.items() if target - v > v and target - v in counts)
    if target % 2 == 0:
        half = counts[target // 2]
        pairs += half * (half - 1) // 2
    return pairs

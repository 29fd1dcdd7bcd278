from collections import Counter
from heapq import nsmallest


def common_words(text, k):
    counts = Counter(text.split())
    return [[word, n] for word, n in nsmallest(k, counts.items(), key=lambda item: (-item[1], item[0]))]

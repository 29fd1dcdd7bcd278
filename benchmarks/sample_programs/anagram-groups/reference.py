from collections import Counter


def anagram_groups(words):
    groups = {}
    for word in words:
        groups.setdefault(frozenset(Counter(word).items()), []).append(word)
    return list(groups.values())

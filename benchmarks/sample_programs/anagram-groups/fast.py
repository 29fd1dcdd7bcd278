from collections import defaultdict


def anagram_groups(words):
    groups = defaultdict(list)
    for word in words:
        groups["".join(sorted(word))].append(word)
    return [*groups.values()]

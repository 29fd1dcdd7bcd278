def common_words(text, k):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [list(item) for item in ordered[:k]]

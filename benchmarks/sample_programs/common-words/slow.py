def common_words(text, k):
    words = text.split()
    found = []
    for word in words:
        if [word, words.count(word)] not in found:
            found.append([word, words.count(word)])
    found.sort(key=lambda item: (-item[1], item[0]))
    return found[:k]

from collections import deque


def window_maxima(values, k):
    kept = deque()
    found = []
    for i, value in enumerate(values):
        while kept and values[kept[-1]] <= value:
            kept.pop()
        kept.append(i)
        if kept[0] <= i - k:
            kept.popleft()
        if i >= k - 1:
            found.append(values[kept[0]])
    return found

def window_maxima(values, k):
    return [max(values[i : i + k]) for i in range(len(values) - k + 1)]

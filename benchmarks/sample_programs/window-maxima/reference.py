from itertools import accumulate


def window_maxima(values, k):
    ahead, behind = [], []
    for i in range(0, len(values), k):
        block = values[i : i + k]
        ahead += accumulate(block, max)
        behind += [*accumulate(reversed(block), max)][::-1]
    return [*map(max, behind, ahead[k - 1 :])]

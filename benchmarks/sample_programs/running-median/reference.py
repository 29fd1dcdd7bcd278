from bisect import insort


def running_median(values):
    seen, medians = [], []
    for value in values:
        insort(seen, value)
        medians.append(seen[(len(seen) - 1) // 2])
    return medians

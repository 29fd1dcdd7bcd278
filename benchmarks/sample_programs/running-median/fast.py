from heapq import heappush, heappushpop


def running_median(values):
    low, high, medians = [], [], []
    for value in values:
        if len(low) == len(high):
            heappush(low, -heappushpop(high, value))
        else:
            heappush(high, -heappushpop(low, -value))
        medians.append(-low[0])
    return medians

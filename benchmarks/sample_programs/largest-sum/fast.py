from itertools import accumulate


def largest_sum(values):
    return max(accumulate(values, lambda current, value: value if current < 0 else current + value))

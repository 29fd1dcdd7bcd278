def largest_sum(values):
    return max(sum(values[i:j]) for i in range(len(values)) for j in range(i + 1, len(values) + 1))

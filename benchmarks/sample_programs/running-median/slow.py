def running_median(values):
    return [sorted(values[: i + 1])[i // 2] for i in range(len(values))]

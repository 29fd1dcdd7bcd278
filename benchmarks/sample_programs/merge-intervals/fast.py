def merge_intervals(intervals):
    merged = []
    end = None
    for low, high in sorted(intervals):
        if end is not None and low <= end:
            if high > end:
                end = merged[-1][1] = high
        else:
            merged.append([low, high])
            end = high
    return merged

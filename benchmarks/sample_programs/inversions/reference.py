def inversions(values):
    def sort(part):
        if len(part) < 2:
            return part, 0
        middle = len(part) // 2
        left, a = sort(part[:middle])
        right, b = sort(part[middle:])
        merged, count, i = [], a + b, 0
        for value in right:
            while i < len(left) and left[i] <= value:
                merged.append(left[i])
                i += 1
            count += len(left) - i
            merged.append(value)
        return merged + left[i:], count

    return sort(values)[1]

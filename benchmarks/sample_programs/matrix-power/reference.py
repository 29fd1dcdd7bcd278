def matrix_power(matrix, p):
    size = len(matrix)
    result = [[int(i == j) for j in range(size)] for i in range(size)]
    base = [[x % 1_000_007 for x in row] for row in matrix]

    def times(a, b):
        columns = list(zip(*b, strict=True))
        return [[sum(row[k] * column[k] for k in range(size)) % 1_000_007 for column in columns] for row in a]

    while p:
        if p % 2:
            result = times(result, base)
        base = times(base, base)
        p //= 2
    return result

from operator import mul


def matrix_power(matrix, p):
    size = len(matrix)

    def times(a, b):
        columns = [*zip(*b, strict=True)]
        return [[sum(map(mul, row, column)) % 1_000_007 for column in columns] for row in a]

    result = [[int(i == j) for j in range(size)] for i in range(size)]
    for bit in bin(p)[2:]:
        result = times(result, result)
        if bit == "1":
            result = times(result, matrix)
    return result

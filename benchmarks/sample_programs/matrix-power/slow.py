def matrix_power(matrix, p):
    size = len(matrix)
    result = [[int(i == j) for j in range(size)] for i in range(size)]
    for _ in range(p):
        product = [[0] * size for _ in range(size)]
        for i in range(size):
            for j in range(size):
                for k in range(size):
                    product[i][j] = (product[i][j] + result[i][k] * matrix[k][j]) % 1_000_007
        result = product
    return [[x % 1_000_007 for x in row] for row in result]

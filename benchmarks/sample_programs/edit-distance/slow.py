def edit_distance(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
            else:
                options = []
                options.append(table[i - 1][j] + 1)
                options.append(table[i][j - 1] + 1)
                options.append(table[i - 1][j - 1] + (0 if a[i - 1] == b[j - 1] else 1))
                table[i][j] = sorted(options)[0]
    return table[len(a)][len(b)]

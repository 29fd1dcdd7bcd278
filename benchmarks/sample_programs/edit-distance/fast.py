def edit_distance(a, b):
    """One bit a character of `a`: Myers, J. ACM 46(3), 1999."""
    if not a:
        return len(b)
    ones = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    where = {}
    for i, x in enumerate(a):
        where[x] = where.get(x, 0) | 1 << i
    up, down, score = ones, 0, len(a)
    for y in b:
        same = where.get(y, 0)
        across = (((same & up) + up) ^ up) | same
        more, less = down | ~(across | up), up & across
        if more & last:
            score += 1
        if less & last:
            score -= 1
        more = more << 1 | 1
        same |= down
        up = ((less << 1) | ~(same | more)) & ones
        down = more & same & ones
    return score

"""What is published of the errors: aims, bounds, misses with their reasons, the accuracy page, the rows that ship.

It knows scores; it changes no constant and writes no file, which is for `refit`.
Start with `page.page`.
"""

"""Errors of predictions, row by row and by group; of present constants, and of such as did not know a row.

It knows rows, engines and intervals; not why a row is off.
Start with `score.score` for one table and `validate.validate` for what ships.
"""

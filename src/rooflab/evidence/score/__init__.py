"""Errors of predictions, row by row and by group.

It knows rows and engines; not why a row is off.
Start with `validate.validate`.
"""

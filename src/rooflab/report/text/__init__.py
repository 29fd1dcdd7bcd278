"""Answers on a terminal: the answer first, why second, how sure third, what next last.

It knows results and a console.
Start with `plan` and `estimate`.
"""

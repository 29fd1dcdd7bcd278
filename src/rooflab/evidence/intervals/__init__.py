"""How far off a prediction may be: conformal intervals from rows that had no part in the fit.

It knows which rows are like a scenario (`likeness`); the table ships under `evidence/data`.
Start with `intervals.intervals`.
"""

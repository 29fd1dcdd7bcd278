"""Measured rows as scenarios: what a table states, and how each is predicted.

It knows formats of published tables; it fits and judges nothing.
Start with `tables.read_table` and `predict.predict`; `serving`, `energy`, `vision`, `diffusion` and `mlperf` each know
one kind of row.
"""

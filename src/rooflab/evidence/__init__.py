"""Predicted against measured: rows, scores, intervals, fits, and claims of papers recomputed.

It knows both engines and every published row; no price or engine knows it.
Start with `rows.tables`, `score.validate` and `claims.check`; after a change of constants, `python -m
rooflab.evidence.refit all`.
"""

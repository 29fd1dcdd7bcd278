"""Fitting constants to rows: engines, kernels, power, vision.

It knows how to fit; what to fit on, and what to leave out, is told by `refit` and `calibrate`.
Start with `serving` and `kernels`.
"""

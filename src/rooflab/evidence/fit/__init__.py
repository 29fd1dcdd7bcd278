"""Fitting constants to rows: engines, kernels, power, clocks, vision, diffusion.

It knows how to fit; what to fit on, and what to leave out, is told by `refit` and `calibrate`.
Start with `serving.fit_group` and `kernels.fit_device`; `priors` says what is expected before any row is seen.
"""

"""Idealized runtime (seed 12): `paper` holds claims and methods, `fit` the metric and its fit, `cost` what evaluating
costs, `engine` the timings that are modelled."""

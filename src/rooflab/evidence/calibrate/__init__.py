"""Constants of a user's own cluster from ten rows, a report of a load generator or timings of kernels.

It knows what rows can identify and refuses the rest by name.
Start with `calibrate.calibrate`.
"""

"""Every metric once: its unit, its formula in words, which way is better.

It knows names and units; it computes no metric.
Start with `registry.METRICS`.
"""

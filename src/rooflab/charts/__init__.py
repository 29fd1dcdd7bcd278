"""One chart kit for every page and every paper: scales, axes, marks and legends as SVG.

It knows points and labels, light and dark; it knows nothing of what they mean.
Start with `plot.Plot`, which a paper returns, and `chart.chart`, which draws.
"""

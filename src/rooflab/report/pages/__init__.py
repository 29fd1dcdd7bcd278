"""Answers as one HTML file each, without network, light and dark, readable when printed.

It knows results and the chart kit.
Start with `plan`.
"""

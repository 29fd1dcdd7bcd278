"""The nouns of a scenario as frozen data, and reading them from files.

Knows nothing of catalogues: names are resolved by functions handed in.
"""

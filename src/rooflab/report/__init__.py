"""Answers as people read them: text for a terminal, pages that need no network.

It knows results and words; it computes nothing that a result does not have.
Start with `text` and `pages`.
"""

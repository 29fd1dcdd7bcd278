"""The list of papers and the search in it.

It knows cards; a paper's own module is imported only when it has no card.
Start with `listing.entries`.
"""

"""The list of papers and the search in it; new papers fetched, and what rules make of them.

It knows cards, sources and the store; a paper's own module is imported only when it has no card.
Start with `listing.entries`, or with `fetch.fetch_all` and `classify.Classifier`.
"""

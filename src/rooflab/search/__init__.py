"""Where something stops to hold, and what nothing else beats.

It knows numbers and what it is told of them; nothing of models, hardware or papers.
Start with `highest.highest` and `front.front`.
"""

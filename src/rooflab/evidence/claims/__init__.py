"""Published figures of papers recomputed, audited and written on a page each.

It knows the contract of a paper and no paper by name.
Start with `check.check`; `audit` says why a figure that does not move is not believed.
"""

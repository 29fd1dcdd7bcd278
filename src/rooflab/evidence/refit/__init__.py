"""The shipped constants made anew, stage by stage.

It knows the order of the stages and what each leaves out; it writes the files that ship.
Start with `python -m rooflab.evidence.refit`.
"""

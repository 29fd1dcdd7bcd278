"""The shipped constants, and what rests on them, made anew stage by stage.

It knows the order of the stages, what each reads, leaves out and writes.
Start with `python -m rooflab.evidence.refit --list`; `stages.STAGES` is that table, `runner` goes through it.
"""

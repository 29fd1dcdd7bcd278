"""The requests of a run: when they arrive, how long they are, what they share, or a trace replayed.

It knows workloads and random streams, one a purpose; it knows no engine.
Start with `make.make_work`.
"""

"""What a paper runs on: inputs of a kind, their samples, and named ways to disturb them.

It knows plain data and where it comes from; it knows no paper.
Start with `disturb.Perturbation`, which scales one physical input of a scenario.
"""

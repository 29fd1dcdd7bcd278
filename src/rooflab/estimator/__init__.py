"""Closed form: metrics of a scenario without running it.

It knows the deployment that `deploy` completed and solves for its steady state; it never imports the simulator.
Start with `serving`; networks that only see images are in `vision`.
"""

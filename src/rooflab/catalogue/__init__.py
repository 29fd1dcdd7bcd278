"""Facts with sources: models, devices, links, hosts, prices, grids, networks, workloads and traces, by names that
people use.

It knows what was published, and nothing of how to price or run it.
Start with `models.model` and `hardware.hardware`; the data are the JSON files under `data`.
"""

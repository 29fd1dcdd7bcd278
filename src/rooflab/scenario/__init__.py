"""A model, on hardware, under a workload, in a deployment, within service levels: plain frozen data.

It knows fields, their readers and their errors; it knows no catalogue, price or engine.
Start with `scenario.Scenario` and `scenario.read_scenario`.
"""

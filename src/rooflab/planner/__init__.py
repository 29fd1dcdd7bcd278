"""The deployments that are best for a scenario, and why.

It knows spaces, objectives and reasons; numbers come from the engines.
Start with `search.plan`; `result.Plan` is what it returns.
"""

"""Event by event: every request through the engine's own batching rules, at the prices that `estimate` uses.

It knows requests, schedulers and clusters; it never imports the closed form.
Start with `serving.scenario.simulate`; `work` makes the requests, `results` reads the run.
"""

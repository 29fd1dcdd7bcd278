"""The serving simulator: a compiled loop over events, from the scenario to the records of its requests.

It knows schedulers, caches, routers and step prices.
Start with `engine` (one engine's steps), `loop` (the order of events) and `state` (everything there is).
"""

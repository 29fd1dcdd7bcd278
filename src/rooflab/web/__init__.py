"""The pages and their API: what the command line answers, for a browser, from the same functions.

It knows HTTP, processes that compute, and addresses; no arithmetic. What a stranger sends is computed in processes that
can read no file and reach no network (`seal`). Start with `app.application`.
"""

"""What Rooflab remembers, in one SQLite file: papers with a full-text index, scenarios, runs, subscriptions, digests.

It knows tables and plain JSON records; it knows no engine, and nothing needs it.
Start with `opening.Store`; `migrations` says what the tables are.
"""

"""What both engines need before the first step: a deployment completed, its pools, its memory, its step price, its
bill.

It knows scenario, memory and costs; it knows nothing of loads and queues.
Start with `complete.complete`.
"""

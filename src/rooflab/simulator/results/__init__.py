"""What a run says: latencies, fairness, records, a timeline for Perfetto.

It knows records of requests and service levels; it runs nothing.
Start with `serving.ServingResult`.
"""

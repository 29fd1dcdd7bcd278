"""LLM-Viewer: `paper` holds techniques, methods and claims, `operators` and `layers` count, `roofline` places."""

"""Rooflab: papers that make AI systems efficient, runnable on your model, hardware and traffic."""

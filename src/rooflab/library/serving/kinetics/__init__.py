"""Kinetics: `paper` holds technique and claims, `law` the cost of reasoning, `recall` block top-k on vectors."""

"""Splitwise: `technique` splits an engine into pools, `rates` says what a cluster sustains, `paper` has the claims."""

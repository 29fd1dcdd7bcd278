"""Flover (seed 3): `technique` fuses requests into one batch, `fused` says what that gives; `paper` has the claims."""

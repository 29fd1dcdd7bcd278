"""MoE-Lens (seed 52): `technique` for scenarios, `stages` the model's two stages, `schedule` its scheduler on a log;
`paper` has the claims."""

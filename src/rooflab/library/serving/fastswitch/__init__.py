"""FastSwitch (seed 2): `technique` and `turns` for scenarios, `swapping` for traces, which `replay` runs over the
allocators of `blocks`; `paper` has the claims."""

"""FastSwitch: `paper` holds technique and claims, `blocks` the allocators of block groups that it compares."""

"""NanoFlow: `paper` holds technique and claims; `profile` is what its search reads, `pipeline` runs a layer cut into
nano-batches, `search` finds their number, sizes, order and shares, `method` does so on a reader's table.
"""

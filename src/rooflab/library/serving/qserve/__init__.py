"""QServe: `paper` holds technique and claims, `weights` the packing of a reader's network, from `levels`, `tiles`,
`channels`."""

"""Numbers of few bits: quantisers and packers, arrays in and arrays out.

It knows values, codes and bytes; nothing of models, hardware or papers.
Start with `quantise.affine` and `bits.packed`.
"""

"""Engine and device constants fitted to published serving rows.

It knows which rows tell of which constant, and in which order constants are fitted.
Start with `train.train`; `file` writes what comes out.
"""

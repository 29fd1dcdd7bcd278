"""What must be computed, read and sent in a step of a model, operator by operator; networks of layers, too.

It knows shapes, splits, and formats with what a device can compute in; it knows no seconds.
Start with `step.step_operators`; `place.Place` is what the operators of a layer have in common.
"""

"""What must be computed, read and sent in a step of a model, operator by operator; networks of layers, too.

It knows shapes, splits and formats; it knows no device and no seconds.
Start with `step.step_operators`.
"""

"""From a completed deployment to what is typed or applied: labels, launch commands, manifests.

It knows a scenario and the flags of each engine; it knows no plan and no price.
Start with `command.launch_command`.
"""

"""What an operator costs on a device, in seconds and joules: a user's own timings, fitted kernels, the roofline.

It knows operators and hardware and where each price comes from; no load, no queue, no room in memory.
Start with `price.price` for one operator and `compile.compile_steps` for the tables of a deployment's `step.StepCost`.
"""

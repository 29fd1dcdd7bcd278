"""What an operator costs on a device, in seconds and joules: own measurements, then fitted kernels, then the roofline.

It knows operators and hardware and where each price comes from; it knows no load, no queue and no deployment's room in
memory. Start with `price`, which prices operators, and `compile`, which turns a deployment into the tables of a
`step.StepCost`.
"""

"""What a handful of numbers says of many: intervals of means.

It knows numbers and shares, and nothing of what they count. Start at `mean`.
"""

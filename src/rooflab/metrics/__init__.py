"""The metrics that engines report: one registry of names, units and formulas."""

"""Conformance suites that ship: a new technique, policy, router or paper inherits its tests.

It knows contracts and pytest; it knows no implementation.
Start with `techniques.TechniqueConformance`; docs/how-to/write-a-policy.md shows one in use.
"""

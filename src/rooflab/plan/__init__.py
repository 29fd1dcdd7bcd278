"""Spaces, objectives, Pareto fronts, sensitivity, launch commands: from a scenario to the deployments that are best for it."""

from rooflab.plan.result import Choice, Plan
from rooflab.plan.search import plan

__all__ = ["Choice", "Plan", "plan"]

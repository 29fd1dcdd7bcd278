"""A few constants fitted to a few rows: the most probable values, and how far the rows narrow each constant down.

    minimise  Σ ρ(log(y_i(θ)/measured_i) / σ)  +  Σ ((θ_j − prior_j) / width_j)²

with ρ(x) = 2·(√(1 + x²) − 1), which forgives outliers.  y is taken as linear in θ around the last optimum and drawn
again until θ stands still.  The posterior covariance is the inverse of the Hessian at the optimum (Laplace); a constant
is identified by the rows when its posterior standard deviation is well below that of its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.evidence.fit.linear import Line
from rooflab.evidence.fit.priors import Prior

__all__ = ["NOISE", "Line", "Posterior", "draw", "loss_of", "solve"]

Array = npt.NDArray[np.float64]

NOISE: Final = 0.08
"""σ: what repeats of one configuration differ by, and what the kernel curves leave (standard deviation of a
logarithm)."""
_STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class Posterior:
    """Most probable constants, their standard deviations, the correlations between them, and the loss that is left."""

    theta: Array
    deviation: Array
    correlation: Array
    loss: float


def draw(times_at: Callable[[Array], Array], priors: Mapping[str, Prior], theta: Array) -> Line:
    """The line at `theta`: one evaluation, and one with each constant nudged."""
    base = times_at(theta)
    slopes = np.zeros((len(base), len(theta)))
    for j, prior in enumerate(priors.values()):
        inside = prior.low < theta[j] + prior.nudge < prior.high
        step = prior.nudge if inside else -prior.nudge
        nudged = theta.copy()
        nudged[j] += step
        slopes[:, j] = (times_at(nudged) - base) / step
    return Line(base, slopes, theta)


def loss_of(predicted: Array, measured: Array, theta: Array, priors: Sequence[Prior], noise: float = NOISE) -> float:
    """What is minimised, at constants `theta` that predict `predicted`; `noise` is σ."""
    miss = (np.log(predicted) - np.log(measured)) / noise
    away = (theta - np.array([p.mean for p in priors])) / np.array([p.width for p in priors])
    return float(np.sum(2 * (np.sqrt(1 + miss**2) - 1)) + np.sum(away**2))


def solve(line: Line, measured: Array, priors: Sequence[Prior], noise: float = NOISE) -> Posterior:
    """The most probable constants of a line (Levenberg-Marquardt within bounds, reweighted for outliers)."""
    width = np.array([p.width for p in priors])
    mean = np.array([p.mean for p in priors])
    low, high = np.array([p.low for p in priors]), np.array([p.high for p in priors])

    def parts(theta: Array) -> tuple[float, Array, Array]:
        """Loss, gradient and Hessian (Gauss-Newton) in units of the prior widths."""
        y = line.at(theta)
        miss = (np.log(y) - np.log(measured)) / noise
        jacobian = line.slopes * width / y[:, None] / noise
        weight = 1.0 / np.sqrt(1.0 + miss**2)
        away = (theta - mean) / width
        loss = loss_of(y, measured, theta, priors, noise)
        gradient = jacobian.T @ (weight * miss) + away
        hessian = jacobian.T @ (weight[:, None] * jacobian) + np.eye(len(theta))
        return loss, gradient, hessian

    theta = np.clip(line.theta, low, high)
    loss, gradient, hessian = parts(theta)
    damping = 1e-3
    for _ in range(_STEPS):
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), -gradient)
        tried = np.clip(theta + step * width, low, high)
        found = parts(tried)
        if found[0] < loss - 1e-10:
            theta, (loss, gradient, hessian), damping = tried, found, damping / 3
        else:
            damping *= 4
            if damping > 1e8:
                break
    covariance = np.linalg.inv(hessian)
    unit = np.sqrt(np.diag(covariance))
    return Posterior(theta, unit * width, covariance / np.outer(unit, unit), loss)

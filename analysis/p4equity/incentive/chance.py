"""What a formula is expected to pay for a true narrowing seen with noise, in closed form; for no narrowing: by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from p4equity.incentive.formula import Array, Formula


def expected_score(std_error: ArrayLike, formula: Formula, true: ArrayLike = 0.0) -> Array:
    """Expected score when the observed improvement is normal around a true one with this standard error; every gate met.

    slope * (L(threshold - true) - L(threshold + cap / slope - true)) with the normal loss L(a) = s * phi(a / s) - a *
    (1 - Phi(a / s)). With threshold 0, slope 1, no cap and nothing true this is s / sqrt(2 pi). Standard errors must be positive.
    """
    s, mean = np.broadcast_arrays(np.asarray(std_error, float), np.asarray(true, float))
    if formula.slope == 0:
        return np.zeros(s.shape)
    upper = formula.threshold + formula.cap / formula.slope
    beyond = _normal_loss(s, upper - mean) if np.isfinite(upper) else np.zeros(s.shape)
    return np.asarray(formula.slope * (_normal_loss(s, formula.threshold - mean) - beyond))


def expected_score_by_chance(std_error: ArrayLike, formula: Formula) -> Array:
    """Expected score when nothing changed."""
    return expected_score(std_error, formula)


def chance_of_narrowing(std_error: ArrayLike, points: float, cells: int = 1) -> Array:
    """Probability that at least one of `cells` independent gaps narrows by `points` or more although nothing changed."""
    one = stats.norm.sf(points / np.asarray(std_error, float))
    return np.asarray(1 - (1 - one) ** cells)


def _normal_loss(s: Array, a: Array) -> Array:
    """E max(Z - a, 0) for Z normal with mean 0 and standard deviation s."""
    return np.asarray(s * stats.norm.pdf(a / s) - a * stats.norm.sf(a / s))

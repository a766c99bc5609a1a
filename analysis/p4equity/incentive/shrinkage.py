"""Empirical-Bayes improvements for many data sets at once."""

from __future__ import annotations

import numpy as np

from p4equity.incentive.formula import Array

STEPS = 80  # halvings of the bracket of tau2: far below rounding
SMALLEST = 1e-12  # between-cell variance where none is seen
CERTAIN = 1e-9  # sampling variance of an improvement that cannot vary, such as the gap of the best group to itself


def empirical_bayes(points: Array, variances: Array) -> Array:
    """(..., n) improvements drawn toward their precision-weighted mean for their reliability; unchanged with fewer than two.

    points, variances: (..., n), NaN for cells that are not there; those that cannot vary stay as they are and draw none. The
    between-cell variance is Paule and Mandel's: the root of sum (y - mean)^2 / (v + tau2) = n - 1, zero where there is none.
    Source: Morris (1983), JASA 78:47.
    """
    known = np.isfinite(points) & (np.nan_to_num(variances) > CERTAIN)
    y, v = np.where(known, points, 0.0), np.where(known, variances, 1.0)
    count = known.sum(axis=-1)

    def centred(tau2: Array) -> tuple[Array, Array]:
        w = known / (v + tau2[..., None])
        total = np.maximum(w.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
        mean = (w * y).sum(axis=-1, keepdims=True) / total
        return (w * (y - mean) ** 2).sum(axis=-1) - (count - 1), mean

    low = np.zeros(y.shape[:-1])
    high = (known * y**2).sum(axis=-1) + 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        above = centred(middle)[0] > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    tau2 = np.where(centred(np.zeros_like(low))[0] > 0, (low + high) / 2, 0.0)
    tau2 = np.maximum(tau2, SMALLEST)
    share = tau2[..., None] / (tau2[..., None] + v)
    drawn = share * y + (1 - share) * centred(tau2)[1]
    return np.where(known & (count > 1)[..., None], drawn, points)

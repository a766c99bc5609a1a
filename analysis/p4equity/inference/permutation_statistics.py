"""What a permutation compares: the plain difference in means, or the difference over its arm-specific (Welch) error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.law import Law
from p4equity.inference.permutation import Assignments

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def raw_law(drawn: Assignments, y: Array, arm: Flags, w: Array) -> Law:
    """Weighted difference in means of each assignment. y, w: (n,) changes and weights; arm: (n,) observed assignment."""
    d = arm.astype(float)
    weights, values, effects = drawn.sums(w, w * y, w * d)
    total = float(w.sum())

    def difference(inside: Array, whole: float) -> Array:
        return np.asarray(inside / weights - (whole - inside) / (total - weights))

    return Law(difference(values, float(w @ y)), difference(effects, float(w @ d)), observed=drawn.position(arm))


def studentized_law(drawn: Assignments, y: Array, arm: Flags, w: Array) -> Law:
    """Weighted difference in means over its standard error from each arm's own spread.

    The variance of an arm's weighted mean m is n / (n - 1) sum w^2 (y - m)^2 / (sum w)^2: with equal weights Welch's
    s^2 / n. Two units an arm are needed. Source: Janssen (1997), Statistics and Probability Letters 36; with it a
    permutation of arms that differ in spread is valid for many units.
    """
    raw = raw_law(drawn, y, arm, w)
    y = y - float(np.average(y, weights=w))
    d = arm.astype(float)
    squares = w**2
    columns = [w, w * y, w * d, squares, squares * y, squares * d, squares * y**2, squares * y * d, squares * d**2]
    inside = drawn.sums(*columns)
    outside = [float(c.sum()) - part for c, part in zip(columns, inside, strict=True)]
    n1 = int(arm.sum())
    arms = (_arm_variances(inside, n1), _arm_variances(outside, len(y) - n1))
    v0, v1, v2 = (first + second for first, second in zip(*arms, strict=True))
    return Law(raw.n0, raw.n1, v0, v1, v2, raw.observed)


def _arm_variances(sums: list[Array], n: int) -> tuple[Array, Array, Array]:
    """Variance of the weighted mean of y, its covariance with that of d, and the variance of that, one an assignment."""
    w, wy, wd, s, sy, sd, syy, syd, sdd = sums
    my, md = wy / w, wd / w
    scale = n / (n - 1) / w**2
    yy = syy - 2 * my * sy + my**2 * s
    yd = syd - my * sd - md * sy + my * md * s
    dd = sdd - 2 * md * sd + md**2 * s
    return scale * np.maximum(yy, 0.0), scale * yd, scale * np.maximum(dd, 0.0)

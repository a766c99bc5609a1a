"""Tests of one difference between two arms for many outcomes at once: the answers of single tests, vectorized over draws.

Everywhere y is (R, n); arm and sampling variances v are (n,), or (R, n) where they differ between draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.errors import UsageError
from p4equity.inference.permutation import TIE
from p4equity.inference.random_effects import METHODS

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
STEPS = 60  # of a bisection: to the last digits
BLOCK = 500  # draws whose permutation statistics are held at once
LIKELIHOOD = 80  # variances at which a restricted likelihood is compared


def weighted_difference(y: Array, w: Array, arm: Flags) -> tuple[Array, Array, Array, Array]:
    """Weighted difference of means, product of the arms' total weights, variance of the difference, residual sum of squares."""
    totals = [np.broadcast_to(w * a, y.shape).sum(1) for a in (arm, ~arm)]
    means = [(w * a * y).sum(1) / t for a, t in zip((arm, ~arm), totals, strict=True)]
    rest = y - np.where(arm, means[0][:, None], means[1][:, None])
    return means[0] - means[1], totals[0] * totals[1], 1 / totals[0] + 1 / totals[1], (w * rest**2).sum(1)


def between_variance(y: Array, v: Array, arm: Flags | None, method: str = "PM") -> Array:
    """(R,) between-unit variances, with (arm) or without a difference between arms. method: see `tau2_estimate`."""
    if method == "PM":
        return _paule_mandel(y, v, arm)
    if method == "DL":
        return _moments(y, v, arm)
    if method == "REML":
        return _restricted(y, v, arm)
    raise UsageError("unknown tau2 method", expected=", ".join(METHODS), found=method, fix="choose one of them")


def _residuals(y: Array, w: Array, arm: Flags | None) -> Array:
    """(R, n) residuals from the weighted mean, or from that of each arm."""
    arms = [np.ones(1, bool)] if arm is None else [arm, ~arm]
    fitted = 0.0
    for a in arms:
        own = w * a
        mean = (own * y).sum(1) / np.broadcast_to(own, y.shape).sum(1)
        fitted = fitted + mean[:, None] * a
    return np.asarray(y - fitted)


def _residual(y: Array, w: Array, arm: Flags | None) -> Array:
    """(R,) weighted residual sums of squares."""
    return np.asarray((w * _residuals(y, w, arm) ** 2).sum(1))


def _paule_mandel(y: Array, v: Array, arm: Flags | None) -> Array:
    """Newton's steps from zero: Q falls and is convex in the variance, so they never pass the root."""
    free = y.shape[1] - (1 if arm is None else 2)
    tau2 = np.zeros(len(y))
    for _ in range(STEPS):
        w = 1 / (v + tau2[:, None])
        rest = _residuals(y, w, arm)
        excess = (w * rest**2).sum(1) - free
        step = np.maximum(excess / np.maximum(((w * rest) ** 2).sum(1), np.finfo(float).tiny), 0.0)
        tau2 = tau2 + step
        if (step <= 1e-13 * tau2).all():
            break
    return tau2


def _moments(y: Array, v: Array, arm: Flags | None) -> Array:
    w = np.broadcast_to(1 / v, y.shape)
    arms = [np.ones(y.shape, bool)] if arm is None else [np.broadcast_to(a, y.shape) for a in (arm, ~arm)]
    trace = sum((w * a).sum(1) - (w**2 * a).sum(1) / (w * a).sum(1) for a in arms)
    return np.asarray(np.maximum((_residual(y, w, arm) - (y.shape[1] - len(arms))) / trace, 0.0))


def _restricted(y: Array, v: Array, arm: Flags | None) -> Array:
    """The best of a grid, refined by bisection of the deviance's slope between its neighbours."""
    arms = [np.ones(y.shape, bool)] if arm is None else [np.broadcast_to(a, y.shape) for a in (arm, ~arm)]

    def deviance(tau2: Array) -> Array:
        w = 1 / (v + tau2[:, None])
        logs = sum(np.log((w * a).sum(1)) for a in arms)
        return np.asarray(logs - np.log(np.broadcast_to(w, y.shape)).sum(1) + _residual(y, w, arm))

    def slope(tau2: Array) -> Array:
        w = np.broadcast_to(1 / (v + tau2[:, None]), y.shape)
        shares = sum((w**2 * a).sum(1) / (w * a).sum(1) for a in arms)
        return np.asarray(w.sum(1) - shares - (w**2 * _residuals(y, w, arm) ** 2).sum(1))

    scale = y.var(1) + np.broadcast_to(v, y.shape).mean(1)
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 10.0, LIKELIHOOD)])
    best = np.array([deviance(t * scale) for t in grid]).argmin(0)
    low, high = grid[np.maximum(best - 1, 0)] * scale, grid[np.minimum(best + 1, len(grid) - 1)] * scale
    inside = (slope(low) < 0) & (slope(high) > 0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        falls = slope(middle) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    return np.asarray(np.where(inside, (low + high) / 2, grid[best] * scale))


def knapp_hartung(y: Array, arm: Flags, v: Array, method: str = "PM", truncate: bool = False) -> tuple[Array, Array]:
    """(R,) estimates and (R,) p values of `meta_regression`; NaN where an outcome leaves no error to estimate."""
    w = 1 / (v + between_variance(y, v, arm, method)[:, None])
    b, _, variance, rest = weighted_difference(y, w, arm)
    scale = rest / (y.shape[1] - 2)
    error = np.sqrt((np.maximum(scale, 1.0) if truncate else scale) * variance)
    z = np.divide(b, error, out=np.full_like(b, np.nan), where=error > 0)
    return b, np.asarray(2 * stats.t.sf(np.abs(z), y.shape[1] - 2))


def permutation(y: Array, arm: Flags, v: Array, table: Flags, method: str = "PM") -> tuple[Array, Array]:
    """(R,) estimates and p values of `permutation_test`'s standardized difference, over the assignments in `table` (A, n)."""
    w = 1 / (v + between_variance(y, v, None, method)[:, None])
    rows = table.astype(float)
    estimates, p = np.empty(len(y)), np.empty(len(y))
    observed = np.broadcast_to(arm, y.shape)
    for start in range(0, len(y), BLOCK):
        at = slice(start, start + BLOCK)
        weight, value = w[at], w[at] * y[at]
        total, whole = weight.sum(1), value.sum(1)
        a, b = (weight * observed[at]).sum(1), (value * observed[at]).sum(1)
        estimates[at] = b / a - (whole - b) / (total - a)
        own = np.abs(estimates[at]) / np.sqrt(1 / a + 1 / (total - a))
        weights, values = rows @ weight.T, rows @ value.T
        other = total - weights
        size = np.abs(values / weights - (whole - values) / other) / np.sqrt(1 / weights + 1 / other)
        p[at] = (size >= own * (1 - TIE)).mean(0)
    return estimates, p


def robust(y: Array, X: Array, contrast: Array, unit: NDArray[np.int64]) -> tuple[Array, Array, float]:
    """(R,) estimates, (R,) p values and degrees of freedom of least squares with CR2 errors and Satterthwaite's t.

    X: (N, p), contrast: (p,), unit: (N,) cluster of each cell. Source: Bell and McCaffrey (2002), Survey Methodology 28:169; for
    one change a unit and two arms it is the t test with unequal variances. NaN p where a cluster alone determines a coefficient.
    """
    line = X @ np.linalg.pinv(X.T @ X) @ contrast
    rest = np.eye(len(X)) - X @ np.linalg.pinv(X)
    scores = []
    for u in np.unique(unit):
        own = unit == u
        values, vectors = np.linalg.eigh(rest[np.ix_(own, own)])
        if (values < 1e-10).any() and np.abs(line[own] @ vectors[:, values < 1e-10]).max() > 1e-10:
            return y @ line, np.full(len(y), np.nan), float("nan")
        root = np.divide(1.0, np.sqrt(np.maximum(values, 0)), out=np.zeros_like(values), where=values >= 1e-10)
        scores.append(line[own] @ (vectors * root) @ vectors.T @ rest[own])
    G = np.stack(scores)
    gram = G @ G.T
    df = float(np.trace(gram) ** 2 / (gram**2).sum())
    estimate, error = y @ line, np.sqrt(((y @ G.T) ** 2).sum(1))
    z = np.divide(estimate, error, out=np.full_like(estimate, np.nan), where=error > 0)
    return estimate, np.asarray(2 * stats.t.sf(np.abs(z), df)), df

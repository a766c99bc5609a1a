"""Confidence intervals of fixed length under smoothness: the affine estimator whose interval is shortest at the worst bias.

Source: Rambachan and Roth (2023), section 4.1; Donoho (1994); Armstrong and Kolesar (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar, nnls
from scipy.stats import norm

from p4equity.inference.sensitivity.path import Path
from p4equity.inference.sensitivity.restrictions import slope_changes

Array = NDArray[np.float64]
LOGS = np.linspace(-8.0, 8.0, 33)  # log10 penalties on the squared bias, in units of the mean variance


@dataclass(frozen=True)
class FixedLength:
    """low, high; weights (n,) of the coefficients in the estimator; its std_error and its largest bias."""

    low: float
    high: float
    weights: Array
    std_error: float
    bias: float


@dataclass(frozen=True)
class Estimator:
    """An affine estimator on the frontier: weights (n,), standard error, and largest bias under a bound of 1."""

    weights: Array
    std_error: float
    bias: float

    def half_length(self, bound: float, alpha: float) -> float:
        """Half the length of its interval of level 1 - alpha."""
        if self.std_error <= 0:
            return bound * self.bias
        return self.std_error * folded_normal_quantile(1 - alpha, bound * self.bias / self.std_error)


def folded_normal_quantile(p: float, mean: float) -> float:
    """Quantile of |Z + mean| for Z standard normal, exact where R HonestDiD simulates it."""
    mean = abs(mean)
    if mean > 30:
        return float(mean + norm.ppf(p))
    return float(brentq(lambda q: norm.cdf(q - mean) - norm.cdf(-q - mean) - p, 0.0, mean + 10.0, xtol=1e-12))


class Frontier:
    """Estimators that a linear trend does not move, by what a unit of squared bias costs: variance + penalty x bias^2 is least.

    Such an estimator is the target less a combination of slope changes. Its part on the slope changes after the
    reference period is given by the target; the part on those before it is free. The largest bias is the bound times the
    weighted sum of the sizes of all parts, so that each point is one non-negative least-squares problem. The frontier
    does not depend on the bound. covariance (n, n): by which variances estimators are chosen, by default the path's.
    """

    def __init__(self, path: Path, covariance: Array | None = None) -> None:
        rows, self._scale = slope_changes(path)
        self._free = path.before - 1
        self._rows = rows[: self._free]
        given = np.linalg.solve(rows[self._free :, path.before :].T, path.weights[path.before :])
        self._start = rows[self._free :].T @ given
        self._bias = float(self._scale[self._free :] @ np.abs(given))
        V = path.covariance if covariance is None else covariance
        values, vectors = np.linalg.eigh(V)
        self._root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
        self._unit = float(np.trace(V)) / len(V)

    @cached_property
    def _grid(self) -> list[Estimator]:
        return [self.at(x) for x in LOGS]

    def at(self, log_penalty: float) -> Estimator:
        """The estimator of one penalty; minus infinity for the one with the least variance."""
        w, bias = self._start, self._bias
        if self._free:
            size = self._scale[: self._free]
            X, root = self._root @ self._rows.T, np.sqrt(self._unit * 10.0**log_penalty)
            A = np.vstack([np.hstack([X, -X]), root * np.hstack([size, size])])
            parts, _ = nnls(A, np.append(-self._root @ w, -root * bias))
            c = parts[: self._free] - parts[self._free :]
            w, bias = w + self._rows.T @ c, bias + float(size @ np.abs(c))
        return Estimator(w, float(np.linalg.norm(self._root @ w)), bias)

    def shortest(self, bound: float, alpha: float) -> Estimator:
        """The estimator whose interval is shortest."""
        if not self._free or bound == 0:
            return self.at(-np.inf)
        i = int(np.argmin([e.half_length(bound, alpha) for e in self._grid]))
        if 0 < i < len(LOGS) - 1:
            ends = (float(LOGS[i - 1]), float(LOGS[i + 1]))
            best = minimize_scalar(
                lambda x: self.at(x).half_length(bound, alpha), bounds=ends, method="bounded", options={"xatol": 1e-3}
            )
            return self.at(float(best.x))
        return self._grid[i] if i else self.at(-np.inf)


def working_covariance(path: Path) -> Array:
    """(n, n) covariance if shocks were alike and uncorrelated over periods, of the size of the path's own covariance.

    Every coefficient shares the shock of the reference period, hence I + 11'. With few clusters weights chosen by an
    estimated covariance make their own variance look small: with 12 clusters and a linear difference in trends intervals of
    level 95% hold the truth in 69 to 84% of draws, with these weights and the t quantile in 95 to 97%.
    """
    shape = np.eye(len(path.estimates)) + 1.0
    return np.asarray(shape * (float(np.trace(path.covariance)) / float(np.trace(shape))))


def fixed_length(path: Path, frontier: Frontier, bound: float, *, alpha: float) -> FixedLength:
    """Interval for the target when the slope of the difference in trends changes by `bound` a period at the most."""
    w = frontier.shortest(bound, alpha)
    variance = float(w.weights @ path.covariance @ w.weights)
    best = Estimator(w.weights, float(np.sqrt(max(variance, 0.0))), w.bias)
    centre, half = float(best.weights @ path.estimates), best.half_length(bound, alpha)
    return FixedLength(centre - half, centre + half, best.weights, best.std_error, bound * best.bias)

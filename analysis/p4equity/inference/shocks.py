"""How much clusters' yearly outcomes move beyond sampling, from years before treatment: an estimate with an exact interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, stats

from p4equity.errors import StudyError

Array = NDArray[np.float64]
PERSISTENCE = 0.5  # share of a yearly shock that carries over to the next year
SMALLEST = 1e-10  # singular values of the regressors this small beside the largest count as zero


@dataclass(frozen=True)
class ShockVariance:
    """Variance of a yearly shock with its interval, in squared units of the outcome; df: deviations it is estimated from."""

    estimate: float
    low: float
    high: float
    df: int


def shock_variance(y: Array, X: Array, sampling: Array, pattern: Array, conf_level: float = 0.90) -> ShockVariance:
    """Variance tau2 of shocks in y = Xb + shock + sampling error, the covariance of y being tau2 * pattern + sampling.

    y: (N,) yearly outcomes. X: (N, p) effects of clusters and years. sampling: (N, N) known covariance of the sampling errors.
    pattern: (N, N) correlation of the shocks. The estimate is the root of the generalized Q statistic at its expectation
    (Paule and Mandel 1982), the interval holds every tau2 at which Q lies between the quantiles of its chi-squared distribution
    (Viechtbauer 2007, Statistics in Medicine 26:37): exact for normal shocks. Zero where no such value exists.
    Raises StudyError when the effects leave no deviation.
    """
    u, size, _ = np.linalg.svd(X, full_matrices=True)
    free = u[:, int((size > SMALLEST * size.max()).sum()) :] if X.size else np.eye(len(y))
    df = free.shape[1]
    if df < 1:
        raise StudyError("no yearly deviations to estimate shocks from", expected="two baseline years and two systems or more")
    noise, vectors = linalg.eigh(free.T @ sampling @ free, free.T @ pattern @ free)
    squares = (vectors.T @ (free.T @ y)) ** 2
    noise = np.maximum(noise, 0.0)
    tails = stats.chi2.ppf([0.5 + conf_level / 2, 0.5 - conf_level / 2], df)
    low, estimate, high = (_root(squares, noise, q) for q in (tails[0], float(df), tails[1]))
    return ShockVariance(estimate, low, high, df)


def _root(squares: Array, noise: Array, target: float) -> float:
    """The variance at which sum of squares / (noise + variance) is `target`; 0 where it is below that already."""

    def excess(tau2: float) -> float:
        return float((squares / np.maximum(noise + tau2, np.finfo(float).tiny)).sum()) - target

    if excess(0.0) <= 0:
        return 0.0
    high = float(squares.sum()) / target
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-14 * high)) if excess(high) < 0 else high


def autoregressive(years: Array, persistence: float) -> Array:
    """(T, T) correlation of shocks that carry over from one year to the next with this share."""
    return np.asarray(persistence ** np.abs(np.subtract.outer(years, years)))


def change_variances(contrasts: Array, years: Sequence[int]) -> Array:
    """(S, M) variance of a change from shocks of variance one in each year. contrasts: (S, M, T)."""
    correlation = autoregressive(np.asarray(years, float), PERSISTENCE)
    return np.asarray(np.einsum("smt,tu,smu->sm", contrasts, correlation, contrasts))

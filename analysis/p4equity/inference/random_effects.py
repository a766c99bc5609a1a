"""Random-effects regression of cluster-level changes on treatment, with Knapp-Hartung inference.

The second stage of the two-stage estimator (Donald and Lang 2007): each system contributes one change with a known sampling
variance, systems differ beyond sampling by a random effect with variance tau2, and the treatment coefficient is tested with
Knapp and Hartung's (2003) scaled variance and a t distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from p4equity.errors import StudyError, UsageError

Array = NDArray[np.float64]
METHODS = ("PM", "REML", "DL")


@dataclass(frozen=True)
class RandomEffectsFit:
    """Treatment coefficient of a random-effects regression.

    estimate, std_error, statistic, p_value, conf_low, conf_high: of the treatment coefficient, in units of `y`.
    df: degrees of freedom of the t reference. tau2: between-unit variance. q: Knapp-Hartung scale.
    weights: (n,) linear weights with sum(weights * y) == estimate.
    """

    estimate: float
    std_error: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    df: float
    tau2: float
    q: float
    weights: Array


def tau2_estimate(y: Array, X: Array, v: Array, method: str = "PM") -> float:
    """Between-unit variance of a regression of `y` (n,) on `X` (n, p) with sampling variances `v` (n,).

    PM: Paule and Mandel (1982), the root of the generalized Q statistic. REML: restricted maximum likelihood.
    DL: DerSimonian and Laird's moment estimator with covariates. Never negative.
    """
    n, p = X.shape
    if n <= p:
        raise StudyError(
            "too few units for a between-unit variance",
            expected=f"more than {p} units",
            found=f"{n} units",
            fix="widen the comparison group or register a method for few units",
        )
    if method == "PM":
        return _paule_mandel(y, X, v)
    if method == "REML":
        return _reml(y, X, v)
    if method == "DL":
        w: Array = 1 / v
        bread = np.linalg.pinv(X.T @ (X * w[:, None]))
        trace = float(w.sum() - np.trace(bread @ (X.T @ (X * (w**2)[:, None]))))
        return float(max(0.0, (_weighted_residuals(y, X, w) - (n - p)) / trace))
    raise UsageError("unknown tau2 method", expected=", ".join(METHODS), found=method, fix="choose one of them")


def _residuals(y: Array, X: Array, w: Array) -> Array:
    """(n,) y - Xb of the regression of y on X with weights w."""
    WX = X * w[:, None]
    A = X.T @ WX
    inverse = 1 / A if A.size == 1 else np.linalg.pinv(A)  # the same number, without a singular value decomposition for it
    return np.asarray(y - X @ (inverse @ (WX.T @ y)))


def _weighted_residuals(y: Array, X: Array, w: Array) -> float:
    """Weighted residual sum of squares of y on X: sum of w (y - Xb)^2."""
    return float(w @ _residuals(y, X, w) ** 2)


def _generalized_q(tau2: float, y: Array, X: Array, v: Array) -> float:
    return _weighted_residuals(y, X, 1 / (v + tau2))


def _paule_mandel(y: Array, X: Array, v: Array) -> float:
    n, p = X.shape
    if _generalized_q(0.0, y, X, v) <= n - p:
        return 0.0
    high = float(np.var(y)) + float(np.max(v)) + 1e-12
    while _generalized_q(high, y, X, v) > n - p:
        high *= 4
    root: float = optimize.brentq(lambda t: _generalized_q(t, y, X, v) - (n - p), 0.0, high, xtol=1e-14 * max(high, 1.0))
    return root


def _reml(y: Array, X: Array, v: Array) -> float:
    def deviance(tau2: float) -> float:
        w = 1 / (v + tau2)
        _, logdet = np.linalg.slogdet(X.T @ (X * w[:, None]))
        return float(-np.log(w).sum() + logdet + _weighted_residuals(y, X, w))

    def slope(tau2: float) -> float:
        w = 1 / (v + tau2)
        bread = np.linalg.pinv(X.T @ (X * w[:, None]))
        return float(w.sum() - np.trace(bread @ (X.T @ (X * (w**2)[:, None]))) - w**2 @ _residuals(y, X, w) ** 2)

    # The deviance can have a local minimum at the boundary: search a grid first, then between the best point's neighbours for
    # the root of its slope, as the deviance itself tells the place of its minimum to half the digits only.
    scale = float(np.var(y)) + float(np.mean(v))
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 10.0, 60) * scale])
    best = int(np.argmin([deviance(t) for t in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if not slope(low) < 0 < slope(high):
        return float(grid[best])
    root: float = optimize.brentq(slope, low, high, xtol=1e-14 * scale)
    return root


def check_inputs(y: Array, treated: NDArray[np.bool_], v: Array) -> None:
    """Raise StudyError or UsageError when a two-arm regression cannot be formed."""
    if not (len(y) == len(treated) == len(v)):
        raise UsageError("arrays of different length", expected="one entry a unit", found=(len(y), len(treated), len(v)))
    if not np.isfinite(y).all() or not np.isfinite(v).all() or (v <= 0).any():
        raise UsageError(
            "changes must be finite and sampling variances positive",
            fix="drop units without a change first, and say so in the result",
        )
    if not treated.any() or treated.all():
        arm = "treated" if not treated.any() else "comparison"
        raise StudyError(f"no {arm} unit left", expected="at least one treated and one comparison unit", found=f"no {arm}")


def meta_regression(
    y: Array,
    treated: NDArray[np.bool_],
    sampling_variance: Array,
    *,
    method: str = "PM",
    conf_level: float = 0.95,
    truncate: bool = False,
) -> RandomEffectsFit:
    """Mean change of treated units beyond that of comparison units, random-effects weighted, Knapp-Hartung t.

    y: (n,) changes. treated: (n,) bool. sampling_variance: (n,) known variances of `y`, same unit squared.
    With `truncate` the scale q is held at 1 or more, so that agreement beyond what sampling allows never narrows the interval
    (Rover, Knapp and Friede 2015): safe, but it covers 97 to 99% in this design, so it is off. df = n - 2.
    Raises StudyError when an arm is empty or n < 3.
    Source: Knapp and Hartung (2003), Statistics in Medicine 22:2693.
    """
    y, v = np.asarray(y, float), np.asarray(sampling_variance, float)
    arm = np.asarray(treated, bool)
    check_inputs(y, arm, v)
    X = np.column_stack([np.ones(len(y)), arm.astype(float)])
    tau2 = tau2_estimate(y, X, v, method)
    w = 1 / (v + tau2)
    bread = np.linalg.inv(X.T @ (X * w[:, None]))
    linear = bread @ (X * w[:, None]).T
    beta = linear @ y
    df = len(y) - 2
    q = float(w @ (y - X @ beta) ** 2) / df
    scale = max(q, 1.0) if truncate else q
    return t_answer(float(beta[1]), float(np.sqrt(scale * bread[1, 1])), df, tau2, scale, linear[1], conf_level)


def t_answer(
    estimate: float, std_error: float, df: float, tau2: float, q: float, weights: Array, conf_level: float
) -> RandomEffectsFit:
    """Wrap an estimate and its error into t-based answers; without residual variation there is no statistic, p or interval."""
    if not std_error > 0:
        nan = float("nan")
        return RandomEffectsFit(estimate, 0.0, nan, nan, nan, nan, df, tau2, q, weights)
    statistic = estimate / std_error
    half = float(stats.t.ppf(0.5 + conf_level / 2, df)) * std_error
    p = float(2 * stats.t.sf(abs(statistic), df))
    return RandomEffectsFit(estimate, std_error, statistic, p, estimate - half, estimate + half, df, tau2, q, weights)


def linear_component(
    y: Array,
    sampling_variance: Array,
    treated: NDArray[np.bool_],
    weights: Array,
    *,
    method: str,
    conf_level: float,
    truncate: bool = False,
) -> RandomEffectsFit:
    """The same weighted difference applied to another outcome of the same units (reference or group beside the gap).

    weights: (n,) linear weights of the gap's fit, so that gap = reference - group holds to rounding. The error is
    sum(weights^2 (v + tau2)) with the outcome's own tau2, scaled by its own Knapp-Hartung q; df = n - 2.
    """
    own = meta_regression(y, treated, sampling_variance, method=method, conf_level=conf_level)
    variance = (max(own.q, 1.0) if truncate else own.q) * float(weights**2 @ (sampling_variance + own.tau2))
    return t_answer(float(weights @ y), float(np.sqrt(variance)), own.df, own.tau2, own.q, weights, conf_level)

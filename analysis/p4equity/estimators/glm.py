"""Generalized linear models on cells: iteratively reweighted least squares, with the moments clusters need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.estimators.base import Array, Flags
from p4equity.inference.moments import ClusterMoments, cluster_moments, independent_columns

FAMILIES = ("logit", "poisson")
STEPS = 100
STILL = 1e-9  # linear predictors that move by less have arrived: the next step is of the order of its square
LIMIT = 30.0  # linear predictors stay within it: beyond, a rate is 0 or 1 to rounding
EDGE = 15.0  # a linear predictor this far out is a fitted rate of 0 or 1


@dataclass(frozen=True)
class GlmFit:
    """Result. coefficients: (k,), zero where a column adds nothing. moments: of the working regression at the solution, whose
    scores are the model's own. converged: whether it arrived. edge: rows (N,) fitted at 0 or 1."""

    family: str
    coefficients: Array
    moments: ClusterMoments
    converged: bool
    edge: Flags

    def mean(self, eta: Array) -> Array:
        """Fitted outcome at linear predictors."""
        return mean(self.family, eta)

    def slope(self, eta: Array) -> Array:
        """Derivative of the fitted outcome."""
        return slope(self.family, eta)


def mean(family: str, eta: Array) -> Array:
    """Inverse link: logistic or exponential."""
    bounded = np.clip(eta, -LIMIT, LIMIT)
    return np.asarray(1 / (1 + np.exp(-bounded)) if family == "logit" else np.exp(bounded))


def slope(family: str, eta: Array) -> Array:
    """Derivative of the inverse link; with the canonical link also the variance."""
    mu = mean(family, eta)
    return np.asarray(mu * (1 - mu) if family == "logit" else mu)


def _deviance(family: str, y: Array, mu: Array, w: Array) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(y > 0, y * np.log(y / mu), 0.0)
        if family == "poisson":
            return float(2 * (w @ (first - (y - mu))))
        return float(2 * (w @ (first + np.where(y < 1, (1 - y) * np.log((1 - y) / (1 - mu)), 0.0))))


def fit_glm(
    family: str, X: Array, y: Array, weights: Array, cluster: NDArray[np.object_], names: list[str], n_obs: int
) -> GlmFit:
    """Weighted logit (y in 0 to 1: rates, weights their counts) or Poisson regression of y (N,) on X (N, k), canonical link.

    With counts as weights coefficients and scores are those of the members. Columns that add nothing to those before
    them have no coefficient. Steps that lower the likelihood are halved.
    """
    w = weights / weights.mean()
    start = (y + y @ w / w.sum()) / 2
    start = np.clip(start, 1e-6, 1 - 1e-6) if family == "logit" else np.maximum(start, 1e-6)
    eta = np.log(start / (1 - start)) if family == "logit" else np.log(start)
    kept = independent_columns(X.T @ (w[:, None] * X))
    Z = X[:, kept]
    b, old, converged = np.zeros(Z.shape[1]), np.inf, False
    for step in range(STEPS):
        mu, v = mean(family, eta), np.maximum(slope(family, eta), 1e-300)
        root = np.sqrt(w * v)
        new = np.linalg.lstsq(root[:, None] * Z, root * (eta + (y - mu) / v), rcond=None)[0]
        size = 1.0
        deviance = _deviance(family, y, mean(family, Z @ new), w)
        while step and deviance > old * (1 + 1e-10) + 1e-12 and size > 1e-6:
            size /= 2
            deviance = _deviance(family, y, mean(family, Z @ (b + size * (new - b))), w)
        b = b + size * (new - b) if step else new
        before, eta, old = eta, np.clip(Z @ b, -LIMIT, LIMIT), deviance
        if float(np.abs(eta - before).max()) <= STILL:
            converged = True
            break
    coefficients = np.zeros(X.shape[1])
    coefficients[kept] = b
    mu, v = mean(family, eta), np.maximum(slope(family, eta), 1e-300)
    moments = cluster_moments(X, eta + (y - mu) / v, cluster, weights=weights * v, names=names, n_obs=n_obs)[0]
    edge = np.abs(eta) > EDGE if family == "logit" else eta < -EDGE
    return GlmFit(family, coefficients, moments, converged, np.asarray(edge, bool))

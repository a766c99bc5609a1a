"""Permutation of residuals under the null (Freedman and Lane 1983): a test of one coefficient beside a covariate.

Contracts cannot be dealt anew where a covariate is in the model, since it would stay with its system. So the model without the
contract is fitted, and what it leaves unexplained is dealt among systems: each system's residuals are first brought to the same
variance (by the Cholesky factor of their covariance), exchanged as a whole, and brought to the variance of the new system. The
statistic is the coefficient over its standard error, so that the scale of the variances does not matter.

Freedman and Lane (1983), Journal of Business and Economic Statistics 1:292; Winkler et al. (2014), NeuroImage 92:381, which finds
it the closest to its level among such schemes. Exact only for many systems; see `residual_permutation` for its level with few.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import StudyError
from p4equity.inference.canonical import order_of_units
from p4equity.inference.covariate import CovariateRegression
from p4equity.inference.permutation import TIE, PermutationResult, invert
from p4equity.inference.stacked import Array
from p4equity.inference.stationary import first_smallest

BEYOND = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # variance between systems, in units of a typical sampling variance
LEAST_TREATED = 3  # contracted systems from which the test keeps its level
ROUNDING = 1e-10  # share of its summands below which a sum counts as zero
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)  # of one system's measures, beyond sampling


def residual_permutation(
    regression: CovariateRegression, strata: NDArray[np.int64], *, conf_level: float, draws: int, seed: int
) -> PermutationResult:
    """Is the coefficient further from zero than dealing out the residuals of the model without it would give?

    strata: (S,) ints within which systems exchange; those with changes in other measures do not. draws: random permutations
    beside the observed order. The interval holds the constant effects that are not rejected. Two-sided. At 5% it rejects 4.1 to
    7.0% with five or three contracted systems beside seven, the most where shocks grow with size, and 7.1% over measures pooled
    (2,500 draws; the averaged t of `covariate` 3.6 to 5.9%): a second opinion, not the first. With fewer than three contracted
    systems it raises StudyError.
    """
    at = regression.inside
    few = len(np.unique(regression.system[at & regression.treated]))
    if 0 < few < LEAST_TREATED:
        raise StudyError(
            f"residuals are exchanged only with {LEAST_TREATED} contracted systems or more: {few}",
            fix="read the other inference of this question",
        )
    V = restricted_covariance(regression)
    W = np.linalg.inv(V[np.ix_(at, at)])
    X = regression.X[at]
    solved = np.linalg.solve(X.T @ W @ X, X.T @ W)
    line, projection = regression.contrast @ solved, np.asarray(W - W @ X @ solved)
    root = np.linalg.cholesky(V)
    whitened = np.linalg.solve(root, np.column_stack([regression.null, regression.y, regression.moved]))
    Z, values = whitened[:, :-2], whitened[:, -2:]
    residuals = values - Z @ (np.linalg.pinv(Z) @ values)
    order = _exchanged(regression, strata, residuals, draws, seed)
    dealt: list[Array] = [root[at] @ residuals[order, column].T for column in (0, 1)]  # (n, draws): the outcome, a unit of effect
    y, unit = regression.y[at], regression.moved[at]
    observed, many = _law(line, projection, y[:, None], unit[:, None]), _law(line, projection, *dealt)

    def p_value(theta: float) -> float:
        return float((1 + (many(theta) >= observed(theta)[0] * (1 - 2 * TIE)).sum()) / (draws + 1))

    estimate, p = float(line @ y), p_value(0.0)
    error = float(np.sqrt(np.diag(regression.sampling)[at].max()))
    floor, spread = 1 / (draws + 1), 2 * (float(np.ptp(y)) + error) / max(float(np.ptp(unit)), 1e-12) + 1e-12
    low, high = invert(p_value, estimate, spread, 1 - conf_level, floor)
    statistic = float(np.sign(estimate) * np.sqrt(observed(0.0)[0]))
    monte_carlo = float(np.sqrt(p * (1 - p) / draws))
    return PermutationResult(estimate, statistic, p, low, high, floor, draws + 1, True, monte_carlo, draws)


def _law(line: Array, projection: Array, y: Array, unit: Array) -> Callable[[float], Array]:
    """theta -> squared statistic of each column of y - theta * unit: quadratics in theta, made once.

    What rounding leaves of a unit that the regressors hold counts as nothing: it would end the interval at some large theta,
    another one on each processor, where there is no end.
    """
    a, b = line @ y, line @ unit
    py, pu = projection @ y, projection @ unit
    pu = np.where(np.abs(pu) > ROUNDING * (np.abs(projection) @ np.abs(unit)), pu, 0.0)
    yy, yu, uu = (y * py).sum(axis=0), (y * pu).sum(axis=0), (unit * pu).sum(axis=0)

    def squared(theta: float) -> Array:
        rest = np.maximum(yy - 2 * theta * yu + theta**2 * uu, 1e-300)
        return np.asarray((a - theta * b) ** 2 / rest)

    return squared


def restricted_covariance(regression: CovariateRegression) -> Array:
    """(N, N) covariance of all cells: sampling, and the spread between systems that is likeliest (restricted) on a grid."""
    at = regression.inside
    y, X, sampling = regression.y[at], regression.X[at], regression.sampling
    same = (regression.system[:, None] == regression.system).astype(float)
    size = float(np.exp(np.log(np.diag(sampling)[at]).mean()))
    several = bool((same - np.eye(len(same))).any())
    points = [(share * size, r) for share in BEYOND for r in (CORRELATIONS if several and share else CORRELATIONS[:1])]
    covariances = [sampling + tau2 * (r * same + (1 - r) * np.eye(len(same))) for tau2, r in points]
    deviances = []
    for V in covariances:
        own = V[np.ix_(at, at)]
        W = np.linalg.inv(own)
        A = X.T @ W @ X
        rest = y - X @ np.linalg.solve(A, X.T @ W @ y)
        deviances.append(float(np.linalg.slogdet(own)[1] + np.linalg.slogdet(A)[1] + rest @ W @ rest))
    return np.asarray(covariances[int(first_smallest(np.array(deviances)))])


def _exchanged(
    regression: CovariateRegression, strata: NDArray[np.int64], residuals: Array, draws: int, seed: int
) -> NDArray[np.int64]:
    """(draws, N) position whose residual each cell gets: whole systems change places, within strata and sets of measures.

    Systems are drawn in the order of their residuals, so that no renaming changes the draws.
    """
    rng = np.random.default_rng(seed)
    order = np.tile(np.arange(len(residuals)), (draws, 1))
    cells = {int(s): np.flatnonzero(regression.system == s) for s in np.unique(regression.system)}
    sets: dict[tuple[int, ...], list[int]] = {}
    for s, own in cells.items():
        sets.setdefault((int(strata[s]), *regression.measure[own].tolist()), []).append(s)
    for _, members in sorted(sets.items()):
        own = np.array([cells[s] for s in members])
        own = own[order_of_units(np.hstack([residuals[own, 0], residuals[own, 1]]))]
        drawn = np.argsort(rng.random((draws, len(members))), axis=1)
        order[:, own.ravel()] = own[drawn].reshape(draws, -1)
    return order

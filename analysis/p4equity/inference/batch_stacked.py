"""Tests of the pooled question for many outcomes at once, vectorized over draws for a fixed design.

Variance and correlation of the random effects are chosen by restricted likelihood from a fixed grid, not to the last digit: what
does not depend on the outcome is then computed once a point of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.inference.permutation import TIE
from p4equity.inference.quadratic import quadratic_forms
from p4equity.inference.stacked import Array, Flags, Stacked, observed_problem, random_covariance
from p4equity.inference.stacked_permutation import assignment_lines, contract_patterns
from p4equity.inference.stationary import first_smallest

SHARES = np.geomspace(0.005, 200.0, 40)  # variances of the grid, over the mean sampling variance
CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
NULL_SHARES, NULL_CORRELATIONS = np.geomspace(0.02, 100.0, 14), (0.0, 0.4, 0.8)  # weights of a permutation: size needs no more
BLOCK = 250  # draws whose statistics are held at once


@dataclass(frozen=True)
class LikelihoodGrid:
    """Generalized least squares of cells on X at each point of a grid of variance parameters.

    tau2, correlation: (K,). projections: (K, N, N), residual sum of squares = y' P y. constants: (K,) log determinants.
    lines: (K, N) weights of the estimate. unit: (K,) its variance.
    """

    tau2: Array
    correlation: Array
    projections: Array
    constants: Array
    lines: Array
    unit: Array

    def squares(self, Y: Array) -> Array:
        """(R, K) weighted residual sums of squares of outcomes (R, N)."""
        return quadratic_forms(Y, self.projections)

    def best(self, Y: Array) -> tuple[NDArray[np.intp], Array]:
        """(R,) points of the highest restricted likelihood, and (R,) their residual sums of squares."""
        squares = np.concatenate([self.squares(Y[i : i + BLOCK]) for i in range(0, len(Y), BLOCK)])
        at = first_smallest(squares + self.constants)
        return at, squares[np.arange(len(Y)), at]


def likelihood_grid(
    X: Array, contrast: Array, sampling: Array, unit: NDArray[np.int64], shares: Array, correlations: tuple[float, ...]
) -> LikelihoodGrid:
    """The grid for a regression on X (N, p) of cells with sampling covariance (N, N); unit: (N,) system of each cell."""
    same = (unit[:, None] == unit).astype(float)
    several = bool((same - np.eye(len(X))).any())
    size = float(np.diag(sampling).mean())
    points = [(0.0, 0.0)] + [(float(s) * size, r) for s in shares for r in (correlations if several else correlations[:1])]
    V = np.stack([sampling + t * (r * same + (1 - r) * np.eye(len(X))) for t, r in points])
    W = np.linalg.inv(V)
    WX = W @ X
    A = X.T @ WX
    inverse = np.linalg.inv(A)
    lines = (WX @ (inverse @ contrast)[..., None])[..., 0]
    constants = np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1]
    tau2, correlation = np.array(points).T
    projections = W - WX @ inverse @ WX.transpose(0, 2, 1)
    return LikelihoodGrid(tau2, correlation, projections, constants, lines, contrast @ inverse @ contrast)


@dataclass(frozen=True)
class Regressors:
    """`stacked_meta_regression` by cells: X (N, p), contrast (p,), sampling (N, N), system of each (N,), mask (S, M)."""

    X: Array
    contrast: Array
    sampling: Array
    system: NDArray[np.int64]
    mask: Flags

    @property
    def df(self) -> int:
        """Degrees of freedom: systems less two."""
        return int(np.unique(self.system).size) - 2

    @property
    def residual(self) -> int:
        """Cells less coefficients."""
        return int(self.X.shape[0] - self.X.shape[1])


def regressors(data: Stacked) -> Regressors:
    """An intercept and an effect a measure; the contrast is the pooled effect. Raises StudyError when an arm is empty."""
    problem = observed_problem(data)
    system, measure = np.nonzero(problem.mask)
    m, cells = problem.mask.shape[1], np.arange(len(system))
    X = np.zeros((len(system), 2 * m))
    X[cells, measure], X[cells, m + measure] = 1.0, problem.rows[system, measure]
    used = np.asarray(X.any(axis=0), bool)
    contrast = np.concatenate([np.zeros(m), data.measure_weights])[used]
    return Regressors(X[:, used], contrast, cell_covariance(data, problem.mask), system.astype(np.int64), problem.mask)


def cell_covariance(data: Stacked, mask: Flags) -> Array:
    """(N, N) sampling covariance of the cells in `mask` (S, M), zero between systems."""
    system, measure = np.nonzero(mask)
    within = data.covariance[system[:, None], measure[:, None], measure]
    return np.where(system[:, None] == system, within, 0.0)


def stacked_knapp_hartung(Y: Array, data: Stacked) -> tuple[Array, Array]:
    """(R,) estimates and p values of `stacked_meta_regression` for outcomes Y (R, S, M), NaN p where no error is left."""
    own = regressors(data)
    grid = likelihood_grid(own.X, own.contrast, own.sampling, own.system, SHARES, CORRELATIONS)
    cells = Y[:, own.mask]
    at, squares = grid.best(cells)
    estimates = np.einsum("rn,rn->r", cells, grid.lines[at])
    error = np.sqrt(np.maximum(squares, 0.0) / max(own.residual, 1) * grid.unit[at])
    z = np.divide(estimates, error, out=np.full_like(estimates, np.nan), where=(error > 0) & (own.residual > 0))
    return estimates, np.asarray(2 * stats.t.sf(np.abs(z), own.df))


@dataclass
class StackedPermutation:
    """Permutation tests of the pooled question for many outcomes, over one table of assignments (A, S) of contract rows.

    table: entries are positions in `contract_patterns(data.contracts)`. What depends on the null weights is kept by their point.
    """

    data: Stacked
    table: NDArray[np.int64]
    _known: dict[int, tuple[Array, Array]] = field(default_factory=dict)

    @cached_property
    def grid(self) -> LikelihoodGrid:
        """Fits without effects over every cell with a change."""
        system, measure = np.nonzero(self.data.present)
        X = np.zeros((len(system), self.data.y.shape[1]))
        X[np.arange(len(system)), measure] = 1.0
        used = np.asarray(X.any(axis=0), bool)
        sampling = cell_covariance(self.data, self.data.present)
        return likelihood_grid(X[:, used], np.zeros(int(used.sum())), sampling, system, NULL_SHARES, NULL_CORRELATIONS)

    def _weights(self, point: int) -> tuple[Array, Array]:
        """(A, N) weights of the standardized statistics at one point of the grid, and (A,) the effects' standard errors."""
        if point not in self._known:
            between = random_covariance(self.data.y.shape[1], float(self.grid.tau2[point]), float(self.grid.correlation[point]))
            patterns = contract_patterns(self.data.contracts)[0]
            lines, errors = assignment_lines(self.data, patterns, self.table, self.data.covariance + between)
            self._known[point] = lines[:, self.data.present] / errors[:, None], errors
        return self._known[point]

    def __call__(self, Y: Array, observed: int) -> tuple[Array, Array]:
        """(R,) estimates and p values of outcomes (R, S, M); observed: row of the table. NaN where it is not identified."""
        cells = Y[:, self.data.present]
        points = self.grid.best(cells)[0]
        estimates, p = np.full(len(Y), np.nan), np.full(len(Y), np.nan)
        for point in np.unique(points):
            rows = np.flatnonzero(points == point)
            lines, errors = self._weights(int(point))
            usable = np.asarray(np.isfinite(lines).all(axis=1), bool)
            if not usable[observed]:
                continue
            for start in range(0, len(rows), BLOCK):
                at = rows[start : start + BLOCK]
                own = cells[at] @ lines[observed]
                sizes = np.abs(cells[at] @ lines[usable].T)
                estimates[at] = own * errors[observed]
                p[at] = (sizes >= np.abs(own)[:, None] * (1 - TIE)).mean(axis=1)
        return estimates, p

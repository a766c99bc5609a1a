"""Pooled question over measures: stacked system rows, generalized least squares with one effect a measure, averaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from p4equity.errors import StudyError
from p4equity.inference.random_effects import RandomEffectsFit, t_answer
from p4equity.inference.stationary import first_smallest, stationary

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
CORRELATIONS = (0.0, 0.3, 0.6)  # starting values
HIGHEST_CORRELATION = 0.95


@dataclass(frozen=True)
class Stacked:
    """Changes of systems by measure, and who is contracted on what.

    y: (S, M) changes, NaN where a system has none. contracts: (S, M) bool. covariance: (S, M, M) sampling covariance of a
    system's changes, which carries the shared reference group and the members that measures share. strata: (S,) ints.
    cell_weights: (S, M) registered weights of contracted cells in the pooled effect; equal when not given.
    A contracted system counts only in its contracted measures: its other cells leave both arms.
    """

    y: Array
    contracts: Flags
    covariance: Array
    strata: NDArray[np.int64]
    cell_weights: Array | None = field(default=None)

    @cached_property
    def present(self) -> Flags:
        """(S, M): cells with a change."""
        return np.isfinite(self.y)

    def included(self, contracts: Flags) -> Flags:
        """(S, M): cells that enter under an assignment of contract rows."""
        return np.asarray(self.present & (contracts | ~contracts.any(axis=1, keepdims=True)))

    @cached_property
    def measure_weights(self) -> Array:
        """(M,) share of each measure in the pooled effect: its contracted cells with a change, where a comparison has one too.

        Raises StudyError when an arm is empty.
        """
        check_arms(self)
        mask = self.included(self.contracts)
        weights = np.ones_like(self.y) if self.cell_weights is None else self.cell_weights
        cells = np.where(mask & self.contracts, weights, 0.0).sum(axis=0)
        cells = np.where((mask & ~self.contracts).any(axis=0), cells, 0.0)
        if not cells.sum() > 0:
            raise StudyError("no measure with a change in both arms", fix="check contracts, arms and the minimum denominator")
        return np.asarray(cells / cells.sum())

    @property
    def estimable(self) -> bool:
        """Whether both arms have changes on a measure, over three systems or more."""
        if len(self.y) < 3:
            return False
        try:
            return bool(self.measure_weights.any())
        except StudyError:
            return False


def check_arms(data: Stacked) -> None:
    """Raise StudyError when no contracted or no comparison system is left."""
    treated = data.contracts.any(axis=1)
    if not treated.any() or treated.all():
        arm = "contracted" if not treated.any() else "comparison"
        raise StudyError(f"no {arm} system left for the pooled question", fix="check contracts and arms in systems.toml")


def random_covariance(size: int, tau2: float, correlation: float) -> Array:
    """Between-system covariance of the changes in `size` measures: variance tau2, equal correlation between measures."""
    between: Array = tau2 * ((1 - correlation) * np.eye(size) + correlation * np.ones((size, size)))
    return between


def precision(V: Array, mask: Flags) -> tuple[Array, Array]:
    """(S, M, M) inverse of each system's covariance over its included cells, zero elsewhere; (S,) log determinants."""
    both = mask[:, :, None] & mask[:, None, :]
    padded = np.where(both, V, np.eye(mask.shape[1]))
    return np.where(both, np.linalg.inv(padded), 0.0), np.linalg.slogdet(padded)[1]


def normal_equations(W: Array, contracts: Flags, y: Array) -> tuple[Array, Array]:
    """(S, 2M, 2M) X'WX and (S, 2M) X'Wy of each system: an intercept and an effect a measure, effects where contracted."""
    wy = np.einsum("smn,sn->sm", W, y)
    d = contracts.astype(float)
    top = np.concatenate([W, W * d[:, None, :]], axis=2)
    bottom = np.concatenate([W * d[:, :, None], W * d[:, :, None] * d[:, None, :]], axis=2)
    return np.concatenate([top, bottom], axis=1), np.concatenate([wy, d * wy], axis=1)


def with_empty_columns(A: Array) -> Array:
    """Normal equations in which a column without any cell has a one on the diagonal, so that the others can be solved."""
    return A + np.diag((np.diag(A) == 0).astype(float))


@dataclass(frozen=True)
class _Problem:
    """What a fit needs: values with zeros for cells that do not enter, who is included, and who is treated (null: nobody)."""

    y: Array
    mask: Flags
    rows: Flags
    covariance: Array

    def solve(self, tau2: float, correlation: float) -> tuple[Array, Array, Array, float, float]:
        """A, b, W, y'Wy and log|V| at these variance parameters."""
        W, logdet = precision(self.covariance + random_covariance(self.y.shape[1], tau2, correlation), self.mask)
        A, b = normal_equations(W, self.rows, self.y)
        return with_empty_columns(A.sum(axis=0)), b.sum(axis=0), W, float(np.einsum("sm,smn,sn", self.y, W, self.y)), logdet.sum()

    def deviance(self, tau2: float, correlation: float) -> float:
        """-2 log restricted likelihood, up to a constant."""
        A, b, _, yy, logdet = self.solve(tau2, correlation)
        return float(logdet + np.linalg.slogdet(A)[1] + yy - b @ np.linalg.solve(A, b))

    def slopes(self, tau2: float, correlation: float) -> Array:
        """(2,) derivatives of the deviance by tau2 and by the correlation: tr(P dV) - (W r)' dV (W r) for each."""
        A, b, W, _, _ = self.solve(tau2, correlation)
        size = self.y.shape[1]
        columns = np.concatenate([W, W * self.rows[:, None, :]], axis=2)  # (S, M, 2M) W X
        weighted = np.einsum("smn,sn->sm", W, self.y) - columns @ np.linalg.solve(A, b)  # (S, M) W r
        directions = (random_covariance(size, 1.0, correlation), tau2 * (np.ones((size, size)) - np.eye(size)))
        inverse = np.linalg.inv(A)
        return np.array([
            np.einsum("smn,mn->", W, D)
            - np.einsum("ij,smi,mn,snj->", inverse, columns, D, columns, optimize=True)
            - np.einsum("sm,mn,sn->", weighted, D, weighted)
            for D in directions
        ])  # fmt: skip


def restricted_likelihood(problem: _Problem) -> tuple[float, float]:
    """REML estimate of (tau2, correlation); tau2 = 0 where nothing beats it.

    A coarse grid, L-BFGS-B from its best point, then the root of the slopes next to what that finds: a search of the deviance
    alone knows its place to half the digits, and the rest is rounding, which differs between processors.
    """
    values = problem.y[problem.mask]
    scale = (float(values.var()) if len(values) else 0.0) + 1e-12
    single = problem.y.shape[1] == 1
    starts = [(t, r) for t in (0.02, 0.1, 0.3, 1.0) for r in (CORRELATIONS[:1] if single else CORRELATIONS)]
    start = starts[int(first_smallest(np.array([problem.deviance(t * scale, r) for t, r in starts])))]
    bounds = np.array([(0.0, 1e3), (0.0, 0.0 if single else HIGHEST_CORRELATION)])
    unit = np.array([scale, 1.0])

    def deviance(at: Array) -> float:
        return problem.deviance(*(at * unit))

    def slopes(at: Array) -> Array:
        return np.asarray(problem.slopes(*(at * unit)) * unit)

    near = optimize.minimize(deviance, start, jac=slopes, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-7})
    at = stationary(slopes, near.x, bounds)
    tau2, correlation = (at if deviance(at) <= deviance(near.x) + 1e-9 else near.x) * unit
    if tau2 == 0 or problem.deviance(0.0, 0.0) <= problem.deviance(tau2, correlation) + 1e-9:
        return 0.0, 0.0
    return float(tau2), float(correlation)


def observed_problem(data: Stacked) -> _Problem:
    """The pooled regression under the observed contracts; measures without both arms stay out."""
    mask = data.included(data.contracts) & (data.measure_weights > 0)
    return _Problem(np.where(mask, data.y, 0.0), mask, data.contracts & mask, data.covariance)


def null_problem(data: Stacked, shift: float) -> _Problem:
    """Every cell with a change, without effects, after taking a constant effect `shift` from contracted cells."""
    y = np.where(data.present, data.y - shift * data.contracts, 0.0)
    return _Problem(y, data.present, np.zeros_like(data.contracts), data.covariance)


@dataclass(frozen=True)
class StackedFit(RandomEffectsFit):
    """A pooled answer; `weights` are (S, M) with estimate = sum(weights * y). correlation: between a system's measures."""

    correlation: float = 0.0


def stacked_meta_regression(data: Stacked, conf_level: float = 0.95) -> StackedFit:
    """Mean effect over contracted system x measure cells with the registered cell weights.

    Generalized least squares with an intercept and an effect for each measure; the pooled effect is the average of the measures'
    effects, each weighted by its contracted cells, so that no measure counts more because it is measured better. Random effects
    with variance tau2 and an equal correlation between a system's measures, by restricted maximum likelihood; Knapp-Hartung
    scale; t with S - 2 degrees of freedom, which count systems, not cells. Raises StudyError when an arm is empty.
    """
    problem = observed_problem(data)
    tau2, correlation = restricted_likelihood(problem)
    A, b, W, yy, _ = problem.solve(tau2, correlation)
    contrast = np.concatenate([np.zeros(len(data.measure_weights)), data.measure_weights])
    direction = np.linalg.solve(A, contrast)
    columns = int((problem.mask.any(axis=0)).sum() + (problem.rows.any(axis=0)).sum())
    residual = int(problem.mask.sum()) - columns
    if residual < 1:
        raise StudyError(
            "too few cells for the pooled regression", expected=f"more than {columns} cells", found=str(problem.mask.sum())
        )
    q = max(yy - float(b @ np.linalg.solve(A, b)), 0.0) / residual
    weights = _linear_weights(W, problem.rows, direction)
    df = int(problem.mask.any(axis=1).sum()) - 2
    estimate, error = float((weights * problem.y).sum()), float(np.sqrt(q * contrast @ direction))
    return _stacked(t_answer(estimate, error, df, tau2, q, weights, conf_level), correlation)


def _stacked(fit: RandomEffectsFit, correlation: float) -> StackedFit:
    return StackedFit(**vars(fit), correlation=correlation)


def _linear_weights(W: Array, rows: Flags, direction: Array) -> Array:
    m = W.shape[1]
    return np.asarray(np.einsum("smn,sn->sm", W, direction[:m] + rows * direction[m:]))


def stacked_standard_error(data: Stacked, tau2: float, correlation: float = 0.0) -> float:
    """Standard error of the pooled effect, given the between-system variance and correlation."""
    A = observed_problem(data).solve(tau2, correlation)[0]
    contrast = np.concatenate([np.zeros(len(data.measure_weights)), data.measure_weights])
    return float(np.sqrt(contrast @ np.linalg.solve(A, contrast)))


def stacked_component(data: Stacked, weights: Array, conf_level: float = 0.95) -> StackedFit:
    """The pooled weights applied to another outcome of the same cells (reference or group), with its own variance and q."""
    own = stacked_meta_regression(data, conf_level)
    mask = weights != 0
    between = random_covariance(data.y.shape[1], own.tau2, own.correlation)
    variance = float(np.einsum("sm,smn,sn", weights, data.covariance + between, weights))
    estimate = float((weights * np.where(mask, data.y, 0.0)).sum())
    fit = t_answer(estimate, float(np.sqrt(own.q * variance)), own.df, own.tau2, own.q, weights, conf_level)
    return _stacked(fit, own.correlation)

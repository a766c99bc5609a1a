"""A t test averaged over patterns of variance: for few units of unequal size, some of them treated.

How precise a unit's change is depends on two unknowns: how much units differ beyond sampling, and whether that depends on
their size or on treatment. Estimating them from a dozen units and then taking them as known makes a test reject too often
where the pattern is misjudged. Here each of a fixed list of patterns gives its own generalized least squares estimate and its
own exact t distribution; the data weigh the patterns by their restricted likelihood, and the answer is the weighted mixture.

The overall scale of the variances is never taken from outside, so that sampling variances which are all half or twice the true
ones change nothing; only their ratios enter. Averaged over the prior of the patterns the rejection rate is exact, for any number
of units: posterior intervals under the right-invariant prior of location and scale have their confidence level (Severini,
Mukerjee and Ghosh 2002, Biometrika 89:952). The weights of the patterns were chosen so that the rates pattern by pattern stay
close to that average over the grid of tests/recovery/decision.csv; they are the same for every study and depend on no outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from p4equity.errors import StudyError
from p4equity.inference.quadratic import quadratic_forms
from p4equity.inference.random_effects import RandomEffectsFit, check_inputs
from p4equity.inference.stacked import Stacked, observed_problem

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Variance of a change beside its sampling variance, in units of a typical sampling variance: how large it is, whether it grows
# with a unit's size (1: in proportion; 0: the same for all), and the prior weight.
SHAPES = ((0.0, 0, 0.58), (10.0, 0, 0.06), (30.0, 0, 0.06), (1.0, 1, 0.20), (3.0, 1, 0.08), (10.0, 1, 0.02))
# Variance of treated units over that of others of the same size, as logarithm: about normal with standard deviation 0.75.
RATIO = ((-1.2, 0.14), (-0.6, 0.21), (0.0, 0.30), (0.6, 0.21), (1.2, 0.14))
# The same where effects are expected to differ between treated units: only upward, and far.
RATIO_VARYING = ((0.0, 0.30), (0.7, 0.20), (1.4, 0.20), (2.1, 0.15), (2.8, 0.15))
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)  # of one unit's changes in several measures, beyond sampling; equally likely
NO_FIT = 1e-24  # residual sum of squares over total below which nothing is left to estimate a variance from


@dataclass(frozen=True)
class Mixture:
    """K estimates (R, K) with their standard errors (R, K) and weights (R, K) for R outcomes, each with a t of `df`."""

    estimates: Array
    errors: Array
    weights: Array
    df: int

    def below(self, value: Array | float) -> Array:
        """(R,) weight of the mixture below a value; one mixture takes several values."""
        z = (np.asarray(value, float).reshape(-1, 1) - self.estimates) / self.errors
        return np.asarray((self.weights * special.stdtr(self.df, z)).sum(axis=1))

    @property
    def p_values(self) -> Array:
        """(R,) two-sided p of a zero effect."""
        low = self.below(0.0)
        return np.asarray(np.minimum(2 * np.minimum(low, 1 - low), 1.0))

    def quantile(self, probability: Array | float) -> Array:
        """(R,) quantiles, by bisection between the extreme quantiles of the parts; of one mixture, several."""
        wanted = np.atleast_1d(np.asarray(probability, float))
        ends = self.estimates + special.stdtrit(self.df, wanted)[:, None] * self.errors
        low, high = ends.min(axis=1), ends.max(axis=1)
        for _ in range(60):
            middle = (low + high) / 2
            under = self.below(middle) < wanted
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray((low + high) / 2)


@dataclass(frozen=True)
class AveragedDesign:
    """All that does not depend on the outcomes, one entry a pattern.

    lines: (K, N) linear weights of the estimate. projections: (K, N, N), residual sum of squares = y' P y. unit: (K,) variance of
    the estimate at scale one. V: (K, N, N). evidence: (K,) log prior and determinants. residual: cells less coefficients, the
    degrees of freedom of the t: what a unit's cells share is part of the pattern. residuals: (N, N) unweighted residuals of an
    outcome on the regressors; taking them first keeps the digits of small residuals.
    """

    lines: Array
    projections: Array
    unit: Array
    V: Array
    evidence: Array
    residual: int
    residuals: Array

    def _squares(self, Y: Array) -> Array:
        rest = Y @ self.residuals
        if len(rest) > 1:  # many at once: one matrix product
            return np.maximum(quadratic_forms(rest, self.projections), 0.0)
        return np.asarray(np.maximum(np.einsum("ri,kij,rj->rk", rest, self.projections, rest, optimize=True), 0.0))

    def varies(self, y: Array) -> bool:
        """Whether an outcome (N,) leaves residuals to estimate a variance from."""
        rest = self.residuals @ y
        return float(rest @ rest) > NO_FIT * float(y @ y)

    def _weights(self, squares: Array) -> Array:
        log = self.evidence - self.residual / 2 * np.log(np.maximum(squares, np.finfo(float).tiny))
        weights = np.exp(log - log.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def mixture(self, Y: Array) -> Mixture:
        """The mixtures of R outcomes (R, N)."""
        squares = self._squares(Y)
        return Mixture(Y @ self.lines.T, np.sqrt(squares / self.residual * self.unit), self._weights(squares), self.residual)

    def along(self, Y: Array, line: Array) -> Mixture:
        """The same for one fixed linear combination (N,) of the outcomes instead of each pattern's own estimate."""
        squares = self._squares(Y)
        unit = np.einsum("i,kij,j->k", line, self.V, line)
        centre = np.repeat((Y @ line)[:, None], len(unit), axis=1)
        return Mixture(centre, np.sqrt(squares / self.residual * unit), self._weights(squares), self.residual)


def averaged_design(
    X: Array, contrast: Array, sampling: Array, unit: NDArray[np.int64], treated: Flags, *, varying: bool = False
) -> AveragedDesign:
    """Patterns for a regression on X (N, p) and the effect `contrast` (p,).

    sampling: (N, N) sampling covariance of the cells, zero between units. unit: (N,) position of each cell's unit.
    treated: (N,) cells of treated units. Raises StudyError when no cell is left over.
    """
    residual, units = len(X) - X.shape[1], len(np.unique(unit))
    if residual < 1 or units < 3:
        raise StudyError("too few units for a t test", expected="more cells than coefficients, three units or more",
                         found=f"{len(X)} cells of {units} units, {X.shape[1]} coefficients")  # fmt: skip
    V, log_prior = _patterns(sampling, unit, treated, varying)
    W = np.linalg.inv(V)
    WX = W @ X
    A = X.T @ WX
    inverse = np.linalg.inv(A)
    lines = (WX @ (inverse @ contrast)[..., None])[..., 0]
    projections = W - WX @ inverse @ WX.transpose(0, 2, 1)
    evidence = log_prior - (np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1]) / 2
    own = np.eye(len(X)) - X @ np.linalg.pinv(X)
    return AveragedDesign(lines, projections, contrast @ inverse @ contrast, V, evidence, residual, own)


def _patterns(sampling: Array, unit: NDArray[np.int64], treated: Flags, varying: bool) -> tuple[Array, Array]:
    """Covariances (K, N, N) of all patterns, up to their common scale, and their log prior weights (K,)."""
    v = np.diag(sampling)
    size = np.exp(np.log(v).mean())
    same = (unit[:, None] == unit).astype(float)
    several = bool((same - np.eye(len(v))).any())
    diagonal = np.eye(len(v))
    found, prior = [], []
    for r in CORRELATIONS if several else CORRELATIONS[:1]:
        common = r * same + (1 - r) * diagonal
        for beyond, growth, p in SHAPES:
            spread = (size / v) ** (growth / 2)
            shape = sampling / size + beyond * common * np.outer(spread, spread)
            for log_ratio, share in RATIO_VARYING if varying else RATIO:
                root = np.where(treated, np.exp(log_ratio / 2), 1.0)
                found.append(shape * np.outer(root, root))
                prior.append(p * share)
    return np.stack(found), np.log(np.array(prior) / np.sum(prior))


@dataclass(frozen=True)
class AveragedFit(RandomEffectsFit):
    """An averaged answer: tau2 and q are not defined here (NaN); std_error: standard deviation of the mixture's normal parts."""


def averaged_t(
    y: Array, treated: Flags, sampling_variance: Array, *, conf_level: float = 0.95, varying: bool = False
) -> AveragedFit:
    """Mean change of treated units beyond that of comparison units, weighted and tested under averaged patterns of variance.

    y: (n,) changes. treated: (n,) bool. sampling_variance: (n,) of `y`, up to a common factor. varying: the null is that effects
    average zero while they may differ between treated units, instead of no effect in any (or the same in all): wider.
    The estimate is the mixture's mean, the interval its quantiles, p twice its smaller tail beyond zero; each part is a t with
    n - 2 degrees of freedom. It controls the null of no effect (and intervals cover a constant effect): at 5% it rejects 3.4 to
    5.9% with five treated of 12 or 20 and 2.5 to 6.7% with three, the most where shocks grow with size and the largest are
    treated. Where effects average zero but differ by 2 points, 5.1 to 14%: there `varying` controls the null, at 1.4 to 7.1%
    and a loss of power (tests/recovery/decision.csv). Raises StudyError when an arm is empty or n < 3.
    """
    y, v, arm = np.asarray(y, float), np.asarray(sampling_variance, float), np.asarray(treated, bool)
    check_inputs(y, arm, v)
    return answer(single_design(v, arm, varying), y, conf_level)


def single_design(v: Array, treated: Flags, varying: bool = False) -> AveragedDesign:
    """The design of a comparison of two arms, one change a unit; kept, since outcomes of one question share it."""
    return _single(tuple(v.tolist()), tuple(treated.tolist()), varying)


@lru_cache(maxsize=64)
def _single(v: tuple[float, ...], treated: tuple[bool, ...], varying: bool) -> AveragedDesign:
    arm = np.array(treated)
    X = np.column_stack([np.ones(len(v)), arm.astype(float)])
    return averaged_design(X, np.array([0.0, 1.0]), np.diag(v), np.arange(len(v)), arm, varying=varying)


def answer(design: AveragedDesign, y: Array, conf_level: float, line: Array | None = None) -> AveragedFit:
    """The answer for one outcome (N,); `line`: linear weights of another outcome's answer, to apply to this one."""
    nan = float("nan")
    if not design.varies(y):
        weights = design.lines.mean(axis=0) if line is None else line
        return AveragedFit(float(weights @ y), 0.0, nan, nan, nan, nan, design.residual, nan, nan, weights)
    mixture = design.mixture(y[None, :]) if line is None else design.along(y[None, :], line)
    weights = mixture.weights[0] @ design.lines if line is None else line
    estimate = float(weights @ y)
    centre, errors = mixture.estimates[0] - estimate, mixture.errors[0]
    error = float(np.sqrt(mixture.weights[0] @ (errors**2 + centre**2)))
    low, high = (float(x) for x in mixture.quantile(np.array([(1 - conf_level) / 2, (1 + conf_level) / 2])))
    return AveragedFit(estimate, error, nan, float(mixture.p_values[0]), low, high, design.residual, nan, nan, weights)


def averaged_component(
    y: Array, treated: Flags, sampling_variance: Array, weights: Array, *, conf_level: float, varying: bool = False
) -> AveragedFit:
    """The same weighted difference applied to another outcome of the same units (reference or group beside the gap).

    weights: (n,) of the gap's fit, so that gap = reference - group holds to rounding; the patterns are weighed by this outcome's
    own residuals and sampling variances.
    """
    return answer(single_design(np.asarray(sampling_variance, float), np.asarray(treated, bool), varying), y, conf_level, weights)


def stacked_design(data: Stacked, varying: bool = False) -> tuple[AveragedDesign, Flags]:
    """The design of the pooled question over measures (see `stacked`), and which cells (S, M) it uses.

    An intercept and an effect a measure, the pooled effect the average of effects with the registered cell weights; t with as
    many degrees of freedom as cells are left over. Raises StudyError when an arm is empty.
    """
    problem = observed_problem(data)
    mask = problem.mask
    m = mask.shape[1]
    system, measure = np.nonzero(mask)
    X = np.zeros((len(system), 2 * m))
    X[np.arange(len(system)), measure] = 1.0
    X[np.arange(len(system)), m + measure] = problem.rows[system, measure]
    contrast = np.concatenate([np.zeros(m), data.measure_weights])
    used = np.asarray(X.any(axis=0), bool)
    sampling = _sampling(data, system, measure)
    treated = np.asarray(data.contracts.any(axis=1), bool)[system]
    return averaged_design(X[:, used], contrast[used], sampling, system, treated, varying=varying), mask


def stacked_averaged_t(data: Stacked, conf_level: float = 0.95, varying: bool = False) -> AveragedFit:
    """Mean effect over contracted system x measure cells with the registered cell weights; `weights` are (S, M).

    Raises StudyError when an arm is empty or no cell is left over.
    """
    design, mask = stacked_design(data, varying)
    return _on_cells(answer(design, data.y[mask], conf_level), mask)


def stacked_averaged_component(data: Stacked, weights: Array, conf_level: float = 0.95, varying: bool = False) -> AveragedFit:
    """The pooled weights (S, M) applied to another outcome of the same cells (reference or group)."""
    design, mask = stacked_design(data, varying)
    return _on_cells(answer(design, data.y[mask], conf_level, weights[mask]), mask)


def _on_cells(fit: AveragedFit, mask: Flags) -> AveragedFit:
    weights = np.zeros(mask.shape)
    weights[mask] = fit.weights
    return replace(fit, weights=weights)


def _sampling(data: Stacked, system: NDArray[np.intp], measure: NDArray[np.intp]) -> Array:
    """(N, N) sampling covariance of the cells, zero between systems."""
    same = system[:, None] == system
    return np.where(same, data.covariance[system[:, None], measure[:, None], measure], 0.0)

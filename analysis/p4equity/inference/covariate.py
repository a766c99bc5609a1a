"""A pooled effect with one covariate of the systems in the model, and the change of gaps along that covariate.

With a dozen systems one covariate at a time is all that can be asked, so there is one column for it: in a question over several
measures they share one slope. It enters centred; without an interaction the effect is the same at every value of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import StudyError
from p4equity.inference.averaged_t import AveragedFit, answer, averaged_design
from p4equity.inference.stacked import Array, Flags, Stacked, observed_problem

LEAST_LEFT = 3  # systems beyond those that levels, effect and slope use up
SAME = 1e-9  # a covariate whose spread within arms is below this share of its spread has none


@dataclass(frozen=True)
class CovariateRegression:
    """One regression of changes on arms and a covariate, as arrays over the N cells (system x measure) with a change.

    pool: positions of all cells that obey the model under the null; inside: (N,) of them, those in the regression. X: (N, p)
    regressors, null: (N, q) those without the column asked about. contrast: (p,). moved: (N,) what a unit of the effect adds to a
    cell. sampling: (N, N). system, measure: (N,) positions. treated: (N,) cells of contracted systems. left: systems beyond
    coefficients.
    """

    y: Array
    X: Array
    null: Array
    contrast: Array
    moved: Array
    sampling: Array
    system: NDArray[np.int64]
    measure: NDArray[np.int64]
    treated: Flags
    inside: Flags


def effect_regression(data: Stacked, covariate: Array) -> CovariateRegression:
    """The question of the contract's effect at one and the same value of the covariate (S,).

    An intercept and an effect for each measure, one slope; the effect is the average over measures with the registered weights.
    Raises StudyError when an arm is empty, when too few systems are left, or when the covariate does not vary within arms.
    """
    problem = observed_problem(data)
    used = data.measure_weights > 0
    pool = data.present & used
    _check(_any(problem.mask), _any(data.contracts), covariate, coefficients=3)
    system, measure = np.nonzero(pool)
    levels, slope = _dummies(measure, used), (covariate - covariate[_any(problem.mask)].mean())[system][:, None]
    contracted = data.contracts[system, measure].astype(float)
    X = np.hstack([levels, levels * contracted[:, None], slope])
    contrast = np.concatenate([np.zeros(used.sum()), data.measure_weights[used], [0.0]])
    return _regression(data, pool, problem.mask, X, np.hstack([levels, slope]), contrast, contracted)


def slope_regression(data: Stacked, covariate: Array) -> CovariateRegression:
    """The question how much more the gap changes with each unit of the covariate among comparison systems.

    Raises StudyError when fewer than five are left, or when the covariate does not vary among them.
    """
    pool = data.present & ~data.contracts.any(axis=1, keepdims=True)
    used = _any(pool.T)
    _check(_any(pool), _any(data.contracts), covariate, coefficients=2)
    system, measure = np.nonzero(pool)
    levels, slope = _dummies(measure, used), covariate[system]
    X = np.hstack([levels, slope[:, None]])
    contrast = np.concatenate([np.zeros(levels.shape[1]), [1.0]])
    return _regression(data, pool, pool, X, levels, contrast, slope)


def interaction_regression(data: Stacked, covariate: Array) -> CovariateRegression:
    """The question how much more the effect is with each unit of the covariate: the slope of contracted less comparison systems.

    An intercept and an effect for each measure, one slope for each arm. Raises StudyError when too few systems are left, when
    fewer than three are contracted, or when the covariate does not vary within both arms.
    """
    problem = observed_problem(data)
    used = data.measure_weights > 0
    pool = data.present & used
    systems, treated = _any(problem.mask), _any(data.contracts)
    _check(systems, treated, covariate, coefficients=4)
    if (systems & treated).sum() < LEAST_LEFT or np.ptp(covariate[systems & treated]) == 0:
        raise StudyError(
            "too few contracted systems that differ in the covariate", expected=f"{LEAST_LEFT} or more",
            found=str(int((systems & treated).sum())), fix="ask the question without the interaction",
        )  # fmt: skip
    system, measure = np.nonzero(pool)
    levels, slope = _dummies(measure, used), (covariate - covariate[systems].mean())[system][:, None]
    contracted = data.contracts[system, measure].astype(float)[:, None]
    null = np.hstack([levels, levels * contracted, slope])
    contrast = np.concatenate([np.zeros(null.shape[1]), [1.0]])
    moved = slope * contracted
    return _regression(data, pool, problem.mask, np.hstack([null, moved]), null, contrast, moved[:, 0])


def covariate_answer(regression: CovariateRegression, conf_level: float) -> AveragedFit:
    """The answer by the t test averaged over patterns of variance; `weights` are those of the cells in the regression.

    At 5% it rejects 3.6 to 5.9% with five or three contracted systems beside seven, and up to 9.5% with two where shocks grow
    with size (2,500 draws).
    """
    at = regression.inside
    design = averaged_design(
        regression.X[at], regression.contrast, regression.sampling[np.ix_(at, at)], regression.system[at], regression.treated[at]
    )
    return answer(design, regression.y[at], conf_level)


def _any(flags: Flags) -> Flags:
    """Rows with any."""
    return np.asarray(flags.any(axis=1), bool)


def _dummies(measure: NDArray[np.int64], used: Flags) -> Array:
    return np.asarray(measure[:, None] == np.flatnonzero(used), float)


def _check(systems: Flags, treated: Flags, covariate: Array, *, coefficients: int) -> None:
    """coefficients: of a single measure; two are those of comparison systems alone."""
    if systems.sum() - coefficients < LEAST_LEFT:
        raise StudyError(
            f"too few systems for a covariate: {int(systems.sum())}, and {coefficients + LEAST_LEFT} are needed",
            fix="ask the question without it",
        )
    spread = float(np.ptp(covariate[systems]))
    arms = [covariate[systems & treated], covariate[systems & ~treated]] if coefficients > 2 else [covariate[systems]]
    if not any(len(arm) and np.ptp(arm) > SAME * spread for arm in arms) or spread == 0:
        raise StudyError("the covariate does not vary within arms", fix="ask the question without it")


def _regression(
    data: Stacked, pool: Flags, mask: Flags, X: Array, null: Array, contrast: Array, moved: Array
) -> CovariateRegression:
    system, measure = np.nonzero(pool)
    same = system[:, None] == system
    sampling = np.where(same, data.covariance[system[:, None], measure[:, None], measure], 0.0)
    treated = _any(data.contracts)[system]
    y = data.y[system, measure]
    return CovariateRegression(y, X, null, contrast, moved, sampling, system, measure, treated, mask[system, measure])

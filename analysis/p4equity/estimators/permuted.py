"""How a regression answers by permutation: of unit changes where that is the same question, else of dates, by refitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from p4equity.estimators.base import Answer, Array, Request, Term, finite
from p4equity.estimators.linear import LinearEstimate
from p4equity.estimators.reassigned import Reassigned
from p4equity.inference.permutation import PermutationResult, permutation_test
from p4equity.inference.reassignment import LIMIT, reassignment_test

FEW_PERMUTED = 6  # treated units up to which the warning on exchangeability is given
EXCHANGEABLE = "where the treated are smaller, and so noisier, than the others it rejects too often, where larger too rarely"
FEW = f"permutation takes units for exchangeable: {EXCHANGEABLE}"
ALIKE = "all units changed alike: every assignment gives the same difference"
STANDARDIZED = "the standardized permutation needs sampling errors: use meta_regression with sampling_se"
ALONE = "the studentized permutation needs two treated and two comparison units"
ONE = "no other assignment is admissible: there is nothing to compare with"


def permutation(estimate: LinearEstimate, term: Term, contrast: Array, b: float, inference: str, request: Request) -> Answer:
    """One term by permutation. contrast: (K,) over the term's own regressors."""
    if inference == "permutation_standardized":
        return Answer(reason=STANDARDIZED)
    base, studentized = term.base, inference == "permutation_studentized"
    if studentized and min(base.n_treated_clusters, base.n_comparison_clusters) < 2:
        return Answer(reason=ALONE)
    if estimate.changes_treated is not None:
        return _changes(estimate, term, b, inference, request)
    if not estimate.reassigned:
        return Answer(reason=estimate.no_permutation or "permutation is not defined for this term")
    refit = estimate.reassigned[term.fit]()
    if isinstance(refit, str):
        return Answer(reason=refit)
    asked = [t for t in estimate.terms if t.fit == term.fit and not (t.joint or t.reason)]
    contrasts = np.unique(np.vstack([contrast, *(np.atleast_2d(t.contrast) for t in asked)]), axis=0)
    return _dates(refit, term, contrasts, int((contrasts == contrast).all(axis=1).argmax()), b, studentized, request)


def _changes(estimate: LinearEstimate, term: Term, b: float, inference: str, request: Request) -> Answer:
    """Permutation of unit changes: one cohort, balanced units, no weights."""
    y, treated = estimate.changes[term.outcome], np.asarray(estimate.changes_treated, bool)
    if len(y) < 3:
        return Answer(reason="a permutation needs three units or more")
    if alike(y, estimate.fits[term.fit].moments[term.outcome].norm):
        return Answer(reason=ALIKE)
    statistic = {"permutation_raw": "raw", "permutation_studentized": "studentized"}.get(inference, "standardized")
    limit = int(request.own.get("limit", LIMIT))
    result = permutation_test(
        y, treated, strata=estimate.strata, conf_level=request.conf_level, limit=limit, seed=request.seed, statistic=statistic
    )
    if result.n_assignments == 1:
        return Answer(reason=ONE)
    answer = permutation_answer(b, result)
    return replace(answer, warnings=(*answer.warnings, FEW)) if treated.sum() <= FEW_PERMUTED else answer


def alike(y: Array, scale: float) -> bool:
    """Whether changes differ by rounding alone. scale: size of the outcomes they are differences of."""
    return float(np.ptp(y)) <= 1e-12 * float(np.abs(y).max(initial=0.0)) + 1e-14 * scale


def _dates(refit: Reassigned, term: Term, contrasts: Array, place: int, b: float, studentized: bool, request: Request) -> Answer:
    """Permutation of dates among units, the regression refitted under each assignment.

    contrasts: (p, K) of all terms of the same regression, this one's at `place`.
    """
    codes, dates = refit.labels
    limit = min(int(request.own.get("limit", LIMIT)), max(refit.most(studentized), 1000))
    drawn = refit.drawn(limit, request.seed)
    found = refit.laws(drawn, contrasts, studentized)[term.outcome][place]
    size = float(np.abs(refit.Y[:, term.outcome]).max(initial=0.0))
    if not np.isfinite(found.n0[found.observed]):
        return Answer(reason="the data do not identify every coefficient of the regression, so that it cannot be refitted")
    if float(np.nanmax(found.n0) - np.nanmin(found.n0)) <= 1e-11 * size:
        return Answer(reason=ONE if found.admissible == 1 else ALIKE)
    if abs(found.n0[found.observed] - b) > 1e-7 * (abs(b) + float(np.nanstd(found.n0))):
        return Answer(reason="refitting the observed dates does not give the estimate back: regressors are nearly collinear")
    answer = permutation_answer(b, reassignment_test(drawn, found, refit.strata, request.conf_level))
    treated = int(np.isfinite(dates[codes]).sum())
    return replace(answer, warnings=(*answer.warnings, FEW)) if treated <= FEW_PERMUTED else answer


def permutation_answer(b: float, result: PermutationResult) -> Answer:
    """An answer without standard error; unbounded limits become missing and are mentioned, as is the error of drawing."""
    unbounded = not (np.isfinite(result.conf_low) and np.isfinite(result.conf_high))
    warnings = ["the permutation interval is unbounded: the attainable p exceeds the level"] if unbounded else []
    if result.sampled:
        drawn = f"{result.n_draws:,} of the possible assignments were drawn"
        warnings.append(f"{drawn}: Monte Carlo error of the p value {result.monte_carlo_error:.2g}")
    return Answer(
        b,
        statistic=finite(result.statistic),
        p_value=result.p_value,
        conf_low=finite(result.conf_low),
        conf_high=finite(result.conf_high),
        p_attainable=result.p_attainable,
        warnings=tuple(warnings),
    )

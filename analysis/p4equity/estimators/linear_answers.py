"""How a regression answers: each term under one method of inference, as numbers or as a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from p4equity.estimators import few_treated
from p4equity.estimators.base import Answer, Array, Request, Term, finite
from p4equity.estimators.few_clusters import too_few
from p4equity.estimators.linear import CLUSTER_ROBUST, PERMUTATIONS, WILD, Fit, LinearEstimate, pad, ssc_of
from p4equity.estimators.path_options import PATH_INFERENCES
from p4equity.estimators.permuted import permutation
from p4equity.estimators.tidy import ROWS
from p4equity.inference import two_way
from p4equity.inference.cluster_robust import (
    contrast_test,
    covariance,
    degrees_of_freedom,
    small_sample_factor,
)
from p4equity.inference.independent_rows import row_test
from p4equity.inference.joint import joint_test
from p4equity.inference.simultaneous import simultaneous_band
from p4equity.inference.wild_bootstrap import wild_bootstrap


def answer_terms(estimate: LinearEstimate, inference: str, request: Request) -> list[tuple[Term, Answer]]:
    """Pointwise answers in the order of the terms, then simultaneous ones of each band; or the rows of whole paths."""
    if inference in PATH_INFERENCES:
        from p4equity.estimators.linear_paths import linear_path_answers

        return linear_path_answers(estimate, inference, request)
    out = [(term, answer_term(estimate, term, inference, request)) for term in estimate.terms]
    if inference in CLUSTER_ROBUST:
        for band in dict.fromkeys(term.band for term in estimate.terms if term.band):
            members = [(t, a) for t, a in out if t.band == band and not a.reason]
            out += _banded(estimate, members, inference, request)
    return out


def answer_term(estimate: LinearEstimate, term: Term, inference: str, request: Request) -> Answer:
    """Pointwise answer of one term."""
    if term.reason:
        return Answer(reason=term.reason)
    fit = estimate.fits[term.fit]
    moments = fit.moments[term.outcome]
    contrast = pad(term.contrast, len(moments.design.names))
    c = [moments.design.contrast(row) for row in contrast]
    if any(row is None for row in c):
        return Answer(
            reason="the data do not identify this coefficient: its regressor is collinear with effects or other regressors"
        )
    b = float(np.mean([fit.value(row, term.outcome) for row in contrast]))
    own = float(np.mean([float(row @ moments.theta) for row in c if row is not None]))
    if abs(b - own) > 1e-6 * (abs(own) + moments.norm * float(np.mean([np.linalg.norm(row) for row in c if row is not None]))):
        return Answer(reason="regressors are so nearly collinear that the coefficient is lost to rounding")
    if term.joint:
        return _joint(estimate, term, contrast, b, inference, request)
    if inference == "none":
        return Answer(b)
    if inference in PERMUTATIONS:
        return permutation(estimate, term, np.atleast_2d(term.contrast)[0], b, inference, request)
    if fit.two_way and inference.upper() not in two_way.KINDS:
        return Answer(reason=f"not available, because {two_way.ONLY}")
    if inference in few_treated.METHODS:
        return few_treated.answer(estimate, term, np.atleast_2d(term.contrast)[0], b, inference, request)
    reason = too_few(term.base, request.estimator)
    if reason:
        return Answer(reason=reason)
    return (
        _wild(estimate, term, contrast[0], b, inference, request)
        if inference in WILD
        else _robust(estimate, term, contrast[0], b, inference, request)
    )


def _pairwise(request: Request) -> dict[str, Any]:
    """Options of two-way clustering."""
    return {"g_df": str(request.own.get("g_df", "min")), "vcov_fix": bool(request.own.get("vcov_fix", False))}


def _robust(estimate: LinearEstimate, term: Term, contrast: Array, b: float, inference: str, request: Request) -> Answer:
    fit, kind, ssc, level = estimate.fits[term.fit], inference.upper(), ssc_of(request), request.conf_level
    if inference in ROWS:
        own = fit.by_row[term.outcome]
        test = row_test(own, contrast[: len(own.bread)], b, kind=kind, ssc=ssc, conf_level=level)
    elif fit.two_way:
        pair = fit.two_way[term.outcome]
        rows = contrast[: pair.bread.shape[0]]
        test = two_way.two_way_test(pair, rows, b, kind=kind, ssc=ssc, conf_level=level, **_pairwise(request))
    else:
        moments, df = fit.moments[term.outcome], str(request.own.get("df", "usual"))
        test = contrast_test(moments, contrast, kind=kind, ssc=ssc, df=df, conf_level=level, estimate=b)
    if test.reason:
        return Answer(reason=test.reason)
    warnings = (test.warning,) if test.warning else ()
    return Answer(b, test.std_error, test.statistic, test.p_value, test.conf_low, test.conf_high, test.df, warnings=warnings)


def _wild(estimate: LinearEstimate, term: Term, contrast: Array, b: float, inference: str, request: Request) -> Answer:
    moments = estimate.fits[term.fit].moments[term.outcome]
    factor = small_sample_factor(moments.design, ssc_of(request))
    result = wild_bootstrap(
        moments,
        contrast,
        restricted=inference == "wild_bootstrap",
        scheme=str(request.own.get("wild_weights", "auto")),
        draws=int(request.own.get("draws", 9999)),
        conf_level=request.conf_level,
        seed=request.seed,
        factor=factor,
        n_treated=term.base.n_treated_clusters,
        estimate=b,
        bootstrap_type=str(request.own.get("bootstrap_type", "11")),
        p_type=str(request.own.get("p_type", "symmetric")),
    )
    if result.reason or not np.isfinite(result.std_error):
        return Answer(reason=result.reason or "no more rows than coefficients")
    return Answer(
        b,
        result.std_error,
        result.statistic,
        result.p_value,
        finite(result.conf_low),
        finite(result.conf_high),
        p_attainable=result.p_attainable,
        warnings=result.warnings,
    )


def _joint(estimate: LinearEstimate, term: Term, contrast: Array, b: float, inference: str, request: Request) -> Answer:
    if inference not in CLUSTER_ROBUST:
        return Answer(reason=f"not available, because the joint test needs a covariance and {inference} has none")
    if estimate.fits[term.fit].two_way:
        return Answer(reason="not available, because the joint test needs one way of clustering")
    if reason := too_few(term.base, request.estimator):
        return Answer(reason=f"not available, because {reason}")
    moments, name = estimate.fits[term.fit].moments[term.outcome], str(request.own.get("joint_test", "htz"))
    test = joint_test(moments, contrast, kind=inference.upper(), ssc=ssc_of(request), test=name)
    if test.reason:
        more = "; bin_below lets early periods share a coefficient" if "alone identifies" in test.reason else ""
        return Answer(reason=test.reason + more)
    return Answer(b, statistic=test.statistic, p_value=test.p_value, df=finite(test.df_denominator))


def joint_covariance(fit: Fit, terms: list[Term], kind: str, request: Request) -> tuple[Array, str, Array]:
    """Covariance (q, q) of the terms of one outcome, why it is not available, and degrees of freedom (q,) of each."""
    rows = np.vstack([t.contrast for t in terms])
    if fit.two_way:
        pair = fit.two_way[terms[0].outcome]
        V, reason, _ = two_way.two_way_covariance(pair, pad(rows, len(pair.bread)), kind, ssc_of(request), **_pairwise(request))
        return V, reason, np.full(len(rows), float(min(pair.n_clusters[:2]) - 1))
    moments = fit.moments[terms[0].outcome]
    rows = pad(rows, len(moments.design.names))
    V, reason = covariance(moments, rows, kind, ssc_of(request))
    word = str(request.own.get("df", "usual"))
    return V, reason, np.array([degrees_of_freedom(moments.design, row, kind, word) for row in rows])


def _banded(
    estimate: LinearEstimate, members: list[tuple[Term, Answer]], inference: str, request: Request
) -> list[tuple[Term, Answer]]:
    if not members:
        return []
    first = members[0][0]
    V, reason, df = joint_covariance(estimate.fits[first.fit], [t for t, _ in members], inference.upper(), request)
    if reason:
        return [(t, Answer(reason=reason, interval="simultaneous")) for t, _ in members]
    b = np.array([a.estimate for _, a in members])
    band = simultaneous_band(b, V, df, conf_level=request.conf_level, seed=request.seed)
    return [
        (t, replace(a, conf_low=float(low), conf_high=float(high), p_value=float(p), interval="simultaneous"))
        for (t, a), low, high, p in zip(members, band.conf_low, band.conf_high, band.p_value, strict=True)
    ]

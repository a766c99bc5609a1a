"""Estimates known by their influence functions: covariance, tests, bands and bootstrap from cluster sums of influence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats

from p4equity.estimators.base import Answer, Array, Base, Estimate, Request, Term
from p4equity.estimators.few_clusters import ONE_TREATED, TWO_TREATED, too_few, whole
from p4equity.estimators.path_options import PATH_INFERENCES
from p4equity.inference.multiplier_bootstrap import DRAWS, multiplier_band, multiplier_draws, robust_error
from p4equity.inference.simultaneous import simultaneous_band

METHODS = ("analytical", "cr1", "none")  # the first is the default
BOOTSTRAP = "multiplier_bootstrap"  # for estimators that name it among their own
SHOWN = 0.005  # share of variance not observed from which a warning says so
UNSEEN = 0.5  # and from which no error is given
ROUNDING = 1e-12  # standard errors below this share of the influence's own scale are rounding
FEW_CLUSTERS = 10  # of an arm up to which the sentence on small samples is given
SMALL = (
    "{} {} clusters: errors from influence functions know no small sample and reject a true null too often, with normal equal "
    "clusters 17% of the time at 5% with 3, 11% with 5, 8% with 8"
)
TOLERATED = 0.075  # size of a nominal 5% joint test above which a warning gives it
OVERSIZED = (
    "a chi-squared test of {} values on {} treated and {} comparison clusters rejects a true null about {:.0%} of the time"
)
ALONE = "cohorts of one treated cluster carry {:.0%} of the treated side's variance, which is not observed"


@dataclass(frozen=True)
class InfluenceEstimate(Estimate):
    """Parameters: estimates (q,) and influence by cluster (G, q), scaled so that the covariance is influence' influence.

    A term's contrast (rows, q) combines parameters. notes_: sentences about the whole estimate. unseen: by term, the share of
    the treated side's variance that no error can show, for it lies in cohorts of one cluster; empty: none.
    """

    estimates: Array
    influence: Array
    notes_: tuple[str, ...] = ()
    unseen: tuple[float, ...] = ()

    @cached_property
    def whole(self) -> dict[str, Base]:
        """Clusters behind all answers of each group."""
        return whole(self.terms)

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """Pointwise answers in the order of the terms, then simultaneous ones of each band; or the rows of whole paths."""
        if inference in PATH_INFERENCES:
            from p4equity.estimators.influence_paths import influence_path_answers

            return influence_path_answers(self, inference, request)
        shares = self.unseen or (0.0,) * len(self.terms)
        out = [(t, _answer(self, t, inference, request, share)) for t, share in zip(self.terms, shares, strict=True)]
        if inference == BOOTSTRAP:
            return _bootstrapped(self, out, request)
        if inference != "none":
            for band in dict.fromkeys(term.band for term in self.terms if term.band):
                out += _banded(self, [(t, a) for t, a in out if t.band == band and not a.reason], inference, request)
        return out

    def notes(self, request: Request) -> tuple[str, ...]:
        """Sentences about the whole estimate; what wraps this one and has no cr1 takes those on small samples from `small`."""
        return (*self.notes_, *(f"{note}; cr1 lessens it" for note in self.small(request)))

    def small(self, request: Request) -> tuple[str, ...]:
        """Sentence on the arm with the fewest clusters behind the first row, where these are few and an error is asked for."""
        base = self.terms[0].base
        arms = {"treated": base.n_treated_clusters, "comparison": base.n_comparison_clusters}
        arm = min(arms, key=lambda name: arms[name])
        return (SMALL.format(arms[arm], arm),) if 1 < arms[arm] <= FEW_CLUSTERS and set(request.inference) != {"none"} else ()


def reference_df(estimate: InfluenceEstimate, inference: str) -> float:
    """Degrees of freedom of the reference t: G - 1 for cr1, else the normal."""
    return float(len(estimate.influence) - 1) if inference == "cr1" else float("inf")


def factor(estimate: InfluenceEstimate, inference: str) -> float:
    """G / (G - 1) for cr1, else 1, on the covariance."""
    groups = len(estimate.influence)
    return groups / (groups - 1) if inference == "cr1" else 1.0


def why_not(estimate: InfluenceEstimate, term: Term, request: Request, unseen: float = 0.0) -> str:
    """Why a term has no error, or ''. unseen: share of the treated side's variance that is not observed.

    Three clusters an arm are asked of the whole answer, two of each of its rows: cohorts of two are what reference programs
    print errors of, and so does this, with a warning.
    """
    if reason := too_few(estimate.whole[term.group], request.estimator):
        return reason
    if term.base.n_treated_clusters < 2:
        return ONE_TREATED
    if term.base.n_comparison_clusters < 2:
        return "one comparison cluster: its own variation is not observed, so no error can be given"
    if unseen >= UNSEEN:
        return f"{ALONE.format(unseen)}, so no error can be given; inference='none' gives the estimate"
    return ""


def _answer(estimate: InfluenceEstimate, term: Term, inference: str, request: Request, unseen: float = 0.0) -> Answer:
    if term.reason:
        return Answer(reason=term.reason)
    values = term.contrast @ estimate.estimates
    b = float(values.mean())
    if inference == "none":
        return Answer(reason="not available, because a joint test needs a covariance") if term.joint else Answer(b)
    if reason := why_not(estimate, term, request, unseen):
        return Answer(reason=f"not available, because {reason}" if term.joint else reason)
    scores = estimate.influence @ term.contrast.T
    V = factor(estimate, inference) * scores.T @ scores
    scale = float(np.abs(scores).max(initial=0.0))
    if not np.sqrt(np.diag(V)).min() > ROUNDING * max(scale, float(np.abs(estimate.estimates).max(initial=0.0)), 1e-300):
        return Answer(reason="no variation left to estimate a standard error from")
    if term.joint:
        return _joint(values, V, b, term.base)
    se, df = float(np.sqrt(V[0, 0])), reference_df(estimate, inference)
    half = float(stats.t.ppf(0.5 + request.conf_level / 2, df)) * se
    warnings = (TWO_TREATED,) if term.base.n_treated_clusters == 2 else ()
    if unseen >= SHOWN:
        warnings = (*warnings, f"{ALONE.format(unseen)}: the error is too small")
    p = float(2 * stats.t.sf(abs(b / se), df))
    shown = df if np.isfinite(df) else float("nan")
    return Answer(b, se, b / se, p, b - half, b + half, shown, warnings=warnings)


def _joint(values: Array, V: Array, b: float, base: Base) -> Answer:
    """Wald test that all values are zero, chi-squared as reference programs have it, or why it is none."""
    scale, q = np.sqrt(np.diag(V)), len(values)
    fewest = min(base.n_treated_clusters, base.n_comparison_clusters)
    if q > 1 and fewest <= q:
        return Answer(reason=f"not available, because {fewest} clusters of an arm show no covariance of {q} values")
    if np.linalg.matrix_rank(V / np.outer(scale, scale), tol=1e-10) < q:
        return Answer(reason="not available, because the joint covariance is singular: too few clusters")
    W = float(values @ np.linalg.solve(V, values))
    size = chi_squared_size(q, base.n_treated_clusters, base.n_comparison_clusters)
    warnings = (OVERSIZED.format(q, base.n_treated_clusters, base.n_comparison_clusters, size),) if size > TOLERATED else ()
    return Answer(b, statistic=W, p_value=float(stats.chi2.sf(W, q)), df=float(q), warnings=warnings)


def chi_squared_size(values: int, treated: int, comparison: int, level: float = 0.05) -> float:
    """Rejections of a true null by a chi-squared test of so many differences between the means of two arms of clusters.

    Approximate, for normal clusters that vary alike: Hotelling's distribution with Satterthwaite's degrees of freedom (Nel and
    van der Merwe 1986, Communications in Statistics 15:3719).
    """
    share = comparison / (treated + comparison)  # of the variance that comes from the treated arm
    df = 1 / (share**2 / (treated - 1) + (1 - share) ** 2 / (comparison - 1))
    rest = df - values + 1
    if rest <= 0:
        return 1.0
    return float(stats.f.sf(float(stats.chi2.isf(level, values)) * rest / (df * values), values, rest))


def _banded(
    estimate: InfluenceEstimate, members: list[tuple[Term, Answer]], inference: str, request: Request
) -> list[tuple[Term, Answer]]:
    if not members:
        return []
    scores = estimate.influence @ np.vstack([t.contrast for t, _ in members]).T
    V = factor(estimate, inference) * scores.T @ scores
    b = np.array([a.estimate for _, a in members])
    df = np.full(len(b), reference_df(estimate, inference))
    band = simultaneous_band(b, V, df, conf_level=request.conf_level, seed=request.seed)
    return [
        (t, replace(a, conf_low=float(low), conf_high=float(high), p_value=float(p), interval="simultaneous"))
        for (t, a), low, high, p in zip(members, band.conf_low, band.conf_high, band.p_value, strict=True)
    ]


def _bootstrapped(estimate: InfluenceEstimate, answers: list[tuple[Term, Answer]], request: Request) -> list[tuple[Term, Answer]]:
    """Analytical answers with the errors and bands of the multiplier bootstrap; all terms share its draws.

    Joint tests keep the analytical covariance, which is the expectation of that of the draws.
    """
    places = [i for i, (term, answer) in enumerate(answers) if not answer.reason and not term.joint]
    if not places:
        return answers
    scores = estimate.influence @ np.vstack([answers[i][0].contrast for i in places]).T
    sums, _ = multiplier_draws(scores, int(request.own.get("draws", DRAWS)), request.seed)
    errors = robust_error(sums)
    z = float(stats.norm.ppf(0.5 + request.conf_level / 2))
    out = list(answers)
    for i, se in zip(places, errors, strict=True):
        term, a = answers[i]
        t = a.estimate / se
        drawn = replace(a, std_error=float(se), statistic=float(t), p_value=float(2 * stats.norm.sf(abs(t))),
                        conf_low=a.estimate - z * float(se), conf_high=a.estimate + z * float(se))  # fmt: skip
        none = Answer(reason="the bootstrap draws do not vary: too few clusters for a standard error")
        out[i] = (term, drawn if np.isfinite(se) else none)
    for band in dict.fromkeys(answers[i][0].band for i in places if answers[i][0].band):
        members = [k for k, i in enumerate(places) if answers[i][0].band == band and not out[i][1].reason]
        b = np.array([answers[places[k]][1].estimate for k in members])
        _, low, high, p = multiplier_band(sums[:, members], errors[members], b, request.conf_level)
        for k, lower, upper, adjusted in zip(members, low, high, p, strict=True):
            term, a = out[places[k]]
            a = replace(a, conf_low=float(lower), conf_high=float(upper), p_value=float(adjusted), interval="simultaneous")
            out.append((term, a))
    return out

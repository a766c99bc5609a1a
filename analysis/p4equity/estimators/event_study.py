"""Event study: leads and lags of treatment in a two-way regression."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import Array, Base, Flags, Request, Term, estimand
from p4equity.estimators.did import by_group, under_other_dates
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_LEADS, OF_VARIANCE, Fit, LinearEstimate, regress
from p4equity.estimators.panels import Panel, build
from p4equity.estimators.path_options import PATH_INFERENCES, PATH_OPTIONS
from p4equity.estimators.tidy import ROWS, Cells

OWN = ("variance", *OF_VARIANCE, *OF_LEADS, "draws", "limit", "strata")
OPTIONS = (*OWN, "reference_period", "bin_below", "bin_above", "apart", *PATH_OPTIONS)
INFERENCES, VARIANCES, TWO_WAY = (*METHODS, *ROWS, *PATH_INFERENCES), CLUSTER_ROBUST, True


def estimate(cells: Cells, request: Request) -> LinearEstimate:
    """Effect on treated units by period since their first treated period, relative to one reference period before it.

    y_ut = sum over e of b_e 1{t - cohort_u = e} + a_u + l_t + e_ut, weighted; never treated units have no event time.
    The first row is the plain average of b_e over e >= 0; then the joint test that all leads are zero (its estimate
    their average) or why it is not available; then each b_e with pointwise, and at the end with simultaneous limits
    (over all e of one group and outcome). Periods of anticipation are shown and are no leads. Own options:
    reference_period (default the last one before treatment and anticipation; -1), bin_below and bin_above (event times
    beyond them share a coefficient), apart (event times that are shown, but neither tested as leads nor averaged, such
    as a pandemic year), joint_test (htz, the small-sample test; naive_f; chi_square; see `inference.joint`), and those of
    errors and bootstrap as in `did`. An event time that one cluster alone reaches has no error of its
    own, nor a joint test with it; in the average CR2 leaves its share of the variance unseen, and a warning says so.
    Permutation exchanges units' dates and refits, as in `did`: each row's p value is that of no effect in any period.
    With a group: gap, reference and group, as in `did`. inference may be relative_magnitudes or smoothness (how far trends
    may part before the average after treatment is compatible with zero) or pretest_power (which violation the leads would
    show), with the options of `event_study_answers.path_answers`; `variance` names their covariance.
    Assumptions: those of `did`, and in staggered designs effects that do not differ between cohorts (Sun and Abraham 2021).
    Source: Freyaldenhoven, Hansen, Perez Perez and Shapiro (2021).
    Reference cases: fixest `feols(gap ~ i(rel, treated, ref = -1) | system + year)`, clubSandwich's Satterthwaite and
    HTZ tests (tests/reference/event_study).
    """
    if request.aggregate is not None:
        raise UsageError("nothing to aggregate", where="fit: aggregate", expected="None", found=request.aggregate)
    panel = build(cells, replace(request, anticipation=0))  # periods of anticipation keep coefficients of their own
    event = event_times(panel, request)
    reference = reference_period(event, request)
    levels = [float(e) for e in np.unique(event[~np.isnan(event)]) if e != reference]
    if not any(e >= 0 for e in levels):
        raise UsageError("no event time after treatment", where="fit: bin_above", expected="0 or later", found=f"{levels}")
    terms = _terms(panel, event, levels, leads_and_lags(levels, request))
    other = cache(lambda: under_other_dates(panel, partial(_of_dates, panel, request, levels)))
    return LinearEstimate(terms, panel.dropped, panel.unbalanced, (_fit(panel, event, levels, request),), reassigned=(other,))


def event_times(panel: Panel, request: Request) -> Array:
    """(N,) periods since the unit's first treated period, binned; NaN for units not treated within the data."""
    return _binned(np.asarray(panel.frame["time"] - panel.frame["cohort"], float), request)


def _of_dates(panel: Panel, request: Request, levels: list[float], dates: Array) -> Array:
    """(N, groups x levels) regressors of the rows, had they these dates."""
    return _columns(panel, _binned(panel.frame["time"].to_numpy() - dates, request), levels)


def _binned(event: Array, request: Request) -> Array:
    low, high = (whole_event(request.own.get(k), k) for k in ("bin_below", "bin_above"))
    if low is not None:
        event = np.where(event < low, low, event)
    if high is not None:
        event = np.where(event > high, high, event)
    return event


def leads_and_lags(levels: list[float], request: Request) -> tuple[list[int], list[int]]:
    """Positions of the leads that are tested and of the periods that are averaged: without anticipation and what stands apart."""
    given = request.own.get("apart")
    apart = {whole_event(e, "apart") for e in (given if isinstance(given, list | tuple) else [] if given is None else [given])}
    before = [i for i, e in enumerate(levels) if e < -request.anticipation and e not in apart]
    after = [i for i, e in enumerate(levels) if e >= 0 and e not in apart]
    if not after:
        found = ", ".join(f"{e:.0f}" for e in sorted(e for e in apart if e is not None))
        expected = "event times to leave out of tests and averages"
        raise UsageError("every period after treatment stands apart", where="fit: apart", expected=expected, found=found)
    return before, after


def whole_event(value: Any, name: str) -> float | None:
    """An event time given as an option, None for none. Raises UsageError for anything but a whole number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or float(value) % 1:
        raise UsageError("not a whole number", where=f"fit: {name}", expected="an event time such as -1", found=value)
    return float(value)


def reference_period(event: Array, request: Request) -> float:
    """The event time without a coefficient. Raises UsageError when no treated unit is observed there."""
    given = whole_event(request.own.get("reference_period"), "reference_period")
    reference = -1.0 - request.anticipation if given is None else given
    seen = sorted({int(e) for e in event[~np.isnan(event)]})
    if reference not in seen:
        raise UsageError(
            f"no treated unit is observed at event time {reference:.0f}",
            where="fit: reference_period",
            expected=f"one of {seen}",
            found=f"{reference:.0f}",
            fix="name another reference_period",
        )
    return reference


def _columns(panel: Panel, event: Array, levels: list[float]) -> Array:
    """(N, groups x levels), event times inside groups."""
    at = np.stack([(event == e).astype(float) for e in levels], axis=1)
    return np.hstack([at * flag[:, None] for flag in by_group(panel).T])


def _fit(panel: Panel, event: Array, levels: list[float], request: Request) -> Fit:
    frame = panel.frame
    return regress(
        panel.Y,
        _columns(panel, event, levels),
        panel.covariates(),
        effects=[panel.unit_group, panel.code("time", "group")],
        cluster=panel.column("cluster"),
        cluster2=panel.second_cluster,
        weights=frame["w"].to_numpy(float),
        names=[f"{g} {e:+.0f}" for g in panel.groups for e in levels] + [f"x{j}" for j in range(panel.covariates().shape[1])],
        n_obs=panel.n_obs,
        request=request,
    )


def _terms(panel: Panel, event: Array, levels: list[float], plain: tuple[list[int], list[int]]) -> tuple[Term, ...]:
    size = len(panel.groups)
    blocks = [("pooled", np.full(size, 1 / size), np.ones(len(event), bool))] if size > 1 else []
    blocks += [(g, np.eye(size)[i], panel.column("group") == g) for i, g in enumerate(panel.groups)]
    out: list[Term] = []
    for group, weights, rows in blocks:
        for j, name in enumerate(panel.outcomes):
            out += _block(panel, event, levels, group, weights, rows, j, name, plain)
    # All averages after treatment come first, so that the first row is the pooled answer and the next ones its parts.
    rank = {"att": 0, "pretrend": 1}
    return tuple(sorted(out, key=lambda t: 2 if t.band else rank[t.estimand.split("_")[0]]))


def _block(
    panel: Panel,
    event: Array,
    levels: list[float],
    group: str,
    weights: Array,
    rows: Flags,
    outcome: int,
    name: str,
    plain: tuple[list[int], list[int]],
) -> list[Term]:
    """Average after treatment, joint test of the leads, and each event time, for one group and outcome."""
    k = len(levels)
    single = [np.kron(weights, np.eye(k)[i]) for i in range(k)]
    starts = panel.frame.loc[panel.treated, "cohort"].unique()
    cohort = panel.cohorts[float(starts[0])] if len(starts) == 1 else None
    whole = panel.base(rows, outcome)
    before, after = plain
    out = [Term(estimand("att", name), np.mean([single[i] for i in after], axis=0), whole, 0, outcome, group, cohort)]
    leads = np.stack([single[i] for i in before]) if before else np.zeros((0, k * len(panel.groups)))
    reason = "" if before else "not available, because there is no period before the reference period"
    out.append(Term(estimand("pretrend", name), leads, whole, 0, outcome, group, cohort, joint=True, reason=reason))
    for i, e in enumerate(levels):
        base = base_at(panel, event, rows, e, outcome, whole)
        band = f"{group} {name}"
        out.append(
            Term(
                estimand("att", name),
                single[i],
                base,
                0,
                outcome,
                group,
                cohort,
                e,
                calendar_period(panel, event, rows, e),
                band=band,
            )
        )
    return out


def base_at(panel: Panel, event: Array, rows: Flags, e: float, outcome: int, whole: Base) -> Base:
    """Base of one event time: clusters treated then, beside all clusters and comparison clusters of the rows."""
    here = panel.base(rows & ((event == e) | np.isnan(event)), outcome)
    seen = panel.frame.loc[rows & (event == e), "cluster"].nunique()
    return replace(
        here,
        n_clusters=whole.n_clusters,
        n_treated_clusters=int(seen),
        n_comparison_clusters=whole.n_comparison_clusters,
    )


def calendar_period(panel: Panel, event: Array, rows: Flags, e: float) -> str | None:
    """The calendar period of an event time where all cohorts share it."""
    times = panel.frame.loc[rows & (event == e), "time"].unique()
    return str(panel.labels[float(times[0])]) if len(times) == 1 else None

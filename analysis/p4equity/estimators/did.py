"""Two-way fixed effects / 2x2 difference-in-differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import Array, Flags, Request, Term, estimand
from p4equity.estimators.few_treated import METHODS as FEW_TREATED
from p4equity.estimators.few_treated import FewTreatedDesign
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_VARIANCE, Fit, LinearEstimate, changes, regress
from p4equity.estimators.panels import Panel, build
from p4equity.estimators.reassigned import Reassigned, holders, strata_of
from p4equity.estimators.tidy import ROWS, Cells

OPTIONS = ("variance", *OF_VARIANCE, "draws", "limit", "strata", "sizes", "weights_type", "within")
INFERENCES, VARIANCES, TWO_WAY = (*METHODS, *ROWS, *FEW_TREATED), CLUSTER_ROBUST, True


def estimate(cells: Cells, request: Request) -> LinearEstimate:
    """Average effect on treated units after treatment, if they would have moved as comparison units did.

    y_ut = b D_ut + a_u + l_t + e_ut, weighted; D_ut = 1 from the unit's first treated period on. With a group, y is
    the gap (reference minus group) with weights n1 n0 / (n1 + n0), and the same regression gives the effect on
    reference and on group: gap = reference - group to rounding. Several compared groups are stacked, each with its own
    effects; the first rows are their plain average. Assumptions: parallel trends, no anticipation beyond
    `anticipation` periods (left out), one effect for all cohorts and periods when adoption is staggered (otherwise b
    weighs them unequally, and changes in the effect on units already treated count against it: Goodman-Bacon 2021).
    Units treated throughout and units seen once are left out, with a row that says so. aggregate="cohort" adds one row
    a cohort against clean comparisons (never treated, or not yet with comparison="not_yet"). Permutation exchanges units'
    dates, within the levels of the column `strata` names, and refits: of b (permutation, permutation_raw) or of b over its
    cluster-robust error (permutation_studentized). It and the unrestricted bootstrap reject a true null too often where
    few, or smaller, units are treated. With one or two treated units, and no method named, the answer is Ferman and
    Pinto's where weights (or the column `sizes` names) say how large cells are, else Conley and Taber's. Own options:
    variance (cr0 to cr3, cv3, cv3j); ssc, the factor of cr1, iid and hc1 (fixest, stata, full, none, or the number of
    coefficients to count); df (usual; satterthwaite for every variance); working_model of CR2 and of these degrees of freedom
    where there are weights (members; inverse_variance; homoskedastic; see `inference.working_model`); with two clusters g_df
    (min, conventional) and vcov_fix (True: fixest's number where the variance is negative); of the bootstrap draws,
    wild_weights (auto, rademacher, webb, mammen), bootstrap_type (11, 13, 31, 33) and p_type (symmetric, equal_tail), see
    `inference.wild_bootstrap`; limit, the assignments enumerated before some are drawn; strata; sizes; weights_type (aweights;
    fweights: weights count members, who are the rows N of cr1's factor); within, a column in whose levels, such as measures,
    units and their periods are compared, with one b for all: a unit's date may differ between levels, and clusters stay those
    of the units. iid and hc1 take rows as independent; they, and a working_model of rows, take the rows of the data, or those
    of the gap. Source: Angrist and Pischke (2009), section 5.2. Reference cases: fixest `feols(gap ~ post | system + year)`,
    castle doctrine (tests/reference/did).
    """
    if request.aggregate not in (None, "cohort"):
        raise UsageError("unknown aggregation", where="fit: aggregate", expected="None or 'cohort'", found=request.aggregate)
    panel = build(cells, request)
    fits, terms, parts = [_fit(panel, request)], _terms(panel, 0, np.ones(len(panel.frame), bool), None), [panel]
    if request.aggregate == "cohort":
        for cohort in sorted(panel.frame.loc[panel.treated, "cohort"].unique()):
            rows = clean_rows(panel, float(cohort), request)
            part = panel.take(rows)
            terms += _terms(part, len(fits), np.ones(len(part.frame), bool), panel.cohorts[float(cohort)])
            fits.append(_fit(part, request))
            parts.append(part)
    apart = request.own.get("within") is not None
    of_changes = not apart and _is_difference_in_changes(panel, request)
    y, treated, strata = changes(panel.frame, panel.Y, panel.treated) if of_changes else ((), None, None)
    few = () if apart else tuple(cache(partial(_few_treated, part, request)) for part in parts)
    other = tuple(cache(partial(_other_dates, part, i > 0, request)) for i, part in enumerate(parts))
    return LinearEstimate(tuple(terms), panel.dropped, panel.unbalanced, tuple(fits), y, treated, "", strata, other, few)


def clean_rows(panel: Panel, cohort: float, request: Request) -> Flags:
    """Rows of one cohort and of its comparison units while these are untreated."""
    t, c = panel.frame["time"], panel.frame["cohort"]
    other = c.isna() | ((c != cohort) & (t < c)) if request.comparison == "not_yet" else c.isna()
    return np.asarray((c == cohort) | other, bool)


def by_group(panel: Panel) -> Array:
    """(N, groups) indicator of each compared group."""
    group = panel.column("group")
    return np.stack([(group == g).astype(float) for g in panel.groups], axis=1)


def _fit(panel: Panel, request: Request) -> Fit:
    frame = panel.frame
    terms = _columns(panel, frame["cohort"].to_numpy(float))
    return regress(
        panel.Y,
        terms,
        panel.covariates(),
        effects=[panel.unit_group, panel.code(*panel.periods)],
        cluster=panel.column("cluster"),
        cluster2=panel.second_cluster,
        weights=frame["w"].to_numpy(float),
        names=[*panel.groups, *(f"x{j}" for j in range(panel.covariates().shape[1]))],
        n_obs=panel.n_obs,
        request=request,
    )


def _terms(panel: Panel, fit: int, rows: Flags, cohort: object) -> list[Term]:
    """Pooled over groups first, then each group; for each the gap, the reference and the group."""
    size = len(panel.groups)
    several = size > 1
    contrasts = [("pooled", np.full(size, 1 / size), rows)] if several else []
    contrasts += [(g, np.eye(size)[i], rows & (panel.column("group") == g)) for i, g in enumerate(panel.groups)]
    starts = panel.frame.loc[panel.treated, "cohort"].unique()
    named = cohort if cohort is not None else (panel.cohorts[float(starts[0])] if len(starts) == 1 else None)
    return [
        Term(estimand("att", name), weights, panel.base(mask, j), fit, j, group, named)
        for group, weights, mask in contrasts
        for j, name in enumerate(panel.outcomes)
    ]


def _few_treated(panel: Panel, request: Request) -> FewTreatedDesign:
    frame = panel.frame
    known = request.weights is not None or "sizes" in request.own or bool((frame["rows"] > 1).any())
    effects = (panel.unit_group, panel.code(*panel.periods))
    return FewTreatedDesign(panel, _columns(panel, frame["cohort"].to_numpy(float)), effects, panel.cluster, known)


def _other_dates(panel: Panel, clean: bool, request: Request) -> Reassigned | str:
    """A regression under other dates, or why there is none. clean: it is that of one cohort and its comparison units."""
    if request.own.get("within") is not None:
        return "units have dates in several levels, whole rows of which would move: use meta_regression"
    if request.anticipation:
        return "permutation has no window of anticipation, which would move with the dates"
    if clean and request.comparison == "not_yet":
        return "rows of units treated later end at their dates, which therefore cannot be exchanged"
    return under_other_dates(panel, partial(_columns, panel))


def _columns(panel: Panel, dates: Array) -> Array:
    """(N, groups) treatment of the rows, had they these dates."""
    return np.asarray(by_group(panel) * (panel.frame["time"].to_numpy() >= dates)[:, None])


def under_other_dates(panel: Panel, columns: Callable[[Array], Array]) -> Reassigned | str:
    """The panel's two-way regression with regressors that follow from dates, or why its dates cannot be exchanged."""
    frame = panel.frame
    holder, reason = holders(frame)
    if reason:
        return reason
    return Reassigned(
        columns,
        frame["cohort"].to_numpy(float),
        holder,
        panel.Y,
        panel.covariates(),
        (panel.unit_group, panel.code(*panel.periods)),
        frame["w"].to_numpy(float),
        strata_of(holder, panel.column("stratum") if "stratum" in frame else None),
    )


def _is_difference_in_changes(panel: Panel, request: Request) -> bool:
    """Whether the regression is the plain difference in mean changes, so that permuting changes is refitting it."""
    frame = panel.frame
    return not (
        frame.loc[panel.treated, "cohort"].nunique() > 1
        or len(panel.groups) > 1
        or request.weights is not None
        or frame["w"].nunique() > 1
        or bool(frame.duplicated(["unit", "group", "time"]).any())
        or bool(panel.unbalanced)
        or bool(request.covariates)
        or bool((frame["cluster"] != frame["unit"]).any())
    )

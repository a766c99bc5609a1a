"""Triple difference: the gap between groups, in one regression of all groups or by group-time comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators import group_time, triple_cells, two_by_two
from p4equity.estimators.arguments import known
from p4equity.estimators.base import Array, Estimate, Flags, Request, Term
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_VARIANCE, Fit, LinearEstimate, regress
from p4equity.estimators.panels import Panel, checked, compared_groups, plain_panel
from p4equity.estimators.tidy import ROWS, Cells
from p4equity.inference.sweeping import Absorber

OF_CELLS = ("weights_type", "within")
OPTIONS = ("method", "variance", *OF_VARIANCE, *OF_CELLS, *triple_cells.OPTIONS)
METHODS_OF_CELLS = ("regression", *two_by_two.METHODS)
INFERENCES, VARIANCES, TWO_WAY = (*METHODS, *ROWS), CLUSTER_ROBUST, True
NO_PERMUTATION = "permutation is of one difference in changes: use did or meta_regression with a group"


def inferences(own: Mapping[str, Any]) -> tuple[str, ...]:
    """Methods of inference of a call, by its option `method`; the first is the default."""
    return INFERENCES if own.get("method", "regression") == "regression" else group_time.INFERENCES


def estimate(cells: Cells, request: Request) -> Estimate:
    """Average effect on the gap (reference minus group) in treated units, if it would have moved as elsewhere.

    y_ugt = -b D_ut 1{g is not the reference} + a_ug + l_gt + m_pt + e_ugt, weighted; p is the parent of unit u, or
    the unit itself. The sign makes b an effect on the gap: negative means movement toward the group. First row: one b
    for all compared groups; then, with several groups, one b each from the regression with group-specific effects.
    With one group it is `did` on the gap panel to rounding (coefficients, CR0, CR2, CR3; CR1 differs by its count of
    rows, cells here and gaps there). D itself is held fixed where the parent-time effects do not absorb it.
    Assumptions: parallel gaps, no anticipation beyond `anticipation` periods (left out), one effect for all cohorts
    and periods when adoption is staggered. Own options of errors and bootstrap, weights_type and
    within as in `did`.

    method='dr', 'reg' or 'ipw' (the default is 'regression') lifts the last one, with options and rows as in group_time: in
    each cohort and period the compared group's change is compared with the reference group's of the same cohort, and with
    both groups' of one comparison cohort: three differences-in-differences, each with its own logit and least squares (dr),
    whose sum, first two less the third, is minus the effect on the gap. comparison='not_yet' estimates this against
    each comparison cohort apart and combines them with the weights of smallest variance (not by pooling their units).
    Unit-groups are the units: without `cluster` they are clustered by parent or unit.
    Source: Olden and Moen (2022); Ortiz-Villavicencio and Sant'Anna (2025). Reference cases: fixest
    `feols(rate ~ tpm | system^race + race^year + system^year)`, triplediff's `ddd` (tests/reference/triple_difference).
    """
    if request.group is None:
        raise UsageError(
            "a triple difference needs groups", where="fit: group", expected="a column and its reference level", found="nothing"
        )
    if _by_cells(request):
        return triple_cells.estimate_triple(cells, request)
    if request.aggregate is not None:
        raise UsageError("nothing to aggregate", where="fit: aggregate", expected="None", found=request.aggregate)
    reference, groups = compared_groups(cells.frame, request)
    panel = _panel(cells, request, reference, groups)
    compared = np.stack([np.asarray(panel.column("group") == g, bool) for g in groups], axis=1)
    absorber = _absorber(panel)
    fits = [_fit(panel, request, np.asarray(compared.any(axis=1, keepdims=True)), absorber)]
    label = "pooled" if len(groups) > 1 else groups[0]
    everything = np.ones(len(panel.frame), bool)
    terms = [_term(panel, 0, np.array([-1.0]), label, everything, reference)]
    if len(groups) > 1:
        fits.append(_fit(panel, request, compared, absorber))
        for i, g in enumerate(groups):
            rows = (panel.column("group") == g) | (panel.column("group") == reference)
            terms.append(_term(panel, 1, -np.eye(len(groups))[i], g, rows, reference))
    return LinearEstimate(tuple(terms), panel.dropped, panel.unbalanced, tuple(fits), no_permutation=NO_PERMUTATION)


def _by_cells(request: Request) -> bool:
    """Whether the method is one of group-time comparisons. Raises UsageError for unknown words and for the other's options."""
    method = request.own.get("method", "regression")
    known(method, METHODS_OF_CELLS, "method", "fit: triple_difference, method")
    regression = method == "regression"
    none = (*triple_cells.OPTIONS,) if regression else (*OF_VARIANCE, *OF_CELLS)
    if wrong := [name for name in none if name in request.own and name != "draws"]:
        raise UsageError(
            f"{wrong[0]} has no part in this method",
            where=f"fit: triple_difference, {wrong[0]}",
            expected="nothing",
            found=request.own[wrong[0]],
            fix="choose method='dr', 'reg' or 'ipw'" if regression else "leave it out, or choose method='regression'",
        )
    return not regression


def _panel(cells: Cells, request: Request, reference: str, groups: tuple[str, ...]) -> Panel:
    """Cells by unit, group and period; unit-groups seen on one side only left out."""
    return checked(plain_panel(cells, "gap", (reference, *groups)), request)


def _absorber(panel: Panel) -> Absorber:
    """Effects of unit and group, parent and period, group and period: every regression of a call has them."""
    effects = [panel.unit_group, panel.code("parent", "time", *panel.level), panel.code(*reversed(panel.periods))]
    return Absorber(effects, panel.frame["w"].to_numpy(float), panel.cluster)


def _fit(panel: Panel, request: Request, compared: Flags, absorber: Absorber) -> Fit:
    frame = panel.frame
    treated = panel.treated.astype(float)
    covariates = np.column_stack([treated, panel.covariates()])
    return regress(
        panel.Y,
        compared.astype(float) * treated[:, None],
        covariates,
        effects=absorber.effects,
        cluster=panel.column("cluster"),
        cluster2=panel.second_cluster,
        weights=frame["w"].to_numpy(float),
        names=[
            *(f"compared {i}" for i in range(compared.shape[1])),
            "treated",
            *(f"x{j}" for j in range(covariates.shape[1] - 1)),
        ],
        n_obs=panel.n_obs,
        request=request,
        absorber=absorber,
    )


def _term(panel: Panel, fit: int, contrast: Array, group: str, rows: Flags, reference: str) -> Term:
    """The row of one coefficient; a cluster counts where it has the reference group and a compared one in the same period."""
    starts = np.unique(panel.frame["cohort"].to_numpy()[panel.treated])
    cohort = panel.cohorts[float(starts[0])] if len(starts) == 1 else None
    place, of_reference = panel.code("parent", "time", *panel.level), panel.column("group") == reference
    both = [np.bincount(place[rows & side], minlength=place.max() + 1) > 0 for side in (of_reference, ~of_reference)]
    _, treated, comparison = panel.clusters(rows & (both[0] & both[1])[place])
    base = replace(panel.base(rows), n_treated_clusters=treated, n_comparison_clusters=comparison)
    return Term("att_gap", contrast, base, fit, 0, group, cohort)

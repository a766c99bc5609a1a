"""Two-stage estimator: a change per unit with its sampling error, then a random-effects regression of changes on treatment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.estimators import few_treated
from p4equity.estimators.arms import require_arms
from p4equity.estimators.base import FEW, Answer, Estimate, Request, Term, estimand
from p4equity.estimators.changes import Changes, average_over_groups, unit_changes
from p4equity.estimators.linear import PERMUTATIONS
from p4equity.estimators.panels import Panel, gap_panel, plain_panel, unbalanced
from p4equity.estimators.permuted_changes import few_treated_changes, permute_changes
from p4equity.estimators.tidy import Cells
from p4equity.inference.averaged_t import averaged_component, averaged_t
from p4equity.inference.random_effects import METHODS, RandomEffectsFit, linear_component, meta_regression, t_answer

OPTIONS = ("tau2", "limit", "strata")
AVERAGED = ("averaged_t", "averaged_t_varying")
INFERENCES = ("knapp_hartung", *AVERAGED, *PERMUTATIONS, *few_treated.METHODS, "none")
FEW_TREATED = "{} treated units: their own spread is hardly seen, and no method holds its level when it differs from the others'"


@dataclass(frozen=True)
class ChangesEstimate(Estimate):
    """Result: one set of changes a group and cohort; known says whether sampling errors were given."""

    sets: tuple[Changes, ...]
    known: bool

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """One answer a term under Knapp-Hartung, permutation, or the estimate alone."""
        return [(term, _answer(self.sets[term.fit], term, self.known, inference, request)) for term in self.terms]


def estimate(cells: Cells, request: Request) -> ChangesEstimate:
    """Mean change of treated units beyond that of never treated units, random-effects weighted.

    Stage 1: y_u, mean after minus mean before of unit u, with sampling variance v_u from `sampling_se` (errors of one
    unit's periods count as independent: where members recur, pass changes with their own errors, one row a unit,
    time=None). Stage 2: y_u = a + b D_u + r_u + e_u, r_u ~ (0, tau2), e_u ~ (0, v_u), weights 1 / (v_u + tau2); Knapp
    and Hartung's error, t with n - 2 degrees of freedom; averaged_t: a t test averaged over variance patterns, which
    holds its size best where sizes differ (see `inference.averaged_t`; averaged_t_varying where effects may differ between
    treated units); or permutation of D among units, of the difference standardized under the null. Without sampling_se
    units count alike (a t test of changes). tau2: PM (default), REML or DL. With a group, the gap's weights serve reference
    and group too, so that gap = reference - group to rounding;
    several groups: first rows are averages over groups. Several cohorts: see `changes`; then one row a cohort
    follows. Assumptions: parallel trends; units independent. Source: Donald and Lang (2007); Knapp and Hartung
    (2003). Reference cases: the hand-worked case and statsmodels' values in tests/reference/meta_regression.
    """
    _check(cells, request)
    panel = plain_panel(cells) if request.group is None else gap_panel(cells, request)
    parts = {g: panel.take(np.asarray(panel.column("group") == g, bool)) for g in panel.groups}
    labelled = _sets(parts, request, None)
    first = labelled[0][1]
    lost = (*panel.dropped, *first.dropped)
    require_arms(int(first.treated.sum()), int((~first.treated).sum()), request, panel.arms, lost)
    if first.several:
        for cohort in sorted(panel.frame["cohort"].dropna().unique()):
            only = {
                g: p.take(np.asarray(p.frame["cohort"].isna() | (p.frame["cohort"] == cohort), bool)) for g, p in parts.items()
            }
            found = _sets(only, request, panel.cohorts[float(cohort)])
            labelled += [item for item in found if item[1].treated.any()]
    terms = [
        Term(estimand("att", name), np.zeros((1, 0)), changes.base[j], i, j, group, changes.cohort)
        for i, (group, changes) in enumerate(labelled)
        for j, name in enumerate(panel.outcomes)
    ]
    dropped = tuple(dict.fromkeys(d for _, changes in labelled[: len(parts) + 1] for d in changes.dropped))
    stays = () if panel.frame["time"].nunique() == 1 else unbalanced(panel)
    return ChangesEstimate(
        tuple(terms), panel.dropped + dropped, stays, tuple(c for _, c in labelled), request.sampling_se is not None
    )


def _check(cells: Cells, request: Request) -> None:
    method = request.own.get("tau2", "PM")
    if method not in METHODS:
        raise UsageError(
            "unknown tau2", where="fit: tau2", expected=", ".join(METHODS), found=method, fix=did_you_mean(str(method), METHODS)
        )
    if request.covariates:
        raise UsageError(
            "no covariates here", where="fit: covariates", expected="none", found=", ".join(request.covariates), fix="use did"
        )
    if request.comparison != "never":
        raise UsageError(
            "one change a unit has one arm", where="fit: comparison", expected="never", found=request.comparison, fix="use did"
        )
    if request.aggregate is not None:
        raise UsageError("nothing to aggregate", where="fit: aggregate", expected="None", found=request.aggregate)
    if (cells.frame["cluster"] != cells.frame["unit"]).any():
        raise UsageError(
            "units are the clusters here",
            where="fit: cluster",
            expected="none, or the unit",
            found="another column",
            fix="pass the cluster as unit",
        )
    if request.sampling_se is not None and (cells.frame["se"] == 0).any():
        raise DataError(
            "sampling errors of zero",
            where=f"fit: column '{request.sampling_se}'",
            expected="above 0",
            found=f"{int((cells.frame['se'] == 0).sum())} cells",
        )
    if cells.frame["time"].nunique() == 1 and (cells.frame["rows"] > 1).any():
        raise DataError(
            "several rows a unit",
            where="fit: data",
            expected="one change a unit, or a time column",
            found=f"{int((cells.frame['rows'] > 1).sum())} units",
        )


def _sets(parts: dict[str, Panel], request: Request, cohort: object) -> list[tuple[str, Changes]]:
    """Changes by group, their average first where groups are several."""
    each = [(g, unit_changes(p, request)) for g, p in parts.items()]
    if len(each) > 1:
        each = [("pooled", average_over_groups([c for _, c in each])), *each]
    return [(g, replace(c, cohort=cohort) if cohort is not None else c) for g, c in each]


def _answer(changes: Changes, term: Term, known: bool, inference: str, request: Request) -> Answer:
    n, arm = len(changes.units), changes.treated
    if n < 3 or not arm.any() or arm.all():
        return Answer(
            reason=f"{int(arm.sum())} treated and {int((~arm).sum())} comparison units with a change: three units needed"
        )
    if inference in few_treated.METHODS:
        return few_treated_changes(changes, term.outcome, known, inference, request)
    if inference in PERMUTATIONS:
        return permute_changes(changes, term.outcome, known, inference, request)
    averaged = inference in AVERAGED
    fit = (
        _averaged(changes, term.outcome, known, inference, request)
        if averaged
        else _fitted(changes, term.outcome, known, request)
    )
    if inference == "none":
        return Answer(fit.estimate)
    if not fit.std_error > 1e-10 * float(np.abs(changes.Y).max(initial=1e-300)) + 1e-14 * changes.scale:
        return Answer(reason="no variation left to estimate a standard error from")
    few = (FEW_TREATED.format(int(arm.sum())),) if arm.sum() < FEW else ()
    numbers = (fit.estimate, fit.std_error, fit.statistic, fit.p_value, fit.conf_low, fit.conf_high, float(fit.df))
    return Answer(*numbers, warnings=few)


def _averaged(changes: Changes, outcome: int, known: bool, inference: str, request: Request) -> RandomEffectsFit:
    """The t test averaged over variance patterns; without sampling errors units count alike but for their arm."""
    varying, level = inference == "averaged_t_varying", request.conf_level
    V = changes.V if known else np.ones_like(changes.Y)
    main = averaged_t(changes.Y[:, 0], changes.treated, V[:, 0], conf_level=level, varying=varying)
    if outcome == 0:
        return main
    return averaged_component(
        changes.Y[:, outcome], changes.treated, V[:, outcome], main.weights, conf_level=level, varying=varying
    )


def _fitted(changes: Changes, outcome: int, known: bool, request: Request) -> RandomEffectsFit:
    """The regression of one outcome's changes. Without sampling errors all weights are equal: the t test of two means."""
    Y, V, arm, method = changes.Y, changes.V, changes.treated, str(request.own.get("tau2", "PM"))
    if not known:
        n1, n = int(arm.sum()), len(arm)
        weights = np.where(arm, 1 / n1, -1 / (n - n1))
        y = Y[:, outcome]
        rest = y - np.where(arm, y[arm].mean(), y[~arm].mean())
        q = float(rest @ rest) / (n - 2)
        return t_answer(float(weights @ y), float(np.sqrt(q * (weights @ weights))), n - 2, 0.0, q, weights, request.conf_level)
    main = meta_regression(Y[:, 0], arm, V[:, 0], method=method, conf_level=request.conf_level)
    if outcome == 0:
        return main
    return linear_component(Y[:, outcome], V[:, outcome], arm, main.weights, method=method, conf_level=request.conf_level)

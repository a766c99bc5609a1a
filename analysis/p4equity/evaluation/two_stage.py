"""Two-stage answers: system-level changes with their sampling errors, then random-effects regression and permutation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes, combine, gap_changes, rate_changes, used_cells
from p4equity.disparity.panel import ALL, Panel
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, USD, Arms, Context, base_row, failed_rows, no_arm, outcome_unit
from p4equity.evaluation.margins import margin_rows
from p4equity.evaluation.question import FAR, TOO_SMALL, Question, left_early, question_of
from p4equity.evaluation.weighting import fixed_line, weights_of_cells
from p4equity.inference.averaged_t import averaged_component, averaged_t
from p4equity.inference.permutation import PermutationResult, permutation_test
from p4equity.inference.random_effects import RandomEffectsFit, linear_component, meta_regression
from p4equity.study import Analysis
from p4equity.study.vocabulary import CHANGES_ONLY

Array = NDArray[np.float64]
ESTIMAND = "average effect on contracted systems over contract years"
SPREAD_SEEN = 3  # units in an arm from which its own spread is part of the scale
NO_VARIATION = 1e-9  # points or USD: a standard error at rounding
ONE_TREATED = "one contracted unit: its own spread is not observed, so the interval can be too narrow"
LABELS = {"gap": "gap", "reference": "reference_rate", "group": "group_rate"}


def two_stage_rows(context: Context, analysis: Analysis, measure: str, without: str | None = None) -> list[dict[str, Any]]:
    """Rows of one measure in an analysis whose estimator is the two-stage random-effects regression.

    Without one system where one is named: then the gap's rows alone, the system in their `sample`.
    """
    if measure not in context.measures:
        rows = _failed(context, analysis, measure, "all", f"no cells for {measure}")
    else:
        sets = _group_sets(context, analysis, measure)
        rows = [row for groups in sets for row in _measure_rows(context, analysis, measure, groups, without)]
    if without is None:
        return rows
    return [{**row, "sample": f"without {without}"} for row in rows if row["outcome"] == analysis.outcome]


def _group_sets(context: Context, analysis: Analysis, measure: str) -> list[tuple[str, tuple[str, ...]]]:
    """(label, groups) of each row set: one a group, one over all groups with a baseline gap, or one for all members."""
    if analysis.outcome != "gap":
        return [(ALL, ())]
    if analysis.groups == "each":
        return [(g, (g,)) for g in context.study.groups.compared]
    if measure in context.study.measure_sets.negative_control:  # no gap is expected there, so none is asked for
        return [("pooled", context.study.groups.compared)]
    return [("pooled", tuple(g for m, g in baseline_series(context, context.variant(analysis)) if m == measure))]


def _measure_rows(
    context: Context, analysis: Analysis, measure: str, groups: tuple[str, tuple[str, ...]], without: str | None
) -> list[dict[str, Any]]:
    label, members = groups
    arms = context.arms(analysis, measure, without)
    reason = no_arm(arms, measure)
    if reason is None and analysis.outcome == "gap" and not members:
        reason = "no group has a baseline gap above zero"
    if reason is None and analysis.outcome == "companion" and not context.study.measure(measure).has_reading:
        reason = "the measure has no reading to split its rate by"
    if reason:
        return _failed(context, analysis, measure, label, reason)
    panel = context.panel(context.variant(analysis))
    rows: list[dict[str, Any]] = []
    for outcome, source in _sources(context, analysis, measure, panel):
        changes = question_changes(context, analysis, source, arms, measure, members)
        question = form_question(context, analysis, changes, arms, measure)
        common = _common(context, analysis, source, changes, question, measure, outcome, label)
        found = question_answers(context, analysis, question, common)
        rows += found + margin_rows(context, analysis, question, found)
    return rows


def _sources(context: Context, analysis: Analysis, measure: str, panel: Panel) -> list[tuple[str, Panel]]:
    """Outcome names with the panel each is computed from; companions split a rate into tested and controlled given tested."""
    if analysis.outcome != "companion":
        return [(analysis.outcome, panel)]
    return list(context.companions(context.variant(analysis), measure))


def question_changes(
    context: Context, analysis: Analysis, panel: Panel, arms: Arms, measure: str, groups: Sequence[str]
) -> Changes:
    """Changes of every system in one question: in the gap of `groups`, or in the overall rate when there is none."""
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    if groups:
        return changes_of_gaps(context, context.variant(analysis), [(measure, g) for g in groups], windows, arms.comparison)
    return rate_changes(panel, [measure], windows, arms.comparison, context.study.inference.minimum_denominator)


def changes_of_gaps(
    context: Context,
    variant: tuple[str, str],
    series: Sequence[tuple[str, str]],
    windows: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    comparison: Sequence[str],
) -> Changes:
    """Changes in the gaps of these series, made once: analyses that differ in other respects share them."""
    study = context.study

    def make() -> Changes:
        return gap_changes(
            context.panel(variant), series, str(study.groups.reference), windows, comparison, study.inference.minimum_denominator
        )

    years = tuple((s, tuple(pre), tuple(post)) for s, (pre, post) in sorted(windows.items()))
    return context.once(("changes", variant, tuple(series), years, tuple(comparison)), make)


def form_question(context: Context, analysis: Analysis, changes: Changes, arms: Arms, measure: str) -> Question:
    """Registered weights over groups applied; systems without a change leave, and the note names them."""
    weights = group_weights(context, changes.series, context.variant(analysis), analysis.weighting)
    spending = measure == context.study.measure_sets.spending
    scale = USD if spending else POINTS
    sides = ("gap", "reference", "group") if analysis.outcome == "gap" else ("gap",)
    parts = {side: combine(changes, weights, side) for side in sides}
    scaled = {side: (scale * value, scale**2 * variance) for side, (value, variance) in parts.items()}
    early = left_early(context.windows(analysis, arms))
    why = TOO_SMALL if analysis.caliper is None else FAR
    question = question_of(changes.systems, arms, scaled, outcome_unit(context.study, measure), why, early)
    both = question.treated.any() and not question.treated.all()
    if analysis.estimator != "meta_regression" or analysis.weighting == "random_effects" or not both:
        return question
    members = weights_of_cells(context, analysis, changes.series, (measure,), question.systems)
    return replace(question, line=fixed_line(members, question.treated[:, None], np.ones_like(members, bool))[:, 0])


def _common(
    context: Context,
    analysis: Analysis,
    panel: Panel,
    changes: Changes,
    question: Question,
    measure: str,
    outcome: str,
    label: str,
) -> dict[str, Any]:
    reference = context.study.groups.reference if analysis.outcome == "gap" else None
    n_members, n_cells, years = count_base(changes, panel, question.systems, [reference] if reference else [])
    return base_row(
        context,
        analysis,
        estimand=f"{ESTIMAND}, {outcome}",
        measure_id=measure,
        outcome=outcome,
        group=label,
        reference_group=reference,
        sample=question.note,
        outcome_unit=question.unit,
        n_clusters=len(question.systems),
        n_treated_clusters=int(question.treated.sum()),
        n_members=int(n_members),
        n_cells=n_cells,
        first_year=min(years, default=None),
        last_year=max(years, default=None),
    )


def count_base(changes: Changes, panel: Panel, systems: Sequence[str], sides: Sequence[str]) -> tuple[float, int, set[int]]:
    """Members, cells and years behind the changes of these systems."""
    found = [used_cells(changes, panel, s, sides) for s in systems]
    return sum(f[0] for f in found), sum(f[1] for f in found), set().union(*(f[2] for f in found))


def question_answers(context: Context, analysis: Analysis, question: Question, common: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of every registered inference; the first one that gives an estimate also gives the two sides of a gap."""
    plan, treated = context.study.inference, question.treated
    rows: list[dict[str, Any]] = []
    shown = False
    alone = {"reason": ONE_TREATED} if treated.sum() == 1 else {}
    try:
        for method in analysis.inference:
            if method == "permutation":
                result = permutation_test(
                    question.values["gap"], treated, question.variances["gap"], strata=context.strata(question.systems),
                    conf_level=plan.conf_level, limit=plan.permutation_limit, seed=context.seed(analysis.id), method=plan.tau2,
                )  # fmt: skip
                rows.append({**common, **permutation_columns(result)})
                continue
            if method in CHANGES_ONLY:
                from p4equity.evaluation.two_stage_tests import tested

                rows.append({**common, **tested(context, analysis, question, method)})
                continue
            sides, shown = ("gap",) if shown else tuple(question.values), True
            for side, fit in two_stage_fits(context, question, method, sides).items():
                rows.append({**common, **alone, **fit_columns(fit, method), "inference": method})
                if side != "gap":
                    rows[-1]["outcome"] = LABELS[side]
    except P4Error as error:
        return [{**common, "inference": m, "status": "not_estimable", "reason": error.problem} for m in analysis.inference]
    return rows


def two_stage_fits(context: Context, question: Question, method: str, sides: Sequence[str]) -> dict[str, RandomEffectsFit]:
    """The answer for the gap, and its weights applied to the other sides."""
    treated, values, variances, line = question.treated, question.values, question.variances, question.line
    name = "knapp_hartung" if method == "none" else method  # the same estimate

    def side_fit(side: str, weights: Array) -> RandomEffectsFit:
        y, v = values[side], variances[side]
        make = partial(_side_fit, context, method, y, treated, v, weights)
        return context.fitted(f"{name}, a side", (y, v, treated, weights), make)

    if line is not None:
        return {side: side_fit(side, line) for side in dict.fromkeys(["gap", *sides])}
    own = context.fitted(
        name, (values["gap"], variances["gap"], treated),
        lambda: _gap_fit(context, method, values["gap"], treated, variances["gap"]),
    )  # fmt: skip
    return {"gap": own, **{side: side_fit(side, own.weights) for side in sides if side != "gap"}}


def _few(treated: NDArray[np.bool_]) -> bool:
    """With one or two units in an arm the spread is that of the other arm: agreement there must not narrow the interval."""
    return min(int(treated.sum()), int((~treated).sum())) < SPREAD_SEEN


def _gap_fit(context: Context, method: str, y: Array, treated: NDArray[np.bool_], v: Array) -> RandomEffectsFit:
    plan = context.study.inference
    if method in ("knapp_hartung", "none"):
        return meta_regression(y, treated, v, method=plan.tau2, conf_level=plan.conf_level, truncate=_few(treated))
    return averaged_t(y, treated, v, conf_level=plan.conf_level, varying=method == "averaged_t_varying")


def _side_fit(context: Context, method: str, y: Array, treated: NDArray[np.bool_], v: Array, weights: Array) -> RandomEffectsFit:
    plan, level = context.study.inference, context.study.inference.conf_level
    if method in ("knapp_hartung", "none"):
        return linear_component(y, v, treated, weights, method=plan.tau2, conf_level=level, truncate=_few(treated))
    return averaged_component(y, treated, v, weights, conf_level=level, varying=method == "averaged_t_varying")


def fit_columns(fit: RandomEffectsFit, method: str) -> dict[str, Any]:
    """Answer columns of a fit; changes that do not differ within arms leave no error to estimate. A mixture has no statistic."""
    if method == "none":
        return {"estimate": fit.estimate}
    if not fit.std_error > NO_VARIATION:
        return {"status": "not_estimable", "reason": "no variation left to estimate a standard error from"}
    return {
        "estimate": fit.estimate, "std_error": fit.std_error,
        "statistic": fit.statistic if np.isfinite(fit.statistic) else None, "p_value": fit.p_value,
        "conf_low": fit.conf_low, "conf_high": fit.conf_high, "df": fit.df,
    }  # fmt: skip


def permutation_columns(result: PermutationResult) -> dict[str, Any]:
    """Answer columns of a permutation test; a single admissible assignment has no test."""
    if result.n_assignments == 1:
        reason = "contracts cannot be exchanged: no other system in the stratum"
        return {"inference": "permutation", "status": "not_estimable", "reason": reason}
    bounded = np.isfinite(result.conf_low) and np.isfinite(result.conf_high)
    return {
        "inference": "permutation",
        "estimate": result.estimate, "statistic": result.statistic, "p_value": result.p_value,
        "conf_low": result.conf_low if np.isfinite(result.conf_low) else None,
        "conf_high": result.conf_high if np.isfinite(result.conf_high) else None,
        "p_attainable": result.p_attainable,
        "reason": f"{result.n_assignments} assignments"
        + ("" if bounded else "; interval unbounded: the smallest attainable p exceeds alpha")
        + (f"; sampled, Monte Carlo error {result.monte_carlo_error:.4f}" if result.sampled else ""),
    }  # fmt: skip


def _failed(context: Context, analysis: Analysis, measure: str, group: str, reason: str) -> list[dict[str, Any]]:
    what = {"estimand": ESTIMAND, "measure_id": measure, "outcome": analysis.outcome, "group": group}
    return failed_rows(context, analysis, reason, **what)

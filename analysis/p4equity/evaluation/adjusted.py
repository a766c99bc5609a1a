"""The primary question with one covariate of the systems in the model: did something else make the difference?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context, base_row, failed_rows, no_arm
from p4equity.evaluation.covariates import covariate_values
from p4equity.evaluation.pooled import stacked_data
from p4equity.evaluation.tasks import POOLED
from p4equity.evaluation.two_stage import fit_columns, form_question, permutation_columns, question_changes
from p4equity.inference.covariate import (
    CovariateRegression,
    covariate_answer,
    effect_regression,
    interaction_regression,
    slope_regression,
)
from p4equity.inference.residual_permutation import residual_permutation
from p4equity.inference.stacked import Stacked
from p4equity.study import Analysis
from p4equity.study.names import covariate_name

EFFECT, SLOPE, INTERACTION = "adjusted_gap", "gap_per_dose", "effect_per_dose"
REGRESSIONS = {EFFECT: effect_regression, SLOPE: slope_regression, INTERACTION: interaction_regression}
COMPARISON = "comparison systems"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """Two answers a measure, and for all of them pooled: the effect beside the covariate, and the slope of comparison systems.

    Where the plan asks, a third: how much more the effect is with the covariate.
    """
    asked = [*context.study.measure_ids(analysis.measures), *([POOLED] if analysis.also_pooled else [])]
    return dict.fromkeys(asked, len(outcomes_of(analysis)) * len(analysis.inference))


def outcomes_of(analysis: Analysis) -> tuple[str, ...]:
    """What an analysis with a covariate answers."""
    return (EFFECT, SLOPE, INTERACTION) if analysis.interaction else (EFFECT, SLOPE)


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The effect on the gap at one value of the covariate, and the change in the gap along it among comparison systems.

    Both without an interaction: with so few contracted systems an effect that varies with the covariate is little more than one
    system's change. Where the plan asks for it, it is an answer of its own.
    """
    reason, data, systems = _pooled(context, analysis) if measure == POOLED else _of_measure(context, analysis, measure)
    if reason or data is None:
        return [row for outcome in outcomes_of(analysis) for row in _failed(context, analysis, measure, outcome, str(reason))]
    values = covariate_values(context, analysis, systems)
    known = np.isfinite(values)
    if not known.any():
        reason = f"{covariate_name(analysis.covariate).prose}: known for no system"
        return [row for outcome in outcomes_of(analysis) for row in _failed(context, analysis, measure, outcome, reason)]
    lost = [s for s, has in zip(systems, known, strict=True) if not has]
    sample = "main" if not lost else f"without {', '.join(lost)} ({covariate_name(analysis.covariate).prose} not known)"
    data, values = _kept(data, known), values[known] / covariate_name(analysis.covariate).step
    found = []
    for outcome in outcomes_of(analysis):
        try:
            regression = REGRESSIONS[outcome](data, values)
        except P4Error as error:
            found += _failed(context, analysis, measure, outcome, error.problem)
            continue
        found += _answers(context, analysis, measure, regression, data, outcome, sample)
    return found


def _kept(data: Stacked, known: np.ndarray[Any, np.dtype[np.bool_]]) -> Stacked:
    weights = None if data.cell_weights is None else data.cell_weights[known]
    return replace(
        data, y=data.y[known], contracts=data.contracts[known], covariance=data.covariance[known], strata=data.strata[known],
        cell_weights=weights,
    )  # fmt: skip


def _pooled(context: Context, analysis: Analysis) -> tuple[str | None, Stacked | None, tuple[str, ...]]:
    data = stacked_data(context, analysis)
    if not data.measures:
        return "no group has a baseline gap above zero", None, ()
    return None, data.sides["gap"], data.systems


def _of_measure(context: Context, analysis: Analysis, measure: str) -> tuple[str | None, Stacked | None, tuple[str, ...]]:
    """The changes of one measure in the same form; systems contracted only on other measures are in neither arm."""
    groups = tuple(g for m, g in baseline_series(context, context.variant(analysis)) if m == measure)
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    reason = reason or (None if groups else "no group has a baseline gap above zero")
    if reason:
        return reason, None, ()
    changes = question_changes(context, analysis, context.panel(context.variant(analysis)), arms, measure, groups)
    question = form_question(context, analysis, changes, arms, measure)
    y, v = question.values["gap"], question.variances["gap"]
    strata = context.strata(question.systems)
    return None, Stacked(y[:, None], question.treated[:, None], v[:, None, None], strata), question.systems


def _answers(
    context: Context, analysis: Analysis, measure: str, regression: CovariateRegression, data: Stacked, outcome: str, sample: str
) -> list[dict[str, Any]]:
    at, plan = regression.inside, context.study.inference
    counts = {"n_clusters": len(np.unique(regression.system[at]))}
    counts["n_treated_clusters"] = len(np.unique(regression.system[at & regression.treated]))
    common = _common(context, analysis, measure, outcome) | counts
    common["sample"] = sample if outcome != SLOPE else ", ".join([COMPARISON, *([sample] if sample != "main" else [])])
    found = []
    for method in analysis.inference:
        try:
            if method == "residual_permutation":
                answer = _permuted(regression, data, plan.conf_level, plan.wild_draws, context.seed(analysis.id))
            else:
                answer = fit_columns(covariate_answer(regression, plan.conf_level), method)
        except P4Error as error:
            answer = {"status": "not_estimable", "reason": error.problem}
        found.append({**common, **answer, "inference": method})
    return found


def _permuted(regression: CovariateRegression, data: Stacked, conf_level: float, draws: int, seed: int) -> dict[str, Any]:
    result = residual_permutation(regression, data.strata, conf_level=conf_level, draws=draws, seed=seed)
    return permutation_columns(result) | {"reason": f"{draws} draws; Monte Carlo error {result.monte_carlo_error:.4f}"}


def _common(context: Context, analysis: Analysis, measure: str, outcome: str) -> dict[str, Any]:
    name, unit = covariate_name(analysis.covariate), "percentage points"
    what = {
        EFFECT: f"average effect on contracted systems over contract years, at the same {name.prose}",
        SLOPE: f"change in the gap with {name.prose}, comparison systems",
        INTERACTION: f"difference of the effect on contracted systems with {name.prose}",
    }
    return base_row(
        context, analysis, estimand=what[outcome], measure_id=measure, outcome=outcome, group="pooled",
        reference_group=context.study.groups.reference, outcome_unit=unit if outcome == EFFECT else f"{unit} {name.per}",
    )  # fmt: skip


def _failed(context: Context, analysis: Analysis, measure: str, outcome: str, reason: str) -> list[dict[str, Any]]:
    what = {k: v for k, v in _common(context, analysis, measure, outcome).items() if k in ("estimand", "measure_id", "group")}
    rows = failed_rows(context, analysis, reason, **what, outcome=outcome)
    return rows if outcome != SLOPE else [{**row, "sample": COMPARISON} for row in rows]

"""System by system: each contracted system's change beyond the comparison systems, raw and shrunken."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import Question
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.random_effects import tau2_estimate
from p4equity.power import reliability, shrink
from p4equity.study import Analysis

ESTIMAND = "change of one system beyond the comparison systems"
RAW, SHRUNKEN = "raw", "shrunken"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One question a contracted system: the raw change and its shrunken counterpart are one answer."""
    measures = context.study.measure_ids(analysis.measures)
    return {m: len(analysis.inference) * max(len(context.arms(analysis, m).treated), 1) for m in measures}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Two rows a contracted system of one measure: the raw change in the gap and its empirical-Bayes counterpart.

    The raw error holds the system's sampling error and that of the comparison mean. Shrinkage uses the between-system variance
    of comparison systems' changes (no contract moves them), so that noise is not read as a difference between systems.
    """
    groups = tuple(g for m, g in baseline_series(context, context.variant(analysis)) if m == measure)
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    reason = reason or (None if groups else "no group has a baseline gap above zero")
    if reason:
        return [row for s in arms.treated or ("all",) for row in _missing(context, analysis, measure, s, reason)]
    panel = context.panel(context.variant(analysis))
    changes = question_changes(context, analysis, panel, arms, measure, groups)
    question = form_question(context, analysis, changes, arms, measure)
    missing = [s for s in arms.treated if s not in question.systems]
    reason = "no baseline or no contract year with the minimum denominator"
    found = [row for s in missing for row in _missing(context, analysis, measure, s, reason)]
    if question.treated.any() and not question.treated.all():
        found += _system_rows(context, analysis, measure, question)
    return found


def _system_rows(context: Context, analysis: Analysis, measure: str, question: Question) -> list[dict[str, Any]]:
    y, v, treated = question.values["gap"], question.variances["gap"], question.treated
    try:
        tau2 = tau2_estimate(y[~treated], np.ones((int((~treated).sum()), 1)), v[~treated], context.study.inference.tau2)
    except P4Error:
        tau2 = 0.0
    w = 1 / (v[~treated] + tau2)
    centre, centre_variance = float(np.average(y[~treated], weights=w)), 1 / float(w.sum())
    effect, variance = y[treated] - centre, v[treated] + centre_variance
    between = max(tau2, 1e-12)
    share = reliability(between, variance)
    shrunken, spread = shrink(effect, variance, between)
    critical = float(stats.norm.ppf(0.5 + context.study.inference.conf_level / 2))
    found = []
    for i, system in enumerate(np.array(question.systems)[treated]):
        common = base_row(
            context, analysis, estimand=ESTIMAND, measure_id=measure, outcome="gap",
            group="pooled", reference_group=context.study.groups.reference, system_id=str(system), outcome_unit=question.unit,
            inference="sampling", n_clusters=len(question.systems), n_treated_clusters=1, weighting="system",
        )  # fmt: skip
        for name, value, error in ((RAW, effect[i], np.sqrt(variance[i])), (SHRUNKEN, shrunken[i], spread[i])):
            row = {**common, "sample": name, "estimate": float(value), "std_error": float(error)}
            row |= {"conf_low": float(value - critical * error), "conf_high": float(value + critical * error)}
            if name == SHRUNKEN and len(effect) == 1:
                reason = "one contracted system: no mean to shrink toward"
                row = {**common, "sample": name, "status": "not_estimable", "reason": reason}
            elif name == SHRUNKEN:
                row |= {"statistic": float(share[i]), "reason": "statistic is the reliability of the change"}
            found.append(row)
    return found


def _missing(context: Context, analysis: Analysis, measure: str, system: str, reason: str) -> list[dict[str, Any]]:
    what = {"estimand": ESTIMAND, "measure_id": measure, "outcome": "gap", "group": "pooled", "system_id": system}
    return [
        row for name in (RAW, SHRUNKEN)
        for row in failed_rows(context, analysis, reason, **what, weighting="system", sample=name)
    ]  # fmt: skip

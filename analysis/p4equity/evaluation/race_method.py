"""How members are placed in groups in one analysis: by their class, by probabilities, or by what those said who were asked."""

from __future__ import annotations

from typing import Any

import pandas as pd

from p4equity.disparity.panel import Panel
from p4equity.disparity.race_panel import probability_panel, self_report_panel
from p4equity.evaluation.clusters import clustered
from p4equity.evaluation.composition import composed, lacks_ages, with_panel
from p4equity.evaluation.context import Context, failed_rows
from p4equity.evaluation.imputed import IMPUTED, imputed, lacks_histories
from p4equity.evaluation.matching import matched
from p4equity.study import Analysis
from p4equity.study.names import RACE_METHOD_NAMES

CLASSES, SELF_REPORT = "classes", "self_report"


def asked_in(context: Context, analysis: Analysis) -> Context:
    """The context in which an analysis is asked: its clusters are units, its members those it names, in groups by its method,
    and where it matches, its systems those with a counterpart.
    """
    return matched(placed(composed(clustered(context, analysis), analysis), analysis), analysis)


def placed(context: Context, analysis: Analysis) -> Context:
    """The context in which an analysis is asked: as it is, or with the panel of its `race_method` in place of that of classes.

    Which groups have a baseline gap is judged by classes for all methods, so that all answer the same question. Imputations have
    a panel each: the question is asked of all of them later.
    """
    method = analysis.race_method
    if method == IMPUTED or analysis.estimator == "race_level":  # levels are shown by imputation, too
        imputed(context, context.variant(analysis))
    if method == IMPUTED:
        return context
    if method == CLASSES or lacking(context, analysis):
        return context
    variant = context.variant(analysis)

    def make() -> Context:
        return with_panel(context, variant, method_panel(context, variant, method))

    return context.once(("race_method", variant, method), make)


def method_panel(context: Context, variant: tuple[str, str], method: str) -> Panel:
    """Arrays of one variant with members placed by a method other than classes."""
    base, rows = context.panel(variant), context.rows(_table(context, method), variant)
    if method == SELF_REPORT:
        return self_report_panel(base, rows)
    return probability_panel(base, rows, context.study.scheme.ids if context.study.scheme else (), method)


def lacking(context: Context, analysis: Analysis) -> str | None:
    """Why the data cannot answer by the method, or for the members asked about; None when they can."""
    if reason := lacks_ages(context, analysis):
        return reason
    variant = context.variant(analysis)
    if analysis.race_method == IMPUTED:
        return lacks_histories(context, variant)
    known = analysis.race_method == CLASSES or ("race_method", variant, analysis.race_method) in context.memory
    if known or len(context.rows(_table(context, analysis.race_method), variant)):
        return None
    return "the data hold no race and ethnicity probabilities"


def lacking_rows(context: Context, analysis: Analysis, measure: str, reason: str) -> list[dict[str, Any]]:
    """The rows of a question that the data cannot answer by the registered method."""
    what = {"estimand": RACE_METHOD_NAMES[analysis.race_method], "measure_id": measure, "outcome": analysis.outcome}
    groups = context.study.groups.compared if analysis.groups == "each" else ("pooled",)
    reference = context.study.groups.reference
    return [r for g in groups for r in failed_rows(context, analysis, reason, **what, group=g, reference_group=reference)]


def said(analysis: Analysis, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the method in the words of their estimand."""
    if analysis.race_method == CLASSES:
        return rows
    return [{**row, "estimand": f"{row['estimand']}; {RACE_METHOD_NAMES[analysis.race_method]}"} for row in rows]


def _table(context: Context, method: str) -> pd.DataFrame:
    return context.self_report if method == SELF_REPORT else context.probability

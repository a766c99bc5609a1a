"""Who the members are in one analysis: as they come, at the same ages, or the same persons throughout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from p4equity.disparity.composition import (
    AGE_STANDARDIZED,
    STAYED,
    age_counts,
    age_standardized,
    of_stayed,
    of_stayed_weighted,
    panel_of,
)
from p4equity.disparity.panel import Panel
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.study import Analysis

OPEN = "open"
LACKING = "the data hold no cells by age"


def composed(context: Context, analysis: Analysis) -> Context:
    """The context in which an analysis is asked: as it is, or with the panel of its `members` in place of that of all.

    Which groups have a baseline gap is judged on all members, so that every answer is to the same question.
    """
    if analysis.members == OPEN or lacks_ages(context, analysis):
        return context
    variant = context.variant(analysis)

    def make() -> Context:
        return with_panel(context, variant, members_panel(context, variant, analysis.members))

    return context.once(("members", variant, analysis.members), make)


def lacks_ages(context: Context, analysis: Analysis) -> str | None:
    """Why the data cannot answer for these members; None when they can."""
    variant = context.variant(analysis)
    known = analysis.members == OPEN or ("members", variant, analysis.members) in context.memory
    return None if known or len(context.rows(context.ages, variant)) else LACKING


def with_panel(context: Context, variant: tuple[str, str], panel: Panel) -> Context:
    """A context whose questions on one variant are asked of another panel; what gaps exist at baseline is judged as ever."""
    known: dict[str | tuple[Any, ...], Any] = {
        "measures": context.measures,
        "baseline_series": baseline_series(context, variant),
        ("panel", variant): panel,
    }
    return replace(context, cell=context.cell.iloc[:0], overlap=context.overlap.iloc[:0], memory=known)


def members_panel(context: Context, variant: tuple[str, str], members: str) -> Panel:
    """Arrays of one variant for members other than all as they come."""
    base = context.panel(variant)
    counts = age_counts(base, context.rows(context.ages, variant))
    if members == AGE_STANDARDIZED:
        return panel_of(base, age_standardized(base, counts, context.study.baseline.weights_years))
    if members == STAYED:
        return panel_of(base, of_stayed(counts))
    return panel_of(base, of_stayed_weighted(base, counts, max(context.study.baseline.pre_years)))

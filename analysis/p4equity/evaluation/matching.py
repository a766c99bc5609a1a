"""The same question of systems that had like gaps before: matched on the baseline gap, measure by measure."""

from __future__ import annotations

import numpy as np

from p4equity.disparity.matching import baseline_gaps, with_counterpart, without
from p4equity.disparity.panel import Panel
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.composition import with_panel
from p4equity.evaluation.context import POINTS, Context
from p4equity.study import Analysis


def matched(context: Context, analysis: Analysis) -> Context:
    """The context in which an analysis is asked: as it is, or without what has no counterpart within its `caliper`.

    A system leaves a measure when no system of the other arm had a gap that near over the years before. It looks at those years
    alone, so that the choice is blind to any effect.
    """
    if analysis.caliper is None:
        return context
    variant = context.variant(analysis)
    key = ("matched", variant, analysis.id)
    return context.once(key, lambda: with_panel(context, variant, _matched_panel(context, analysis, analysis.caliper or 0.0)))


def _matched_panel(context: Context, analysis: Analysis, caliper: float) -> Panel:
    variant = context.variant(analysis)
    panel = context.panel(variant)
    pairs, reference = baseline_series(context, variant), str(context.study.groups.reference)
    years = analysis.pre_years or context.study.baseline.pre_years
    found = panel
    for measure in context.study.measure_ids(analysis.measures):
        groups = [g for m, g in pairs if m == measure]
        if not groups:
            continue
        arms = context.arms(analysis, measure)
        treated, comparison = arms.flags(panel.systems), np.isin(panel.systems, arms.comparison)
        gaps = POINTS * baseline_gaps(panel, measure, groups, reference, years)
        found = without(found, measure, ~with_counterpart(gaps, treated, comparison, caliper))
    return found

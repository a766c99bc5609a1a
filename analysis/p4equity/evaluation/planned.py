"""Registered questions as they could be planned: who is compared over which years with what error, before any result is read.

Denominators, rates and overlap are those of baseline years (`disparity.planned_panel`); contracts, exits and years are the
study's. A system enters when its baseline years reach the minimum denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from p4equity.disparity.changes import mean_contrasts
from p4equity.disparity.planned_panel import planned_panel
from p4equity.evaluation.baseline import group_weights
from p4equity.evaluation.composition import with_panel
from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import stacked_data
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.shocks import change_variances
from p4equity.inference.stacked import Array, Flags, Stacked
from p4equity.study import Analysis


@dataclass(frozen=True)
class PlannedQuestion:
    """Cells of one question without changes: zero where a system would have one. One column a measure.

    factors: (S, M) variance of a change that yearly shocks of variance one imply.
    """

    measures: tuple[str, ...]
    systems: tuple[str, ...]
    cells: Stacked
    factors: Array

    @property
    def treated(self) -> Flags:
        """(S,) contracted systems."""
        return np.asarray(self.cells.contracts.any(axis=1))

    def with_shocks(self, spread: float) -> Stacked:
        """The cells with the variance of yearly shocks of this standard deviation beside the sampling variance."""
        own = spread**2 * self.factors[:, :, None] * np.eye(len(self.measures))
        return replace(self.cells, covariance=self.cells.covariance + own)


def planned_context(context: Context, analysis: Analysis) -> Context:
    """The context in which the questions of an analysis are asked of planned panels."""
    study, variant = context.study, context.variant(analysis)
    before = tuple(analysis.pre_years or study.baseline.pre_years)

    def make() -> Context:
        groups = [str(study.groups.reference), *study.groups.compared]
        systems = [s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)]
        measures = [m for m in study.measure_sets.contracted if m in context.measures]
        return with_panel(context, variant, planned_panel(context.panel(variant), measures, groups, systems, before))

    return context.once(("planned", variant, before), make)


def planned_question(context: Context, analysis: Analysis, measure: str, groups: Sequence[str]) -> PlannedQuestion | None:
    """One measure's question on the mean gap of some groups; None where an arm is empty or fewer than three systems enter."""
    arms = context.arms(analysis, measure)
    if measure not in context.measures or not groups or not arms.treated or not arms.comparison:
        return None
    planned, variant = planned_context(context, analysis), context.variant(analysis)
    changes = question_changes(planned, analysis, planned.panel(variant), arms, measure, groups)
    asked = form_question(planned, analysis, changes, arms, measure)
    if not asked.treated.any() or asked.treated.all() or len(asked.systems) < 3:
        return None
    at = [changes.systems.index(s) for s in asked.systems]
    contrasts = mean_contrasts(changes, group_weights(planned, changes.series, variant), (measure,))[at]
    variances = asked.variances["gap"][:, None, None]
    cells = Stacked(np.zeros((len(at), 1)), asked.treated[:, None], variances, context.strata(asked.systems))
    return PlannedQuestion((measure,), asked.systems, cells, change_variances(contrasts, planned.panel(variant).years))


def planned_stack(context: Context, analysis: Analysis) -> PlannedQuestion | None:
    """The question over all its measures; None where it cannot be formed."""
    planned, variant = planned_context(context, analysis), context.variant(analysis)
    found = stacked_data(planned, analysis)
    gap = found.sides["gap"]
    if not gap.estimable:
        return None
    at = [found.changes.systems.index(s) for s in found.systems]
    weights = group_weights(planned, found.changes.series, variant)
    contrasts = mean_contrasts(found.changes, weights, found.measures)[at]
    cells = replace(gap, y=np.where(gap.present, 0.0, np.nan))
    return PlannedQuestion(found.measures, found.systems, cells, change_variances(contrasts, found.panel.years))

"""The registered primary questions without their answers: cells, contracts, sampling covariances, and baseline years alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import mean_contrasts
from p4equity.disparity.yearly import YearlyGaps, yearly_gaps
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Context, no_arm
from p4equity.evaluation.pooled import stacked_data
from p4equity.evaluation.two_stage import form_question, question_changes
from p4equity.inference.stacked import Array, Stacked
from p4equity.study import Analysis

POOLED = "pooled"


@dataclass(frozen=True)
class Question:
    """One registered row, blind to its changes.

    cells: the stacked cells (S, M) with zeros for changes; a question about one measure has one column. contrasts: (S, M, T)
    weights of the study's years in each change. baseline: yearly gaps of the baseline years in percentage points.
    pre_years: baseline years of this question. meaningful: the change worth finding, points, or None.
    """

    analysis_id: str
    measure_id: str
    cells: Stacked
    contrasts: Array
    years: tuple[int, ...]
    baseline: YearlyGaps
    pre_years: tuple[int, ...]
    meaningful: float | None

    @property
    def pooled(self) -> bool:
        """Whether several measures are asked about at once."""
        return self.measure_id == POOLED

    @property
    def treated(self) -> NDArray[np.bool_]:
        """(S,) contracted systems."""
        return np.asarray(self.cells.contracts.any(axis=1))


@dataclass(frozen=True)
class Unanswerable:
    """A registered row that cannot be calibrated, and why."""

    analysis_id: str
    measure_id: str
    reason: str


def questions(context: Context, meaningful: dict[str, float]) -> list[Question | Unanswerable]:
    """Every primary row on a gap, in registered order. meaningful: measure (or pooled) -> change in points."""
    out: list[Question | Unanswerable] = []
    for analysis in context.study.analyses:
        if analysis.registered != "primary" or analysis.leave_out is not None:
            continue
        if analysis.estimator != "meta_regression" or analysis.outcome != "gap" or not context.study.groups.compared:
            names = (POOLED,) if analysis.pooled else context.study.measure_ids(analysis.measures)
            reason = "changes with a stated sampling variance are what is simulated, and this question has none"
            out += [Unanswerable(analysis.id, m, reason) for m in names]
            continue
        if not analysis.pooled:
            out += [_of_measure(context, analysis, m, meaningful) for m in context.study.measure_ids(analysis.measures)]
        if analysis.pooled or analysis.also_pooled:
            out.append(_of_all(context, analysis, meaningful))
    return out


def _of_measure(context: Context, analysis: Analysis, measure: str, meaningful: dict[str, float]) -> Question | Unanswerable:
    variant = context.variant(analysis)
    arms = context.arms(analysis, measure)
    groups = tuple(g for m, g in baseline_series(context, variant) if m == measure)
    reason = f"no cells for {measure}" if measure not in context.measures else no_arm(arms, measure)
    if reason is None and not groups:
        reason = "no group has a baseline gap above zero"
    if reason:
        return Unanswerable(analysis.id, measure, reason)
    panel = context.panel(variant)
    changes = question_changes(context, analysis, panel, arms, measure, groups)
    asked = form_question(context, analysis, changes, arms, measure)
    if len(asked.systems) < 3 or not asked.treated.any() or asked.treated.all():
        return Unanswerable(analysis.id, measure, "too few systems with a change in one of the arms")
    at = [changes.systems.index(s) for s in asked.systems]
    contrasts = mean_contrasts(changes, group_weights(context, changes.series, variant), (measure,))[at]
    cells = Stacked(
        np.zeros((len(at), 1)), asked.treated[:, None], asked.variances["gap"][:, None, None], context.strata(asked.systems)
    )
    return _question(context, analysis, measure, cells, contrasts, asked.systems, changes.series, meaningful)


def _of_all(context: Context, analysis: Analysis, meaningful: dict[str, float]) -> Question | Unanswerable:
    pooled = stacked_data(context, analysis)
    gap = pooled.sides["gap"]
    if not gap.estimable:
        return Unanswerable(analysis.id, POOLED, "no measure with a change in both arms")
    weights = group_weights(context, pooled.changes.series, context.variant(analysis))
    at = [pooled.changes.systems.index(s) for s in pooled.systems]
    contrasts = mean_contrasts(pooled.changes, weights, pooled.measures)[at]
    blind = replace(gap, y=np.where(gap.present, 0.0, np.nan))
    kept = np.flatnonzero(gap.present.any(axis=1))  # a system without any change takes no part
    cells = Stacked(
        blind.y[kept], blind.contracts[kept], np.nan_to_num(blind.covariance[kept]), blind.strata[kept],
        None if blind.cell_weights is None else blind.cell_weights[kept],
    )  # fmt: skip
    systems = tuple(pooled.systems[i] for i in kept)
    return _question(context, analysis, POOLED, cells, contrasts[kept], systems, pooled.changes.series, meaningful)


def _question(
    context: Context,
    analysis: Analysis,
    measure: str,
    cells: Stacked,
    contrasts: Array,
    systems: tuple[str, ...],
    series: tuple[tuple[str, str], ...],
    meaningful: dict[str, float],
) -> Question | Unanswerable:
    study, variant = context.study, context.variant(analysis)
    weights = group_weights(context, series, variant)
    pre = study.baseline.pre_years
    try:
        gaps = yearly_gaps(
            context.panel(variant), {pair: weights[j] for j, pair in enumerate(series)}, str(study.groups.reference), systems,
            pre, study.inference.minimum_denominator,
        )  # fmt: skip
    except P4Error as error:
        return Unanswerable(analysis.id, measure, error.problem)
    gaps = replace(gaps, values=POINTS * gaps.values, covariance=POINTS**2 * gaps.covariance)
    own = tuple(analysis.pre_years or pre)
    return Question(analysis.id, measure, cells, contrasts, study.years, gaps, own, meaningful.get(measure))

"""The primary rows' permutations and restricted wild bootstraps alone: what `make bench` holds against its bars."""

from __future__ import annotations

from typing import Any

import pandas as pd

from p4equity.estimators import fit
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.evaluation.regression import gap_frame
from p4equity.evaluation.tasks import Task, task_rows, tasks_of
from p4equity.study import Analysis

CELL = ["unit", "group", "year"]


def primary_permutations(context: Context) -> list[dict[str, Any]]:
    """The rows of every permutation a primary analysis registers, exact up to the plan's limit, intervals inverted."""
    return [row for task in _tasks(context, "permutation") for row in task_rows(context, task)]


def primary_bootstraps(context: Context) -> list[pd.DataFrame]:
    """For every primary row on a gap, the planned restricted wild bootstrap of the two-way regression of its cells.

    One frame a primary row: the average over its groups first, then each group, each with its reference and group side.
    """
    return [_bootstrap(context, task) for task in _tasks(context, None)]


def _bootstrap(context: Context, task: Task) -> pd.DataFrame:
    plan, reference = context.study.inference, str(context.study.groups.reference)
    return fit(
        "did", primary_frame(context, task), outcome="rate", unit="unit", parent="system_id", time="year", cohort="cohort",
        group="group", reference=reference, inference="wild_bootstrap", draws=plan.wild_draws, wild_weights=plan.wild_weights,
        seed=context.seed(task.analysis.id),
    )  # fmt: skip


def primary_frame(context: Context, task: Task) -> pd.DataFrame:
    """Cells of a primary question: system and measure (unit), group, year, rate, weight, cohort of the unit's own contract."""
    analysis = task.analysis
    measures = context.study.measure_ids(analysis.measures) if task.pooled else (task.measure,)
    parts = [
        gap_frame(context, analysis, m, g, context.arms(analysis, m)).assign(measure_id=m)
        for m, g in baseline_series(context, context.variant(analysis)) if m in measures
    ]  # fmt: skip
    cells = pd.concat(parts, ignore_index=True)
    return cells.assign(unit=cells["system_id"] + " " + cells["measure_id"]).drop_duplicates(CELL, ignore_index=True)


def _tasks(context: Context, method: str | None) -> list[Task]:
    """Tasks of the primary analyses of gaps in two stages; with a method, of those that register it, and with it alone."""
    return [
        task for a in context.study.analyses if _is_primary(a) and (method is None or method in a.inference)
        for task in tasks_of(context, a if method is None else a.model_copy(update={"inference": (method,)}))
    ]  # fmt: skip


def _is_primary(analysis: Analysis) -> bool:
    two_stage = analysis.estimator == "meta_regression" and analysis.outcome == "gap"
    return analysis.registered == "primary" and two_stage and analysis.leave_out is None

"""The registered plan cut into tasks: one question each, independent of all others, its rows known by number beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from p4equity.evaluation.context import COMPANIONS, Context
from p4equity.evaluation.imputed import IMPUTED, imputed_rows
from p4equity.evaluation.pooled import left_out, pooled_rows
from p4equity.evaluation.race_method import asked_in, lacking, lacking_rows, said
from p4equity.evaluation.two_stage import two_stage_rows
from p4equity.study import Analysis

POOLED = "pooled"
# Estimator of a question of this field -> the file of this folder that answers it, with `numbers_of_rows` and `rows`.
OWN = {
    "adjusted_change": "adjusted",
    "system_change": "by_system", "cost_per_point": "cost", "exit_bounds": "exit_bounds", "selected_baseline": "selection",
    "scale_change": "scales", "race_level": "race_level",
    "attributed_share": "attributed_share", "paid_contrast": "paid_contrast", "documentation": "documentation",
    "leveling": "leveling", "retention": "retention", "specification_break": "broken_series",
    "placebo_date": "placebo",
}  # fmt: skip
PERMUTED_TOGETHER = 100  # a permutation of whole contract rows takes as long as this many other rows


@dataclass(frozen=True)
class Task:
    """One question of an analysis: about a measure (and, for regressions, a group), or about all measures pooled.

    without: the system left out. rows: how many answers are registered, a method of inference each.
    """

    analysis: Analysis
    measure: str
    rows: int
    group: str | None = None
    without: str | None = None

    @property
    def pooled(self) -> bool:
        """Whether all measures are asked about at once."""
        return self.measure == POOLED

    @property
    def work(self) -> int:
        """A rough measure of the time it takes, in rows."""
        return self.rows + PERMUTED_TOGETHER * (self.pooled and "permutation" in self.analysis.inference)


class OwnQuestion(Protocol):
    """A file that answers one kind of question of this field, a measure (or `POOLED`) at a time."""

    def numbers_of_rows(self, context: Context, analysis: Analysis) -> dict[str, int]:
        """How many answers are registered for each measure, in the order of the rows; `POOLED` for all measures at once."""

    def rows(self, context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
        """The rows of one measure, or of all measures at once."""


def own_question(estimator: str) -> OwnQuestion:
    """The file that answers it."""
    return cast("OwnQuestion", import_module(f"p4equity.evaluation.{OWN[estimator]}"))


def tasks_of(context: Context, analysis: Analysis) -> list[Task]:
    """The tasks of one analysis, in the order of its rows."""
    context = asked_in(context, analysis)
    study, methods = context.study, len(analysis.inference)
    measures = study.measure_ids(analysis.measures)
    if analysis.estimator == "meta_regression":
        asked = 1 if analysis.outcome != "gap" or analysis.groups != "each" else len(study.groups.compared)
        each = [
            Task(analysis, m, methods * asked * _parts(context, analysis, m), without=without)
            for m in (() if analysis.pooled else measures) for without in left_out(context, analysis, m)
        ]  # fmt: skip
        together = left_out(context, analysis) if analysis.pooled or analysis.also_pooled else ()
        return each + [Task(analysis, POOLED, methods, without=without) for without in together]
    if analysis.estimator in OWN:
        return [Task(analysis, m, n) for m, n in own_question(analysis.estimator).numbers_of_rows(context, analysis).items()]
    from p4equity.evaluation.regression import regression_groups

    return [Task(analysis, m, methods, group) for m in measures for group in regression_groups(context, analysis)]


def _parts(context: Context, analysis: Analysis, measure: str) -> int:
    """How many outcomes an analysis has for a measure: companions split a rate in two where there is a reading."""
    split = analysis.outcome == "companion" and context.study.measure(measure).has_reading
    return len(COMPANIONS) if split else 1


def task_rows(context: Context, task: Task) -> list[dict[str, Any]]:
    """The rows of one task."""
    analysis, context = task.analysis, asked_in(context, task.analysis)
    if analysis.estimator == "meta_regression":
        if reason := lacking(context, analysis):
            return lacking_rows(context, analysis, task.measure, reason)
        if analysis.race_method == IMPUTED:
            return said(analysis, imputed_rows(context, analysis, lambda one: _changes_rows(one, task)))
        return said(analysis, _changes_rows(context, task))
    if analysis.estimator in OWN:
        return own_question(analysis.estimator).rows(context, analysis, task.measure)
    from p4equity.evaluation.regression import regression_rows

    return regression_rows(context, analysis, task.measure, str(task.group))


def _changes_rows(context: Context, task: Task) -> list[dict[str, Any]]:
    """The rows of one question in two stages."""
    if task.pooled:
        return pooled_rows(context, task.analysis, task.without)
    return two_stage_rows(context, task.analysis, task.measure, task.without)


def bundles(context: Context, tasks: Sequence[Task]) -> list[list[int]]:
    """Positions of tasks that share what they start from and are therefore done by one process, the longest bundles first.

    Regressions share the frame of a measure and group, two-stage answers the changes of a measure, and systems left out the
    pooled question.
    """
    found: dict[tuple[object, ...], list[int]] = {}
    for i, task in enumerate(tasks):
        asked = task.analysis
        shared: tuple[object, ...] = (
            context.variant(asked),
            asked.clusters,
            asked.race_method,
            asked.members,
            task.measure,
            task.group,
        )
        if task.pooled:
            shared = (task.analysis.id,)
        found.setdefault(shared, []).append(i)
    return sorted(found.values(), key=lambda own: -sum(tasks[i].work for i in own))

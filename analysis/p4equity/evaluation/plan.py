"""Run the registered plan: every analysis to rows, gates applied, one checked table out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from p4equity.estimates import NOT_ESTIMABLE, estimates_table, warned
from p4equity.evaluation.baseline import baseline_rows, baseline_series
from p4equity.evaluation.baseline_level import level_rows
from p4equity.evaluation.claims import claim_rows
from p4equity.evaluation.context import Context, alone, check_study_arms
from p4equity.evaluation.scale_level import scale_level_rows
from p4equity.evaluation.tasks import Task, bundles, task_rows, tasks_of
from p4equity.study import Analysis, Study
from p4equity.workers import in_processes

Progress = Callable[[str, int, int], None]
Rows = list[dict[str, Any]]
WORTH_A_PROCESS = 100  # registered rows from which a second process saves more time than it takes to start


def evaluate(
    context: Context,
    *,
    failed: Mapping[str, Mapping[str, str]] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Every registered analysis of the context's study on its cells, as the estimates table.

    failed: what failed gates govern, as {"all": {gate: reason}, measure: {gate: reason}, "race_sensitivity": {...}}.
    workers: processes, this one among them; the table is the same for any number. progress(analysis, done, total) counts
    registered rows. Linear algebra runs on one thread, so that results do not depend on the machine's cores.
    """
    study = context.study
    check_study_arms(study)
    with threadpool_limits(1):
        rows = baseline_rows(context) if study.data.kind == "counts" else []
        rows += level_rows(context) if rows else []
        for own in _all_rows(context, [t for a in study.analyses for t in tasks_of(context, a)], workers, progress):
            rows += own
        rows += scale_level_rows(context) if study.data.kind == "counts" else []
        # What a failed gate governs has no answer, so it is no part of a hierarchy either.
        rows = govern(rows, failed or {}, study)
        rows += claim_rows(context, [row for row in rows if row["estimator"] == "meta_regression"])
    return estimates_table(warned(rows))


def analysis_rows(context: Context, analysis: Analysis) -> Rows:
    """Rows of one analysis, by its estimator."""
    return [row for task in tasks_of(context, analysis) for row in task_rows(context, task)]


def _all_rows(context: Context, tasks: Sequence[Task], workers: int, progress: Progress | None) -> list[Rows]:
    """Rows of each task, bundles of tasks that share their beginnings in one process or several."""
    total, done = sum(t.rows for t in tasks), 0
    parts = bundles(context, tasks)
    if total < WORTH_A_PROCESS:
        workers = 1
    elif workers > 1 and context.study.groups.compared:
        baseline_series(context, context.variant(tasks[0].analysis))  # before the rows of cells are left behind
    work = partial(_bundle_rows, context.light() if workers > 1 else context)
    found: dict[int, Rows] = {}
    for at, rows in in_processes(work, [[tasks[i] for i in own] for own in parts], workers, here=True):
        found |= zip(parts[at], rows, strict=True)
        done += sum(tasks[i].rows for i in parts[at])
        if progress:
            progress(tasks[parts[at][-1]].analysis.id, done, total)
    return [found[i] for i in range(len(tasks))]


def _bundle_rows(context: Context, tasks: Sequence[Task]) -> list[Rows]:
    with threadpool_limits(1):
        return [task_rows(context, task) for task in tasks]


def govern(rows: list[dict[str, Any]], failed: Mapping[str, Mapping[str, str]], study: Study) -> list[dict[str, Any]]:
    """Rows that a failed gate governs become not estimable, with the gate as the reason. Descriptive rows stay.

    A pooled row falls with each of the measures it is about.
    """
    behind = {a.id: study.measure_ids(a.measures) for a in study.analyses}
    out = []
    for row in rows:
        scopes = ["all", row["measure_id"], alone(row["measure_id"])]
        if row["measure_id"] == "pooled":
            scopes += behind.get(row["analysis_id"], study.measure_sets.contracted)
        if study.race and row["race_version"] != study.race.primary:
            scopes.append("race_sensitivity")
        reasons = [f"gate {gate} failed: {why}" for scope in scopes for gate, why in failed.get(scope, {}).items()]
        if reasons and row["estimator"] != "descriptive":
            row = {**row, "status": NOT_ESTIMABLE, "reason": "; ".join(dict.fromkeys(reasons))}
        out.append(row)
    return out

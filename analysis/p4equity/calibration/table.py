"""The table of a calibration: every primary question, setting and method, made in one process or several with the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from threadpoolctl import threadpool_limits

from p4equity.calibration.questions import POOLED, Question, Unanswerable, questions
from p4equity.calibration.rates import Row, Rules, question_rows
from p4equity.calibration.settings import ESTIMATE
from p4equity.dictionary import load_dictionary
from p4equity.estimates import NOT_ESTIMABLE, with_types
from p4equity.evaluation.context import Context
from p4equity.summaries.precision import power_table
from p4equity.workers import in_processes

TABLE = "calibration"
NONE_REGISTERED = "the plan registers no draws for a calibration"
Progress = Callable[[str, int, int], None]


def calibration_table(
    context: Context, *, draws: int | None = None, workers: int = 1, progress: Progress | None = None
) -> pd.DataFrame:
    """Rejection rates, coverage, bias and power of each method for every registered primary row, on the study's own cells.

    draws: simulated data sets a setting; the plan's number when not given. No change of the study's own is read: shocks come from
    baseline years, everything else from denominators, sampling variances, contracts and missing cells. Each question has its own
    seed, so that neither workers nor other questions move a number.
    """
    study, count = context.study, context.study.inference.calibration_draws if draws is None else draws
    with threadpool_limits(1):
        power = power_table(context) if study.data.kind == "counts" else pd.DataFrame(columns=["group", "measure_id"])
        wanted = power[power["group"] == POOLED].dropna().set_index("measure_id")
        asked = questions(context, {str(m): float(x) for m, x in wanted.get("meaningful_change", pd.Series(dtype=float)).items()})
    jobs = [(q, _rules(context, q, count)) for q in asked if isinstance(q, Question) and count > 0]
    found = dict(zip((id(q) for q, _ in jobs), _answers(jobs, workers, progress), strict=True))
    rows = [{**_identity(context, q), **row} for q in asked for row in found.get(id(q), [_silent(q)])]
    return _typed(rows)


def _rules(context: Context, question: Question, draws: int) -> Rules:
    plan = context.study.inference
    shocks = (float(plan.shocks[0]), float(plan.shocks[1]))
    return Rules(plan.alpha, plan.tau2, plan.permutation_limit, shocks, draws, context.seed(question.analysis_id))


def _answers(jobs: Sequence[tuple[Question, Rules]], workers: int, progress: Progress | None) -> list[list[Row]]:
    """Rows of each question in order; the largest questions start first."""
    order = sorted(range(len(jobs)), key=lambda i: (-jobs[i][0].cells.y.size, i))
    done: dict[int, list[Row]] = {}
    for position, rows in in_processes(_work, [jobs[i] for i in order], workers, here=True):
        done[order[position]] = rows
        if progress:
            progress(jobs[order[position]][0].measure_id, len(done), len(jobs))
    return [done[i] for i in range(len(jobs))]


def _work(job: tuple[Question, Rules]) -> list[Row]:
    with threadpool_limits(1):
        return question_rows(*job)


def _silent(asked: Question | Unanswerable) -> Row:
    reason = asked.reason if isinstance(asked, Unanswerable) else NONE_REGISTERED
    return {"inference": "all", "setting": ESTIMATE, "draws": 0, "status": NOT_ESTIMABLE, "reason": reason}


def _identity(context: Context, asked: Question | Unanswerable) -> Row:
    study = context.study
    counts: dict[str, int | None] = {"n_clusters": None, "n_treated_clusters": None}
    if isinstance(asked, Question):
        used = asked.cells.included(asked.cells.contracts).any(axis=1)
        counts = {"n_clusters": int(used.sum()), "n_treated_clusters": int((used & asked.treated).sum())}
    return {
        "analysis_id": asked.analysis_id, "measure_id": asked.measure_id, **counts, "conf_level": study.inference.conf_level,
        "plan_hash": study.plan_hash, "data_hash": context.data_hash, "code_version": context.code_version,
        "seed": context.seed(asked.analysis_id),
    }  # fmt: skip


def _typed(rows: Sequence[Row]) -> pd.DataFrame:
    """Columns of the dictionary in its order and types; ids say analysis, measure, setting and method."""
    parts = ("analysis_id", "measure_id", "setting", "inference")
    frame = pd.DataFrame([{**row, "row_id": ".".join(str(row[p]) for p in parts)} for row in rows])
    return with_types(frame.reindex(columns=list(load_dictionary().table(TABLE).names)), TABLE)

"""Had contracts begun earlier: the primary question at a date before any contract, of the years before it alone."""

from __future__ import annotations

from typing import Any

from p4equity.evaluation.context import Context
from p4equity.evaluation.pooled import pooled_rows
from p4equity.evaluation.tasks import POOLED
from p4equity.evaluation.two_stage import two_stage_rows
from p4equity.study import Analysis

ESTIMAND = "difference in the change of gaps at a placebo date, before any contract"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One answer an inference for each measure, and for all of them pooled."""
    asked = [*context.study.measure_ids(analysis.measures), *([POOLED] if analysis.also_pooled else [])]
    return dict.fromkeys(asked, len(analysis.inference))


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """What the primary question says of years without a contract: far from zero, trends parted before there was one.

    `Context.windows` ends the years at the first contract and begins the years after at the placebo date.
    """
    asked = analysis.model_copy(update={"estimator": "meta_regression", "outcome": "gap"})
    found = pooled_rows(context, asked) if measure == POOLED else two_stage_rows(context, asked, measure)
    own = {"estimator": analysis.estimator, "outcome": analysis.outcome, "estimand": ESTIMAND}
    return [{**row, **own} for row in found if row["outcome"] == asked.outcome]

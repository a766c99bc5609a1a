"""Tests of a two-stage question that `fit` has too: other statistics of the permutation, and methods for few treated units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.estimators.base import Request
from p4equity.estimators.changes import Changes
from p4equity.estimators.permuted_changes import few_treated_changes, permute_changes
from p4equity.evaluation.context import Context
from p4equity.study import Analysis
from p4equity.study.vocabulary import CHANGES_ONLY, PERMUTED

if TYPE_CHECKING:
    from p4equity.evaluation.question import Question


def tested(context: Context, analysis: Analysis, question: Question, method: str) -> dict[str, Any]:
    """Answer columns of one method of CHANGES_ONLY, computed as `fit("meta_regression", ...)` computes it from the changes."""
    assert method in CHANGES_ONLY
    plan = context.study.inference
    own = {"tau2": plan.tau2, "limit": plan.permutation_limit}
    request = Request(
        estimator="meta_regression", outcome="change", cohort="cohort", unit="system", conf_level=plan.conf_level,
        seed=context.seed(analysis.id), own=own,
    )  # fmt: skip
    y, v = question.values["gap"], question.variances["gap"]
    scale, strata = float(np.abs(y).max(initial=0.0)), context.strata(question.systems)
    changes = Changes(
        question.systems, question.treated, y[:, None], v[:, None], (), question.several, None, (), strata, scale
    )  # fmt: skip
    answer = (permute_changes if method in PERMUTED else few_treated_changes)(changes, 0, True, method, request)
    if answer.reason:
        return {"inference": method, "status": "not_estimable", "reason": answer.reason}
    names = ("estimate", "statistic", "p_value", "conf_low", "conf_high", "p_attainable")
    numbers = {name: getattr(answer, name) for name in names}
    return {
        "inference": method,
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
        "reason": "; ".join(answer.warnings) or None,
    }

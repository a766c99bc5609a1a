"""One-sided tests against a registered margin: is an outcome shown not to have become worse by more than that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scipy import stats

from p4equity.inference.averaged_t import single_design
from p4equity.inference.permutation_one_sided import one_sided_permutation

if TYPE_CHECKING:
    from p4equity.evaluation.context import Context
    from p4equity.evaluation.question import Question
    from p4equity.study import Analysis

AGAINST_MARGIN = "_against_margin"
ESTIMAND = "effect no worse than the registered margin"
Row = dict[str, Any]


def margin_rows(context: Context, analysis: Analysis, question: Question, rows: list[Row]) -> list[Row]:
    """A row for each answer of a question with a margin: the one-sided p of "worse than the margin" and the one-sided bound.

    rows: the two-sided answers. The registered one-sided level is half of the plan's alpha: at that level a t test rejects
    exactly where its two-sided interval excludes the margin.
    Source: Piaggio et al. (2012), JAMA 308:2594 (CONSORT extension for non-inferiority trials).
    """
    if analysis.margin is None:
        return []
    return [_row(context, analysis, question, row) for row in rows if row["status"] != "ok" or _has_rule(row["inference"])]


def _has_rule(method: str) -> bool:
    return method in ("permutation", "knapp_hartung") or method.startswith("averaged_t")


def _row(context: Context, analysis: Analysis, question: Question, row: Row) -> Row:
    above = analysis.direction != "below"
    out = {**row, "outcome": f"{row['outcome']}{AGAINST_MARGIN}", "estimand": f"{ESTIMAND}, {row['outcome']}"}
    if row["status"] != "ok":
        return out
    p, attainable = _one_sided(context, analysis, question, row, above)
    out |= {"p_value": p, "p_attainable": attainable, "conf_level": (1 + row["conf_level"]) / 2}
    out["conf_high" if above else "conf_low"] = None
    return out


def _one_sided(context: Context, analysis: Analysis, question: Question, row: Row, above: bool) -> tuple[float, float | None]:
    """p of "worse than the margin" by the row's method, and the smallest that permutation could give."""
    plan, margin, method = context.study.inference, float(analysis.margin or 0.0), str(row["inference"])
    y, v, treated = question.values["gap"], question.variances["gap"], question.treated
    if method == "permutation":
        return one_sided_permutation(
            y, treated, v, margin, above=above, strata=context.strata(question.systems), limit=plan.permutation_limit,
            seed=context.seed(analysis.id), method=plan.tau2,
        )  # fmt: skip
    if method == "knapp_hartung":
        below = float(stats.t.cdf((margin - row["estimate"]) / row["std_error"], row["df"]))
    else:
        mixture = single_design(v, treated, method == "averaged_t_varying").mixture(y[None, :])
        below = float(mixture.below(margin)[0])
    return (below if above else 1 - below), None

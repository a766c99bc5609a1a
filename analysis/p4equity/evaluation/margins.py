"""One-sided tests against a registered margin: is an outcome shown not to have become worse by more than that?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy import stats

from p4equity.inference.averaged_t import Mixture, single_design, stacked_design
from p4equity.inference.permutation_one_sided import one_sided_permutation, stacked_one_sided
from p4equity.power import margin_power

if TYPE_CHECKING:
    from p4equity.evaluation.context import Context
    from p4equity.evaluation.question import Question
    from p4equity.inference.stacked import Stacked
    from p4equity.study import Analysis

AGAINST_MARGIN = "_against_margin"
MARGIN_POWER = "_margin_power"
ESTIMAND = "effect no worse than the registered margin"
POWER = "power of the test against the registered margin where there is no effect"
NOT_OF_A_POWER = ("std_error", "statistic", "p_value", "conf_low", "conf_high", "p_attainable")
Row = dict[str, Any]


@dataclass(frozen=True)
class OneSided:
    """One-sided tests of one question: p of "as bad as the margin or worse" from each kind of answer, True for `above`.

    mixture: of its averaged t, by whether effects may differ. permuted: p and the smallest that permutation could give.
    """

    mixture: Callable[[bool], Mixture]
    permuted: Callable[[float, bool], tuple[float, float]]


def margin_rows(context: Context, analysis: Analysis, question: Question, rows: list[Row]) -> list[Row]:
    """A row for each answer of a question with a margin: the one-sided p of "worse than the margin" and the one-sided bound.

    rows: the two-sided answers. The registered one-sided level is half of the plan's alpha: at that level a t test rejects
    exactly where its two-sided interval excludes the margin. Beside each t test stands its power where no effect is there.
    Source: Piaggio et al. (2012), JAMA 308:2594 (CONSORT extension for non-inferiority trials).
    """
    y, v, treated, plan = question.values["gap"], question.variances["gap"], question.treated, context.study.inference

    def permuted(margin: float, above: bool) -> tuple[float, float]:
        return one_sided_permutation(
            y, treated, v, margin, above=above, strata=context.strata(question.systems), limit=plan.permutation_limit,
            seed=context.seed(analysis.id), method=plan.tau2,
        )  # fmt: skip

    return _rows(analysis, OneSided(lambda varying: single_design(v, treated, varying).mixture(y[None, :]), permuted), rows)


def pooled_margin_rows(context: Context, analysis: Analysis, data: Stacked, rows: list[Row]) -> list[Row]:
    """The same for a question over all measures."""
    plan = context.study.inference

    def permuted(margin: float, above: bool) -> tuple[float, float]:
        return stacked_one_sided(data, margin, above=above, limit=plan.permutation_limit, seed=context.seed(analysis.id))

    def mixture(varying: bool) -> Mixture:
        design, mask = stacked_design(data, varying)
        return design.mixture(data.y[mask][None, :])

    return _rows(analysis, OneSided(mixture, permuted), rows)


def _rows(analysis: Analysis, tests: OneSided, rows: list[Row]) -> list[Row]:
    if analysis.margin is None:
        return []
    asked = [row for row in rows if row["status"] != "ok" or _has_rule(row["inference"])]
    powers = [_power(analysis, row) for row in asked if row["inference"] != "permutation"]
    return [*(_row(analysis, tests, row) for row in asked), *powers]


def _has_rule(method: str) -> bool:
    return method in ("permutation", "knapp_hartung") or method.startswith("averaged_t")


def _row(analysis: Analysis, tests: OneSided, row: Row) -> Row:
    above = analysis.direction != "below"
    out = {**row, "outcome": f"{row['outcome']}{AGAINST_MARGIN}", "estimand": f"{ESTIMAND}, {row['outcome']}"}
    if row["status"] != "ok":
        return out
    p, attainable = _one_sided(analysis, tests, row, above)
    out |= {"p_value": p, "p_attainable": attainable, "conf_level": (1 + row["conf_level"]) / 2}
    out["conf_high" if above else "conf_low"] = None
    return out


def _power(analysis: Analysis, row: Row) -> Row:
    """The power of the one-sided test where there is no effect, given the standard error of the answer."""
    number = {"estimand": f"{POWER}, {row['outcome']}", "outcome": f"{row['outcome']}{MARGIN_POWER}", "outcome_unit": "share"}
    out = {**row, **dict.fromkeys(NOT_OF_A_POWER), **number}
    if row["status"] != "ok":
        return out
    level = (1 - row["conf_level"]) / 2
    return out | {"estimate": margin_power(row["std_error"], row["df"], float(analysis.margin or 0.0), level)}


def _one_sided(analysis: Analysis, tests: OneSided, row: Row, above: bool) -> tuple[float, float | None]:
    """p of "worse than the margin" by the row's method, and the smallest that permutation could give."""
    margin, method = float(analysis.margin or 0.0), str(row["inference"])
    if method == "permutation":
        return tests.permuted(margin, above)
    if method == "knapp_hartung":
        below = float(stats.t.cdf((margin - row["estimate"]) / row["std_error"], row["df"]))
    else:
        below = float(tests.mixture(method == "averaged_t_varying").below(margin)[0])
    return (below if above else 1 - below), None

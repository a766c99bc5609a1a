"""Cost per point: the effect on spending over the narrowing of gaps, with Fieller's set where a narrowing is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from p4equity.errors import P4Error
from p4equity.evaluation.context import Context, base_row, failed_rows
from p4equity.evaluation.pooled import pooled_fits, stacked_data
from p4equity.evaluation.question import Question
from p4equity.evaluation.tasks import POOLED
from p4equity.evaluation.two_stage import form_question, question_changes, two_stage_fits
from p4equity.inference.fieller import fieller
from p4equity.inference.random_effects import RandomEffectsFit
from p4equity.study import Analysis

ESTIMAND = "effect on spending for each point by which gaps narrowed"
UNIT = "USD per member-month and point"
METHOD = "averaged_t"
NOT_NARROWED = "a narrowing is not shown, so no cost of it can be given: any amount per point fits the data"
FEWEST = 5  # systems from which leaving each out in turn says how two effects move together


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One ratio, of all contracted measures pooled, where there are gaps."""
    return {POOLED: len(analysis.inference)} if context.study.groups.compared else {}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The ratio of the primary effect on spending to the pooled narrowing, both by averaged t tests, and Fieller's set.

    The two effects come from the same systems: their covariance is the product of their standard errors and the correlation
    of both estimates over the samples without each system in turn (jackknife). The critical value is that of a t with the
    smaller of both degrees of freedom. Source: Fieller (1954); Willan and Briggs (2006), Statistical Analysis of
    Cost-Effectiveness Data, chapter 4.
    """
    identity = {"estimand": ESTIMAND, "measure_id": measure, "outcome": analysis.outcome, "group": POOLED}
    asked = next((a for a in context.study.analyses if a.outcome == "spending"), None)
    spending = context.study.measure_sets.spending
    if asked is None or spending is None or spending not in context.measures:
        return _failed(context, analysis, "the plan asks no question about spending", identity)
    try:
        gap = gap_fit(context, analysis)
        question = spending_question(context, asked, spending)
        spent = _spending_fit(context, question)
        together = _correlation(context, analysis, question)
    except (P4Error, np.linalg.LinAlgError) as error:
        return _failed(context, analysis, getattr(error, "problem", "too few systems for the pooled regression"), identity)
    if gap.estimate >= 0:
        return _failed(context, analysis, NOT_NARROWED, identity)
    level = context.study.inference.conf_level
    critical = float(stats.t.ppf((1 + level) / 2, min(gap.df, spent.df)))
    covariance = -together * gap.std_error * spent.std_error  # of spending with the narrowing, which is minus the gap's effect
    found = fieller(spent.estimate, -gap.estimate, spent.std_error**2, gap.std_error**2, covariance, critical)
    if found.kind != "interval":
        return _failed(context, analysis, NOT_NARROWED, identity)
    row = base_row(
        context, analysis, **identity, reference_group=context.study.groups.reference, outcome_unit=UNIT,
        n_clusters=len(question.systems), n_treated_clusters=int(question.treated.sum()), inference=analysis.inference[0],
        estimate=spent.estimate / -gap.estimate, conf_low=found.low, conf_high=found.high, df=min(gap.df, spent.df),
    )  # fmt: skip
    return [row]


def _failed(context: Context, analysis: Analysis, reason: str, identity: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "outcome_unit": UNIT} for row in failed_rows(context, analysis, reason, **identity)]


def gap_fit(context: Context, analysis: Analysis, without: str | None = None) -> RandomEffectsFit:
    """The pooled effect on gaps in points, without one system where one is named."""
    sides = stacked_data(context, analysis, without).sides
    return pooled_fits(context, sides, METHOD, context.study.inference.conf_level, ("gap",))["gap"]


def spending_question(context: Context, asked: Analysis, measure: str) -> Question:
    """Changes in spending of each system, as the registered question on spending forms them."""
    arms = context.arms(asked, measure)
    changes = question_changes(context, asked, context.panel(context.variant(asked)), arms, measure, ())
    return form_question(context, asked, changes, arms, measure)


def _spending_fit(context: Context, question: Question, without: str | None = None) -> RandomEffectsFit:
    kept = np.array([s != without for s in question.systems])
    values, variances = {"gap": question.values["gap"][kept]}, {"gap": question.variances["gap"][kept]}
    rest = replace(question, treated=question.treated[kept], values=values, variances=variances)
    return two_stage_fits(context, rest, METHOD, ("gap",))["gap"]


def _correlation(context: Context, analysis: Analysis, question: Question) -> float:
    """Correlation of both estimates over the samples without each system in turn; 0 where too few can be formed."""
    pairs = []
    for system in question.systems:
        try:
            pairs.append((gap_fit(context, analysis, system).estimate, _spending_fit(context, question, system).estimate))
        except (P4Error, np.linalg.LinAlgError):  # nobody left in an arm
            continue
    if len(pairs) < FEWEST or np.ptp(pairs, axis=0).min() == 0:
        return 0.0
    return float(np.corrcoef(np.array(pairs).T)[0, 1])

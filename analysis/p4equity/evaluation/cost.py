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
MAIN = "main"
ASSUMED = {-0.5: "correlation -0.5", 0.5: "correlation +0.5"}  # at which the set is given too, as a dozen systems hardly tell it


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One ratio, of all contracted measures pooled, where there are gaps: as estimated, and at each assumed correlation."""
    return {POOLED: len(analysis.inference) * (1 + len(ASSUMED))} if context.study.groups.compared else {}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The ratio of the primary effect on spending to the pooled narrowing, both by averaged t tests, and Fieller's set.

    The two effects come from the same systems: their covariance is the product of their standard errors and the correlation
    of both estimates over the samples without each system in turn (jackknife), which `reason` names. It is itself uncertain:
    further rows take the correlations of ASSUMED instead. The critical value is that of a t with the smaller of both degrees of
    freedom. Source: Fieller (1954); Willan and Briggs (2006), Statistical Analysis of
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
        together, known = _correlation(context, analysis, question)
    except (P4Error, np.linalg.LinAlgError) as error:
        return _failed(context, analysis, getattr(error, "problem", "too few systems for the pooled regression"), identity)
    cases = [(together, MAIN, known), *((c, sample, "an assumed correlation of both effects") for c, sample in ASSUMED.items())]
    answers = [_ratio(context, gap, spent, correlation) for correlation, _, _ in cases]
    if gap.estimate >= 0 or not all(answers):  # whether the set is an interval hangs on the narrowing alone
        return _failed(context, analysis, NOT_NARROWED, identity)
    common = base_row(
        context, analysis, **identity, reference_group=context.study.groups.reference, outcome_unit=UNIT,
        n_clusters=len(question.systems), n_treated_clusters=int(question.treated.sum()), inference=analysis.inference[0],
    )  # fmt: skip
    return [{**common, **found, "sample": sample, "reason": why} for found, (_, sample, why) in zip(answers, cases, strict=True)]


def _ratio(context: Context, gap: RandomEffectsFit, spent: RandomEffectsFit, correlation: float) -> dict[str, Any]:
    """Estimate and Fieller's interval at a correlation of both effects; empty where the set is no interval."""
    df = min(gap.df, spent.df)
    critical = float(stats.t.ppf((1 + context.study.inference.conf_level) / 2, df))
    covariance = -correlation * gap.std_error * spent.std_error  # of spending with the narrowing, which is minus the gap's effect
    found = fieller(spent.estimate, -gap.estimate, spent.std_error**2, gap.std_error**2, covariance, critical)
    if found.kind != "interval":
        return {}
    return {"estimate": spent.estimate / -gap.estimate, "conf_low": found.low, "conf_high": found.high, "df": df}


def _failed(context: Context, analysis: Analysis, reason: str, identity: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows without an answer, the main one first."""
    return [
        {**row, "outcome_unit": UNIT} for sample in (MAIN, *ASSUMED.values())
        for row in failed_rows(context, analysis, reason, **identity, sample=sample)
    ]  # fmt: skip


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


def _correlation(context: Context, analysis: Analysis, question: Question) -> tuple[float, str]:
    """Correlation of both estimates over the samples without each system in turn, and what it rests on."""
    pairs = []
    for system in question.systems:
        try:
            pairs.append((gap_fit(context, analysis, system).estimate, _spending_fit(context, question, system).estimate))
        except (P4Error, np.linalg.LinAlgError):  # nobody left in an arm
            continue
    if len(pairs) < FEWEST or np.ptp(pairs, axis=0).min() == 0:
        return 0.0, f"both effects taken as uncorrelated: fewer than {FEWEST} systems can be left out in turn to tell"
    found = float(np.corrcoef(np.array(pairs).T)[0, 1])
    return found, f"correlation of both effects {found:.2f}, from leaving out each of {len(pairs)} systems in turn"

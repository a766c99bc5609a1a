"""Did gaps narrow more in the measures a contract pays for than in the others of the same systems? (estimand E4)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from p4equity.disparity.paid_contrast import paid_contrast
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Arms, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.question import left_early, question_of
from p4equity.evaluation.tasks import POOLED
from p4equity.evaluation.two_stage import changes_of_gaps, count_base, question_answers
from p4equity.study import Analysis

ESTIMAND = "effect on gaps of paid measures beyond the effect on unpaid measures of the same systems"
UNIT = "percentage points"
Weights = dict[str, dict[str, float]]  # system -> measure -> weight


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One answer an inference, over all measures, where there are gaps."""
    return {POOLED: len(analysis.inference)} if context.study.groups.compared else {}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The third difference: paid less unpaid measures, contracted less comparison systems, after less before.

    Whatever moves all gaps of a system alike, in paid and unpaid measures, drops out; so does a spillover of the contract to
    unpaid measures, which makes the contrast smaller than the effect on paid ones. `unpaid` of the analysis names the measures
    set against the paid ones; a system counts those that its own contract leaves out.
    """
    study, variant = context.study, context.variant(analysis)
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None)
    wanted = study.measure_ids(analysis.measures)
    unpaid = tuple(m for m in study.measure_ids(analysis.unpaid) if m in context.measures)
    series = [p for p in baseline_series(context, variant) if p[0] in (*wanted, *unpaid)]
    reason = no_arm(arms, "any measure")
    for side, name in ((wanted, "paid"), (unpaid, "unpaid")):
        if reason is None and not any(m in side for m, _ in series):
            reason = f"no {name} measure has a baseline gap above zero"
    identity = {"estimand": ESTIMAND, "measure_id": measure, "outcome": analysis.outcome, "group": POOLED}
    if reason:
        return failed_rows(context, analysis, reason, **identity)
    panel = context.panel(variant)
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    changes = changes_of_gaps(context, variant, series, windows, arms.comparison)
    paid = _sides(context, analysis, arms, wanted, unpaid)
    value, variance = paid_contrast(changes, group_weights(context, series, variant), *paid)
    sides = {"gap": (POINTS * value, POINTS**2 * variance)}
    question = question_of(changes.systems, arms, sides, UNIT, "no paid or no unpaid measure", left_early(windows))
    reference = str(study.groups.reference)
    n_members, n_cells, years = count_base(changes, panel, question.systems, [reference])
    common = base_row(
        context, analysis, **identity, reference_group=reference, sample=question.note, outcome_unit=UNIT,
        n_clusters=len(question.systems),
        n_treated_clusters=int(question.treated.sum()), n_members=int(n_members), n_cells=n_cells,
        first_year=min(years, default=None), last_year=max(years, default=None),
    )  # fmt: skip
    return question_answers(context, analysis, question, common)


def _sides(
    context: Context, analysis: Analysis, arms: Arms, wanted: Sequence[str], others: Sequence[str]
) -> tuple[Weights, Weights]:
    """Paid and unpaid measures of each system with their weights: of its own contract, and of `others` those outside of it.

    A comparison system has no contract: on both sides the mean of the contracted systems that have both.
    """
    own = analysis.model_copy(update={"contracts": "own"})
    holders = {m: context.arms(own, m).treated for m in dict.fromkeys([*wanted, *others])}
    paid = {s: [m for m in wanted if s in holders[m]] for s in arms.treated}
    unpaid = {s: [m for m in others if s not in holders[m]] for s in arms.treated}
    both = [s for s in arms.treated if paid[s] and unpaid[s]]
    return _mixed(paid, both, arms.comparison), _mixed(unpaid, both, arms.comparison)


def _mixed(side: Mapping[str, Sequence[str]], systems: Sequence[str], comparison: Sequence[str]) -> Weights:
    """Equal weights in each contracted system, their mean in each comparison system."""
    known = {s: dict.fromkeys(side[s], 1 / len(side[s])) for s in systems}
    mix = {m: sum(of.get(m, 0.0) for of in known.values()) / len(known) for s in systems for m in side[s]}
    return known | dict.fromkeys(comparison, mix)

"""Baseline gaps by every way to place members in groups, also among members whose group is known: what each way gets wrong.

Among members who reported themselves the gap by their reports is known; there the weighted and the regression estimate show
whether the truth lies between them, which is what the range of both assumes of everyone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from p4equity.disparity.panel import Panel
from p4equity.disparity.race_levels import added, mean_gap, together
from p4equity.disparity.race_panel import LINEAR, SELF_REPORT, WEIGHTED, probability_panel, race_sums, self_report_panel
from p4equity.disparity.race_probability import squared_correlation
from p4equity.evaluation.context import POINTS, Context, base_row
from p4equity.evaluation.imputed import IMPUTED, NOT_CONTRACTED, imputation_note, imputed, imputed_panels
from p4equity.inference.rubin import rubin
from p4equity.study import Analysis

ESTIMAND = "gap over the baseline years, all systems, by how members are placed in groups"
CLASSES, KNOWN = "classes", "self_report_"
WAYS = (CLASSES, WEIGHTED, LINEAR, SELF_REPORT, IMPUTED, KNOWN + WEIGHTED, KNOWN + LINEAR)
ACCURACY = "race_accuracy"  # outcome: corr(probability, member)^2, percent
BY_ARM = {arm: f"accuracy_{arm}" for arm in ("participating", "comparison")}  # its samples: each arm, and
OVERALL = "accuracy"  # both together
Panels = dict[str, tuple[Panel, ...]]  # several where a way is imputation
Correlations = dict[tuple[str, str, str], float]  # sample, measure, group


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """A row a way and compared group, and one for the accuracy of probabilities in both arms and in each."""
    return {
        m: (len(WAYS) + 1 + len(BY_ARM)) * len(context.study.groups.compared)
        for m in context.study.measure_ids(analysis.measures)
    }


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The baseline gap of one measure by every group and way; the statistic of probabilities is their corr(p, member)^2."""
    study, variant = context.study, context.variant(analysis)
    panels, correlation = context.once(("race_levels", variant), lambda: _panels(context, variant))
    reference, found = str(study.groups.reference), []
    for group in study.groups.compared:
        for way in WAYS:
            row = base_row(
                context, analysis, estimand=ESTIMAND, measure_id=measure, outcome=analysis.outcome, group=group, sample=way,
                reference_group=reference, inference="sampling", outcome_unit="percentage points", weighting="patient",
                first_year=min(study.baseline.pre_years), last_year=max(study.baseline.pre_years),
            )  # fmt: skip
            imputable = way != IMPUTED or measure in imputed(context, variant).measures
            if not panels.get(way) or measure not in panels[way][0].measures or not imputable:
                reason = _why(context, variant) if way == IMPUTED else "the data hold no race and ethnicity probabilities"
                found.append(row | {"status": "not_estimable", "reason": reason})
                continue
            least = study.inference.minimum_denominator
            answers = [mean_gap(p, measure, reference, group, study.baseline.pre_years, least) for p in panels[way]]
            if not all(np.isfinite(gap) for gap, _, _ in answers):
                found.append(row | {"status": "not_estimable", "reason": "no baseline year with the minimum denominator"})
                continue
            found.append(row | _columns(answers, study.inference.conf_level))
            row = found[-1]
            if way in (WEIGHTED, LINEAR):
                row |= {
                    "statistic": correlation[OVERALL, measure, group],
                    "reason": "statistic is the squared correlation with membership",
                }
        found += _accuracy(context, analysis, measure, group, correlation)
    return found


def _accuracy(context: Context, analysis: Analysis, measure: str, group: str, known: Correlations) -> list[dict[str, Any]]:
    """How accurate probabilities are, over all systems of both arms and of each."""
    found = []
    for sample in (OVERALL, *BY_ARM.values()):
        row = base_row(
            context, analysis, estimand="squared correlation of the probability of a group with membership", measure_id=measure,
            outcome=ACCURACY, group=group, sample=sample, reference_group=context.study.groups.reference, inference="none",
            outcome_unit="percent", weighting="patient", first_year=min(context.study.baseline.pre_years),
            last_year=max(context.study.baseline.pre_years),
        )  # fmt: skip
        value = known.get((sample, measure, group), np.nan)
        why = {"status": "not_estimable", "reason": "the data hold no race and ethnicity probabilities"}
        found.append(row | ({"estimate": POINTS * value} if np.isfinite(value) else why))
    return found


def _why(context: Context, variant: tuple[str, str]) -> str:
    return imputed(context, variant).lacking or NOT_CONTRACTED


def _columns(answers: list[tuple[float, float, float]], conf_level: float) -> dict[str, Any]:
    """Columns of one way's gap in points, or of the gaps of several imputations together."""
    gaps, errors, members = (np.array(values) for values in zip(*answers, strict=True))
    gap, error, critical = POINTS * gaps[0], POINTS * errors[0], float(stats.norm.ppf(0.5 + conf_level / 2))
    out = {"estimate": gap, "std_error": error, "n_members": int(members.mean())}
    if len(answers) == 1:
        return out | {"conf_low": gap - critical * error, "conf_high": gap + critical * error}
    pooled = rubin(POINTS * gaps, (POINTS * errors) ** 2, conf_level=conf_level)
    return out | {
        "estimate": pooled.estimate, "std_error": pooled.std_error, "df": pooled.df if np.isfinite(pooled.df) else None,
        "conf_low": pooled.conf_low, "conf_high": pooled.conf_high, "reason": imputation_note(len(answers), pooled),
    }  # fmt: skip


def _panels(context: Context, variant: tuple[str, str]) -> tuple[Panels, Correlations]:
    """The panel of every way, all systems of both arms added up, and squared correlations over the baseline years."""
    study = context.study
    of_arm = {arm: [s.id for s in study.arm_systems(arm)] for arm in BY_ARM}
    systems = [system for own in of_arm.values() for system in own]
    whole = together(context.panel(variant), systems)
    sums, reports = (context.rows(t, variant) for t in (context.probability, context.self_report))
    panels: Panels = {CLASSES: (whole,), IMPUTED: tuple(together(p, systems) for p in imputed_panels(context, variant))}
    if sums.empty or reports.empty or study.scheme is None:
        return panels, {}
    groups, by_system, sums, reports = study.scheme.ids, sums, added(sums, systems), added(reports, systems)
    known = self_report_panel(whole, reports)
    correlations = _correlations(context, OVERALL, whole, sums)
    for arm, sample in BY_ARM.items():
        part = together(context.panel(variant), of_arm[arm])
        correlations |= _correlations(context, sample, part, added(by_system, of_arm[arm]))
    panels |= {
        **{way: (probability_panel(whole, sums, groups, way),) for way in (WEIGHTED, LINEAR)}, SELF_REPORT: (known,),
        **{KNOWN + way: (probability_panel(known, reports, groups, way),) for way in (WEIGHTED, LINEAR)},
    }  # fmt: skip
    return panels, correlations


def _correlations(context: Context, sample: str, whole: Panel, sums: pd.DataFrame) -> Correlations:
    scheme = context.study.scheme
    assert scheme is not None
    pre = np.flatnonzero(np.isin(whole.years, context.study.baseline.pre_years))
    all_years = race_sums(whole, sums, scheme.ids)
    kept = type(all_years)(all_years.p[:, :, pre], all_years.p_num[:, :, pre], all_years.p_p[:, :, pre]).over((0, 2))
    found = squared_correlation(kept)
    return {(sample, m, g): float(found[i, j]) for i, m in enumerate(whole.measures) for j, g in enumerate(scheme.ids)}

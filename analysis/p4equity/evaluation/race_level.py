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
from p4equity.study import Analysis

ESTIMAND = "gap over the baseline years, all systems, by how members are placed in groups"
CLASSES, KNOWN = "classes", "self_report_"
WAYS = (CLASSES, WEIGHTED, LINEAR, SELF_REPORT, KNOWN + WEIGHTED, KNOWN + LINEAR)
Panels = dict[str, Panel]


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """A row a way and compared group."""
    return {m: len(WAYS) * len(context.study.groups.compared) for m in context.study.measure_ids(analysis.measures)}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The baseline gap of one measure by every group and way; the statistic of probabilities is their corr(p, member)^2."""
    study, variant = context.study, context.variant(analysis)
    panels, correlation = context.once(("race_levels", variant), lambda: _panels(context, variant))
    critical = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2))
    reference, found = str(study.groups.reference), []
    for group in study.groups.compared:
        for way in WAYS:
            row = base_row(
                context, analysis, estimand=ESTIMAND, measure_id=measure, outcome=analysis.outcome, group=group, sample=way,
                reference_group=reference, inference="sampling", outcome_unit="percentage points", weighting="patient",
                first_year=min(study.baseline.pre_years), last_year=max(study.baseline.pre_years),
            )  # fmt: skip
            if way not in panels or measure not in panels[way].measures:
                found.append(row | {"status": "not_estimable", "reason": "the data hold no race and ethnicity probabilities"})
                continue
            least = study.inference.minimum_denominator
            gap, error, members = mean_gap(panels[way], measure, reference, group, study.baseline.pre_years, least)
            if not np.isfinite(gap):
                found.append(row | {"status": "not_estimable", "reason": "no baseline year with the minimum denominator"})
                continue
            gap, error = POINTS * gap, POINTS * error
            row |= {"estimate": gap, "std_error": error, "n_members": int(members)}
            row |= {"conf_low": gap - critical * error, "conf_high": gap + critical * error}
            if way in (WEIGHTED, LINEAR):
                row |= {
                    "statistic": correlation[measure, group],
                    "reason": "statistic is the squared correlation with membership",
                }
            found.append(row)
    return found


def _panels(context: Context, variant: tuple[str, str]) -> tuple[Panels, dict[tuple[str, str], float]]:
    """The panel of every way, all systems of both arms added up, and the squared correlations over the baseline years."""
    study = context.study
    systems = [s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)]
    whole = together(context.panel(variant), systems)
    sums, reports = (context.rows(t, variant) for t in (context.probability, context.self_report))
    panels: Panels = {CLASSES: whole}
    if sums.empty or reports.empty or study.scheme is None:
        return panels, {}
    groups, sums, reports = study.scheme.ids, added(sums, systems), added(reports, systems)
    known = self_report_panel(whole, reports)
    panels |= {
        **{way: probability_panel(whole, sums, groups, way) for way in (WEIGHTED, LINEAR)}, SELF_REPORT: known,
        **{KNOWN + way: probability_panel(known, reports, groups, way) for way in (WEIGHTED, LINEAR)},
    }  # fmt: skip
    return panels, _correlations(context, whole, sums)


def _correlations(context: Context, whole: Panel, sums: pd.DataFrame) -> dict[tuple[str, str], float]:
    scheme = context.study.scheme
    assert scheme is not None
    pre = np.flatnonzero(np.isin(whole.years, context.study.baseline.pre_years))
    all_years = race_sums(whole, sums, scheme.ids)
    kept = type(all_years)(all_years.p[:, :, pre], all_years.p_num[:, :, pre], all_years.p_p[:, :, pre]).over((0, 2))
    found = squared_correlation(kept)
    return {(m, g): float(found[i, j]) for i, m in enumerate(whole.measures) for j, g in enumerate(scheme.ids)}

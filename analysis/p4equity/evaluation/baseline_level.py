"""How high rates and gaps were before any contract, as they are and at the same ages in every group and year."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from p4equity.disparity.composition import AGE_STANDARDIZED, age_counts, age_standardized, panel_of
from p4equity.disparity.panel import Panel
from p4equity.disparity.race_levels import WHOLE, mean_gap, mean_rate, together
from p4equity.evaluation.composition import LACKING, OPEN
from p4equity.evaluation.context import POINTS, Context, base_row
from p4equity.study import Analysis

LEVELS = "baseline_level"
RATE, GAP = "rate_level", "gap_level"


def level_rows(context: Context) -> list[dict[str, Any]]:
    """Descriptive rows of contracted measures: each group's rate as it is and at the same ages (`sample`), and the gap at these.

    All systems together, the baseline years' mean; gaps as they are stand in `baseline_rows`. The standard mix of ages is that of
    all members of a measure in the weights years, the same for every group: groups that differ in age alone have no gap.
    """
    study = context.study
    described = Analysis(
        id=LEVELS, registered="exploratory", outcome="gap", estimator="meta_regression",
        measures=study.measure_sets.contracted, weighting="patient", inference=("sampling",),
    )  # fmt: skip
    variant, reference = context.variant(described), str(study.groups.reference)
    panels = _panels(context, variant)
    found = []
    for measure in study.measure_ids(study.measure_sets.contracted):
        for group in study.group_ids:
            asked = [(RATE, OPEN), (RATE, AGE_STANDARDIZED), *([(GAP, AGE_STANDARDIZED)] if group != reference else [])]
            for outcome, members in asked:
                row = base_row(
                    context, described, estimand="mean over the baseline years, all systems", estimator="descriptive",
                    measure_id=measure, outcome=outcome, group=group, sample=members,
                    reference_group=reference if outcome == GAP else None, inference="sampling", outcome_unit="percentage points",
                    first_year=min(study.baseline.pre_years), last_year=max(study.baseline.pre_years),
                )  # fmt: skip
                found.append(row | _columns(context, panels[members], measure, group, outcome))
    return found


def _columns(context: Context, panel: Panel | None, measure: str, group: str, outcome: str) -> dict[str, Any]:
    """Answer of one row, or why there is none."""
    study = context.study
    if panel is None:
        return {"status": "not_estimable", "reason": LACKING}
    years, least = study.baseline.pre_years, study.inference.minimum_denominator
    answer = (np.nan, np.nan, 0.0)
    if measure in panel.measures and outcome == GAP:
        answer = mean_gap(panel, measure, str(study.groups.reference), group, years, least)
    elif measure in panel.measures:
        answer = mean_rate(panel, measure, group, years, least)
    if not np.isfinite(answer[0]):
        return {"status": "not_estimable", "reason": "no members in the baseline years"}
    value, error = POINTS * answer[0], POINTS * answer[1]
    half = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2)) * error
    return {
        "estimate": value, "std_error": error, "conf_low": value - half, "conf_high": value + half, "n_members": int(answer[2]),
    }  # fmt: skip


def _panels(context: Context, variant: tuple[str, str]) -> dict[str, Panel | None]:
    """All systems of both arms as one: members as they come, and at the same ages (None where cells hold no ages)."""
    study = context.study
    systems = [s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)]
    whole, aged = together(context.panel(variant), systems), context.rows(context.ages, variant)
    if aged.empty:
        return {OPEN: whole, AGE_STANDARDIZED: None}
    counts = age_counts(whole, aged[aged["system_id"].isin(systems)].assign(system_id=WHOLE))
    return {OPEN: whole, AGE_STANDARDIZED: panel_of(whole, age_standardized(whole, counts, study.baseline.weights_years))}

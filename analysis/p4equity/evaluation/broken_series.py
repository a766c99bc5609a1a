"""The jump that a change of specification puts into a gap, beside the twin of constant definition, in which it is none."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from p4equity.disparity.broken_series import mechanical_change
from p4equity.evaluation.context import POINTS, Context, base_row, failed_rows
from p4equity.study import Analysis, Study

ESTIMAND = "gap as specified minus gap of the constant definition in the first year of the new specification, all systems"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One number a measure and group for each change of ages that has a twin; one that says that there is none otherwise."""
    each = {m: max(len(changes_of_ages(context.study, m)), 1) for m in context.study.measure_ids(analysis.measures)}
    return {m: n * len(context.study.groups.compared) * len(analysis.inference) for m, n in each.items()}


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The mechanical change of each group's gap: members of both arms pooled, with the sampling error of the counts alone."""
    study = context.study
    what = {"estimand": ESTIMAND, "measure_id": measure, "outcome": analysis.outcome}
    twin, changes = twin_of(study, measure), changes_of_ages(study, measure)
    known = twin is not None and {measure, twin} <= set(context.measures)
    if not known or not changes:
        reason = f"no change of ages that a measure of constant definition can be set beside for {measure}"
        return [r for g in study.groups.compared for r in failed_rows(context, analysis, reason, **what, group=g)]
    return [_row(context, analysis, measure, str(twin), group, year, what) for year in changes for group in study.groups.compared]


def twin_of(study: Study, measure: str) -> str | None:
    """The measure of constant definition counted from the same events; None without one."""
    own = study.measure(measure)
    same = [m.id for m in study.measures.values() if m.events == own.events and m.constant_definition and m.id != measure]
    return next((m for m in study.measure_sets.contracted if m in same), next(iter(same), None))


def changes_of_ages(study: Study, measure: str) -> tuple[int, ...]:
    """First years of a changed range of ages, inside the study's years."""
    own = study.measure(measure)
    return tuple(
        b.year
        for b in own.breaks
        if b.year - 1 in study.years and b.year in study.years and own.ages(b.year) != own.ages(b.year - 1)
    )


def _row(
    context: Context, analysis: Analysis, measure: str, twin: str, group: str, year: int, what: dict[str, Any]
) -> dict[str, Any]:
    study, panel = context.study, context.panel(context.variant(analysis))
    wanted = {s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)}
    at, t = [i for i, s in enumerate(panel.systems) if s in wanted], panel.years.index(year)
    counts = {
        m: [
            np.array([a[at, panel.index(m, g), t].sum() for g in (str(study.groups.reference), group)])
            for a in (panel.den, panel.num)
        ]
        for m in (measure, twin)
    }
    change, variance = mechanical_change(*counts[measure], *counts[twin])
    value, error = POINTS * float(change[0] - change[1]), POINTS * float(np.sqrt(variance.sum()))
    row = base_row(
        context, analysis, **what, group=group, reference_group=study.groups.reference, outcome_unit="percentage points",
        inference=analysis.inference[0], weighting="patient", first_year=year, last_year=year,
        n_members=int(counts[measure][0].sum()),
    )  # fmt: skip
    if not np.isfinite(value):
        return {**row, "status": "not_estimable", "reason": f"no members in {year}"}
    half = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2)) * error
    return {**row, "estimate": value, "std_error": error, "conf_low": value - half, "conf_high": value + half}

"""What each gate measures. No function here reads a numerator of a contract year by arm: gates are blind to effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.disparity.changes import gap_changes
from p4equity.disparity.panel import ALL, aggregate
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, Arms, Context
from p4equity.evaluation.planned import planned_question
from p4equity.evaluation.question import Question
from p4equity.evaluation.two_stage import form_question
from p4equity.inference.random_effects import tau2_estimate
from p4equity.power import minimal_detectable_change
from p4equity.study import Analysis


@dataclass(frozen=True)
class Finding:
    """One value of one gate: the measure it is about (`all` for every measure), the value or None with the reason."""

    measure_id: str
    value: float | None
    unit: str
    reason: str | None = None


def primary_analysis(context: Context) -> Analysis:
    """The registered primary analysis by measure, whose sample and windows the gates look at."""
    for analysis in context.study.analyses:
        if analysis.registered == "primary" and analysis.outcome == "gap" and analysis.pooled is None:
            return analysis
    return context.study.analyses[0]


def completeness(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Share of system-group-years of the primary sample that reach the minimum denominator."""
    del profile
    study, analysis = context.study, primary_analysis(context)
    panel = context.panel(context.variant(analysis))
    out = []
    for measure in study.measure_sets.contracted:
        arms = context.arms(analysis, measure)
        if measure not in context.measures or not arms.treated:
            out.append(Finding(measure, None, "share", "no contracted system or no cells"))
            continue
        windows, hit, total = context.windows(analysis, arms), 0, 0
        groups = [g for m, g in baseline_series(context, context.variant(analysis)) if m == measure] or list(
            study.groups.compared
        )
        for system in arms.systems:
            years = [panel.years.index(t) for side in windows[system] for t in side]
            for group in [*groups, str(study.groups.reference)]:
                total += len(years)
                if system in panel.systems:
                    den = panel.den[panel.systems.index(system), panel.index(measure, group)][years]
                    hit += int((den >= max(study.inference.minimum_denominator, 1)).sum())
        out.append(Finding(measure, hit / total, "share"))
    return out


def value_completeness(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """For published aggregates: share of unit-years of the study that have a value."""
    del profile
    out = []
    for measure in context.study.measure_sets.contracted:
        rows = context.cell[context.cell["measure_id"] == measure]
        expected = len(context.study.systems) * len(context.study.years)
        out.append(Finding(measure, float(rows["value"].notna().sum()) / expected, "share"))
    return out


def reading_completeness(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Change in the share with a reading, contracted minus comparison: over all members, or in a group beyond the reference.

    The larger of the two counts; a group's value is taken net of two sampling standard errors, because groups are small. Reads
    who was tested, never who was controlled.
    """
    del profile
    study, analysis = context.study, primary_analysis(context)
    cells = context.rows(context.cell, context.variant(analysis))
    out = []
    for measure in study.measure_sets.contracted:
        arms = context.arms(analysis, measure)
        if not study.measure(measure).has_reading or not arms.treated or not arms.comparison:
            out.append(Finding(measure, None, "percentage points", "the measure has no reading, or an arm is empty"))
            continue
        table = aggregate(cells, [measure], study.group_ids)
        overall, _ = _reading_shift(context, analysis, arms, table[table["group"] == ALL])
        base, base_error = _reading_shift(context, analysis, arms, table[table["group"] == study.groups.reference])
        values = [abs(overall)]
        for group in study.groups.compared:
            shift, error = _reading_shift(context, analysis, arms, table[table["group"] == group])
            values.append(abs(shift - base) - 2 * float(np.hypot(error, base_error)))
        known = [v for v in values if np.isfinite(v)]
        reason = None if known else "no members with a denominator"
        out.append(Finding(measure, max(known, default=None), "percentage points", reason))
    return out


def _reading_shift(context: Context, analysis: Analysis, arms: Arms, table: pd.DataFrame) -> tuple[float, float]:
    """Difference between arms in the change of the share with a reading, and its binomial standard error, in points."""
    windows = context.windows(analysis, arms)
    shift, variance = 0.0, 0.0
    for sign, systems in ((1, list(arms.treated)), (-1, list(arms.comparison))):
        for period, change in ((0, -1), (1, 1)):
            rows = pd.concat(
                [table[(table["system_id"] == s) & table["year"].isin(windows[s][period])] for s in systems], ignore_index=True
            )
            members = float(rows["den"].sum())
            share = float(rows["with_reading"].sum()) / members if members else np.nan
            shift += sign * change * share
            variance += share * (1 - share) / members if members else np.nan
    return POINTS * shift, POINTS * float(np.sqrt(variance))


def race_data_drift(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Change in the self-reported share in the versions in use, participating minus comparison systems."""
    study = context.study
    if study.race is None:
        return [Finding("all", None, "percentage points", "the study has no race and ethnicity versions")]
    rows = profile[
        (profile["characteristic"] == "race_source")
        & (profile["race_version"] == "contemporaneous")
        & (profile["map"] == study.population.map)
    ]
    shares = {}
    for arm in ("participating", "comparison"):
        ids = {s.id for s in study.arm_systems(arm)}
        for period, years in ((0, study.baseline.pre_years), (1, [t for t in study.years if t >= study.launch_cohort])):
            used = rows[rows["system_id"].isin(ids) & rows["year"].isin(list(years))]
            if used.empty:
                return [Finding("all", None, "percentage points", "no counts of self-reported and imputed members")]
            shares[arm, period] = used.loc[used["level"] == "self_report", "n"].sum() / used["n"].sum()
    drift = (shares["participating", 1] - shares["participating", 0]) - (shares["comparison", 1] - shares["comparison", 0])
    return [Finding("all", abs(POINTS * float(drift)), "percentage points")]


def balance(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Largest standardized difference of baseline characteristics between arms of the primary cohort, members pooled."""
    study = context.study
    wanted = ("age_band", "sex", "product")
    rows = profile[profile["characteristic"].isin(wanted) & (profile["map"] == study.population.map)]
    if study.race:
        rows = rows[rows["race_version"] == study.race.primary]
    analysis = primary_analysis(context)
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None)
    rows = rows[(rows["year"] == max(study.baseline.pre_years))]
    if rows.empty:
        return [Finding("all", None, "standardized difference", "no baseline characteristics")]
    found = []
    for name in sorted(set(rows["characteristic"])):
        table = rows[rows["characteristic"] == name]
        shares = [
            table[table["system_id"].isin(list(ids))].groupby("level")["n"].sum() for ids in (arms.treated, arms.comparison)
        ]
        found += standardized_differences(shares[0], shares[1]).abs().dropna().tolist()
    if not found:
        return [Finding("all", None, "standardized difference", "no baseline characteristic that varies")]
    return [Finding("all", max(found), "standardized difference")]


def standardized_differences(first: pd.Series, second: pd.Series) -> pd.Series:
    """Standardized difference of each level's share between two arms: (p1 - p2) / sqrt((p1 q1 + p2 q2) / 2)."""
    first, second = first.astype(float), second.astype(float)
    p1, p2 = (first / first.sum()).align(second / second.sum(), fill_value=0.0)
    spread = np.sqrt((p1 * (1 - p1) + p2 * (1 - p2)) / 2)
    return (p1 - p2) / spread.where(spread > 0)


def attrition(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Share of the last baseline year's members no longer in their system in the last year, participating minus comparison.

    Systems with an exit are left out of this number: their loss is a fact of the study, handled by the exit rule.
    """
    study = context.study
    rows = profile[(profile["characteristic"] == "retention") & (profile["map"] == study.population.map)]
    base = profile[(profile["characteristic"] == "sex") & (profile["map"] == study.population.map)]
    if study.race:
        rows, base = rows[rows["race_version"] == study.race.primary], base[base["race_version"] == study.race.primary]
    start, end = max(study.baseline.pre_years), str(max(study.years))
    lost = {}
    for arm in ("participating", "comparison"):
        ids = {s.id for s in study.arm_systems(arm) if study.exit_year(s.id) is None}
        before = base[base["system_id"].isin(ids) & (base["year"] == start)]["n"].sum()
        kept = rows[rows["system_id"].isin(ids) & (rows["year"] == start) & (rows["level"].astype(str) == end)]["n"].sum()
        if before == 0 or rows.empty:
            return [Finding("all", None, "percentage points", "no retention counts")]
        lost[arm] = 1 - kept / before
    return [Finding("all", abs(POINTS * float(lost["participating"] - lost["comparison"])), "percentage points")]


def selection_regression(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Excess of the gap in the selection years over the other baseline years, contracted minus comparison, in standard errors.

    Reads baseline years only. A large excess means the baseline was picked when gaps looked worst and will regress by itself.
    """
    del profile
    study, analysis = context.study, primary_analysis(context)
    others = [t for t in study.baseline.pre_years if t not in study.baseline.selection_years]
    out = []
    for measure, question in _baseline_questions(context, analysis, others, list(study.baseline.selection_years)):
        if question is None:
            out.append(Finding(measure, None, "standard errors", "no selection years, no baseline gap or an empty arm"))
            continue
        y, v, arm = question.values["gap"], question.variances["gap"], question.treated
        if (~arm).sum() < 2:
            out.append(Finding(measure, None, "standard errors", "fewer than two comparison systems"))
            continue
        tau2 = tau2_estimate(y[~arm], np.ones((int((~arm).sum()), 1)), v[~arm])
        w = 1 / (v + tau2)
        excess = float(np.average(y[arm], weights=w[arm]) - np.average(y[~arm], weights=w[~arm]))
        error = float(np.sqrt(1 / w[arm].sum() + 1 / w[~arm].sum()))
        out.append(Finding(measure, max(excess / error, 0.0), "standard errors"))
    return out


def detectable_effect(context: Context, profile: pd.DataFrame) -> list[Finding]:
    """Smallest change detectable with 80% power by measure, at the larger yearly shocks the plan assumes; from baseline years."""
    del profile
    study, analysis = context.study, primary_analysis(context)
    pairs = baseline_series(context, context.variant(analysis))
    out = []
    for measure in study.measure_sets.contracted:
        asked = planned_question(context, analysis, measure, tuple(g for m, g in pairs if m == measure))
        if asked is None:
            out.append(Finding(measure, None, "percentage points", "no baseline gap, or too few systems in an arm"))
            continue
        variances = asked.with_shocks(max(study.inference.shocks)).covariance[:, 0, 0]
        value = minimal_detectable_change(variances, asked.treated, 0.0, conf_level=study.inference.conf_level)
        out.append(Finding(measure, value, "percentage points"))
    return out


def _baseline_questions(
    context: Context, analysis: Analysis, early: list[int] | tuple[int, ...], late: list[int] | tuple[int, ...]
) -> list[tuple[str, Question | None]]:
    """Change of the gap between two sets of baseline years, by contracted measure."""
    panel, study = context.panel(context.variant(analysis)), context.study
    out: list[tuple[str, Question | None]] = []
    for measure in study.measure_sets.contracted:
        series = [(m, g) for m, g in baseline_series(context, context.variant(analysis)) if m == measure]
        arms = context.arms(analysis, measure)
        if not series or not early or not late or not arms.treated or not arms.comparison:
            out.append((measure, None))
            continue
        windows = dict.fromkeys(panel.systems, (early, late))
        changes = gap_changes(
            panel, series, str(study.groups.reference), windows, arms.comparison, study.inference.minimum_denominator
        )
        question = form_question(context, analysis, changes, arms, measure)
        out.append((measure, question if question.treated.any() and not question.treated.all() else None))
    return out


Gauge = Callable[[Context, pd.DataFrame], list[Finding]]
GAUGES: dict[str, Gauge] = {
    "completeness": completeness,
    "reading_completeness": reading_completeness,
    "race_data_drift": race_data_drift,
    "balance": balance,
    "attrition": attrition,
    "selection_regression": selection_regression,
    "detectable_effect": detectable_effect,
}

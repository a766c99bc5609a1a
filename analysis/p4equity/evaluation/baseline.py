"""Baseline gaps: which measure and group pairs have one, how large it is, and the registered weights over groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from p4equity.disparity.panel import Panel, rate_covariance
from p4equity.evaluation.context import POINTS, Context, base_row
from p4equity.study import Analysis


def network_gap(context: Context, variant: tuple[str, str], measure: str, group: str) -> tuple[float, float]:
    """Patient-weighted gap over the baseline years in the systems of the primary sample, and its sampling standard error.

    Returns shares (not points). Members are independent between systems; the overlap between years is in the covariance.
    """
    return context.once(("gap", variant, measure, group), lambda: _network_gap(context, context.panel(variant), measure, group))


def _network_gap(context: Context, panel: Panel, measure: str, group: str) -> tuple[float, float]:
    study = context.study
    wanted = {s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)}
    at = [i for i, s in enumerate(panel.systems) if s in wanted]
    pre = np.isin(panel.years, study.baseline.pre_years)
    gap, variance = 0.0, 0.0
    for name, sign in ((str(study.groups.reference), 1.0), (group, -1.0)):
        series = panel.index(measure, name)
        den = panel.den[at, series].sum(axis=0)
        num = panel.num[at, series].sum(axis=0)
        usable = pre & (den > 0)
        if not usable.any():
            return np.nan, np.nan
        rates = np.divide(num, den, out=np.zeros_like(num), where=den > 0)
        gap += sign * float(rates[usable].mean())
        for i in at:
            share = np.divide(panel.den[i, series], den, out=np.zeros_like(den), where=den > 0)
            weights = share * usable / usable.sum()
            variance += float(weights @ rate_covariance(panel, i, name, measure, measure) @ weights)
    return gap, float(np.sqrt(variance))


def baseline_series(context: Context, variant: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Measure and group pairs whose baseline gap's interval lies above zero, judged on the registered variant.

    Looks at baseline years only, so the choice is blind to any effect; the same set serves every analysis.
    """
    return context.once("baseline_series", lambda: _baseline_series(context, variant))


def _baseline_series(context: Context, variant: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    study = context.study
    registered = (study.population.map, study.race.primary if study.race else variant[1])
    critical = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2))
    out = []
    for measure in context.measures:
        for group in study.groups.compared:
            gap, error = network_gap(context, registered, measure, group)
            if np.isfinite(gap) and gap - critical * error > 0:
                out.append((measure, group))
    return tuple(out)


def group_weights(
    context: Context, series: Sequence[tuple[str, str]], variant: tuple[str, str], weighting: str = "random_effects"
) -> dict[int, float]:
    """Position -> weight of each series: equal, or by the group's members in the weights years.

    weighting: that of the analysis; "patient" counts members whatever the plan's rule is.
    """
    equal = context.study.inference.group_weights == "equal" and weighting != "patient"
    if equal or not context.study.groups.compared:
        return dict.fromkeys(range(len(series)), 1.0)
    panel = context.panel(variant)
    years = np.isin(panel.years, context.study.baseline.weights_years)
    return {i: float(panel.den[:, panel.index(m, g)][:, years].sum()) for i, (m, g) in enumerate(series)}


def baseline_rows(context: Context) -> list[dict[str, Any]]:
    """Descriptive rows: the baseline gap of every measure and group, with its sampling interval."""
    study = context.study
    if not study.groups.compared:
        return []
    described = Analysis(
        id="baseline_gap", registered="exploratory", outcome="gap", estimator="meta_regression",
        measures=study.measure_sets.contracted, weighting="patient", inference=("sampling",),
    )  # fmt: skip
    variant = context.variant(described)
    critical = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2))
    rows = []
    for measure in context.measures:
        if measure == study.measure_sets.spending:
            continue
        for group in study.groups.compared:
            gap, error = network_gap(context, variant, measure, group)
            row = base_row(
                context, described, estimand="gap over the baseline years, all systems", estimator="descriptive",
                measure_id=measure, outcome="gap", group=group, reference_group=study.groups.reference,
                inference="sampling", outcome_unit="percentage points",
                first_year=min(study.baseline.pre_years), last_year=max(study.baseline.pre_years),
            )  # fmt: skip
            if np.isfinite(gap):
                gap, error = POINTS * gap, POINTS * error
                row |= {"estimate": gap, "std_error": error}
                row |= {"conf_low": gap - critical * error, "conf_high": gap + critical * error}
            else:
                row |= {"status": "not_estimable", "reason": "no members in the baseline years"}
            rows.append(row)
    return rows

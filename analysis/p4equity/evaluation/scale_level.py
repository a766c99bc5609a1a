"""How large the disparity was before any contract, on every scale on which the plan asks its primary question."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from p4equity.disparity.panel import Panel
from p4equity.disparity.race_levels import together
from p4equity.disparity.scale_changes import Asked, scale_levels
from p4equity.disparity.scales import LINEAR
from p4equity.evaluation.composition import with_panel
from p4equity.evaluation.context import Context, base_row
from p4equity.evaluation.scales import NO_GAP, OUTCOMES, POOLED, Statistic, of_the_gap
from p4equity.study import Analysis

LEVELS, SUFFIX = "baseline_scale", "_level"
OBSERVED = "statistic is the value as observed, with the part that sampling adds"
NO_YEARS = "a baseline year misses the minimum denominator, or a rate is 0 or 100%"


def scale_level_rows(context: Context) -> list[dict[str, Any]]:
    """Descriptive rows: the level of each registered statistic, and of the gap, in the contracted systems of a measure.

    The systems of the measure's contract count as one, as their rates are published by arm; over the mean of the baseline years.
    """
    study = context.study
    asked = [a for a in study.analyses if a.estimator == "scale_change"]
    if not asked:
        return []
    statistics = {"gap": Statistic(LINEAR, of_the_gap, referred=True)}
    statistics |= {name: own for a in asked for name, own in OUTCOMES[a.outcome].items()}
    described = Analysis(
        id=LEVELS, registered="exploratory", outcome="gap", estimator="meta_regression",
        measures=study.measure_sets.contracted, weighting="patient", inference=("sampling",), cohorts=asked[0].cohorts,
    )  # fmt: skip
    measures = [m for m in study.measure_ids(study.measure_sets.contracted) if m in context.measures]
    return [_row(context, described, m, name, own) for m in measures for name, own in statistics.items()]


def _row(context: Context, described: Analysis, measure: str, name: str, statistic: Statistic) -> dict[str, Any]:
    study, variant, years = context.study, context.variant(described), context.study.baseline.pre_years
    arms = context.arms(described, measure)
    asked = statistic.asked(context, variant, measure)
    row = base_row(
        context, described, estimand="level over the baseline years, contracted systems together", estimator="descriptive",
        measure_id=measure, outcome=name + SUFFIX, group=POOLED, inference="sampling", outcome_unit=statistic.scale.unit,
        reference_group=study.groups.reference if statistic.referred else None, first_year=min(years), last_year=max(years),
    )  # fmt: skip
    if asked is None or not arms.treated:
        return row | {"status": "not_estimable", "reason": NO_GAP if arms.treated else "no contracted system"}
    if statistic.names:
        row[statistic.names] = asked.groups[int(asked.weights[0].argmax())]
    whole = together(context.panel(variant), tuple(arms.treated))
    one = _of_one(context, variant, statistic, asked, whole)
    found = scale_levels(whole, statistic.scale, one, years, study.inference.minimum_denominator)
    if not np.isfinite(found.value[0]):
        return row | {"status": "not_estimable", "reason": NO_YEARS}
    factor = statistic.scale.factor
    value, error = factor * float(found.value[0]), abs(factor) * float(np.sqrt(found.variance[0]))
    half = float(stats.norm.ppf(0.5 + study.inference.conf_level / 2)) * error
    counted = [whole.index(measure, g) for g, w in zip(one.groups, one.weights[0], strict=True) if w]
    members = whole.den[0, counted][:, np.isin(whole.years, years)].sum()
    return row | {
        "estimate": value, "std_error": error, "conf_low": value - half, "conf_high": value + half,
        "statistic": factor * float(found.observed[0]), "reason": OBSERVED, "n_clusters": len(arms.treated),
        "n_treated_clusters": len(arms.treated), "n_members": int(members),
    }  # fmt: skip


def _of_one(context: Context, variant: tuple[str, str], statistic: Statistic, asked: Asked, whole: Panel) -> Asked:
    """The series of all contracted systems as one: groups that the data name stay those that all systems name."""
    if statistic.names:
        return replace(asked, weights=asked.weights[:1])
    found = statistic.asked(with_panel(context, variant, whole), variant, asked.measure)
    assert found is not None  # it was asked of the same groups
    return found

"""Regression answers through the public door `fit`: difference-in-differences, event study and triple difference."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import pandas as pd

from p4equity.errors import P4Error
from p4equity.estimators import fit
from p4equity.estimators.few_clusters import ADVICE
from p4equity.evaluation.context import POINTS, Arms, Context, base_row, failed_rows, no_arm, outcome_unit
from p4equity.study import Analysis

KEPT = (
    "estimand", "cohort", "event_time", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "interval",
    "inference", "df", "n_clusters", "n_treated_clusters", "p_attainable", "n_members", "n_cells", "first_year", "last_year",
    "status", "reason",
)  # fmt: skip


def regression_groups(context: Context, analysis: Analysis) -> tuple[str, ...]:
    """The groups whose gap a regression is about, one fit each; "all" where it is about no gap."""
    return context.study.groups.compared if analysis.outcome == "gap" else ("all",)


def regression_rows(context: Context, analysis: Analysis, measure: str, group: str) -> list[dict[str, Any]]:
    """Rows of one measure and group in an analysis whose estimator is a regression."""
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    if reason:
        return _failed(context, analysis, measure, group, reason)
    make = partial(value_frame, context, analysis, measure, arms)
    if analysis.outcome != "value":
        make = partial(gap_frame, context, analysis, measure, group, arms)
    windows = tuple((s, tuple(pre), tuple(post)) for s, (pre, post) in context.windows(analysis, arms).items())
    every_year = analysis.estimator == "event_study"
    key = ("frame", context.variant(analysis), measure, group, analysis.outcome, windows, tuple(arms.treated.items()), every_year)
    return _fitted(context, analysis, measure, group, context.once(key, make), context.once(("regressions", key), dict))


def gap_frame(context: Context, analysis: Analysis, measure: str, group: str, arms: Arms) -> pd.DataFrame:
    """One row a system, group and year: rate in points, frozen baseline weight, cohort (null for never treated).

    Difference-in-differences use the registered pre- and post-years; the event study shows every year.
    """
    study = context.study
    panel = context.panel(context.variant(analysis))
    reference = str(study.groups.reference)
    windows = context.windows(analysis, arms)
    minimum = max(study.inference.minimum_denominator, 1)
    rows = []
    for system in arms.systems:
        if system not in panel.systems:
            continue
        s = panel.systems.index(system)
        last = max(windows[system][1], default=0)
        shown = sorted({*windows[system][0], *windows[system][1]})
        if analysis.estimator == "event_study":
            shown = [t for t in study.years if t <= last]
        weight = {g: _frozen(context, panel.den[s, panel.index(measure, g)], panel.years) for g in (reference, group)}
        for t in shown:
            at = panel.years.index(t)
            den = {g: panel.den[s, panel.index(measure, g), at] for g in (reference, group)}
            if min(den.values()) < minimum or min(weight.values()) <= 0:
                continue
            for g in (reference, group):
                num = panel.num[s, panel.index(measure, g), at]
                rows.append((system, g, t, POINTS * num / den[g], den[g], weight[g], arms.treated.get(system)))
    frame = pd.DataFrame(rows, columns=["system_id", "group", "year", "rate", "den", "weight", "cohort"])
    return frame.astype({"cohort": "Int64"})


def _frozen(context: Context, den: Any, years: Sequence[int]) -> float:
    """Mean denominator over the registered weights years."""
    values = [float(n) for n, t in zip(den, years, strict=True) if t in context.study.baseline.weights_years]
    return sum(values) / len(values) if values else 0.0


def value_frame(context: Context, analysis: Analysis, measure: str, arms: Arms) -> pd.DataFrame:
    """One row a unit and year of a published panel: value, weight, cohort."""
    cells = context.rows(context.cell, context.variant(analysis))
    used = cells[(cells["measure_id"] == measure) & cells["system_id"].isin(arms.systems)]
    frame = used[["system_id", "year", "value", "weight"]].rename(columns={"value": "rate"}).reset_index(drop=True)
    frame["cohort"] = frame["system_id"].map(dict(arms.treated)).astype("Int64")
    return frame.astype({"rate": float, "weight": float})


def _fitted(
    context: Context, analysis: Analysis, measure: str, group: str, frame: pd.DataFrame, shared: dict[Hashable, Any]
) -> list[dict[str, Any]]:
    study, gap = context.study, analysis.outcome == "gap"
    options: dict[str, Any] = dict(analysis.options)
    if gap:
        options |= {"group": "group", "reference": str(study.groups.reference)}
    if analysis.weighting == "patient":
        options["weights"] = "weight"
    if "wild_bootstrap" in analysis.inference:
        options |= {"draws": study.inference.wild_draws, "wild_weights": study.inference.wild_weights}
    if analysis.estimator == "event_study" and gap:
        options.setdefault("reference_period", study.baseline.reference_year - study.launch_cohort)
        options.setdefault("apart", [year - study.launch_cohort for year in study.baseline.apart])
    try:
        answers = fit(
            analysis.estimator, frame, outcome="rate", unit="system_id", time="year", cohort="cohort",
            inference=list(analysis.inference), conf_level=study.inference.conf_level, seed=context.seed(analysis.id),
            shared=shared, **options,
        )  # fmt: skip
    except P4Error as error:
        return _failed(context, analysis, measure, group, error.problem)
    shown = answers if gap else answers[answers["group"].isna() | (answers["group"] == "all")]
    rows = []
    for record in shown.to_dict("records"):
        row = base_row(context, analysis, measure_id=measure, group=group, outcome=_outcome(record, analysis))
        row["outcome_unit"] = outcome_unit(study, measure)
        row |= {key: record[key] for key in KEPT if not _null(record.get(key))}
        if row.get("reason"):  # a plan has registered its methods: those `fit` names instead are no advice here
            row["reason"] = str(row["reason"]).split(ADVICE)[0]
        row["reference_group"] = study.groups.reference if gap else None
        if row["outcome"].endswith("breakdown"):
            row["outcome_unit"] = BREAKDOWN_UNIT
        rows.append(row)
    return rows


BREAKDOWN_UNIT = "times the bound's unit"
SIDES = {"att_gap": "gap", "att_reference": "reference_rate", "att_group": "group_rate", "left_out": "left_out"}


def _outcome(record: dict[str, Any], analysis: Analysis) -> str:
    """Which side of the gap an answer of `fit` is about; joint tests of leads, and bounds, are outcomes of their own."""
    estimand = str(record["estimand"])
    if ", " in estimand:  # "att_gap, relative magnitudes 1": a set or a breakdown value, no effect
        head, tail = estimand.split(", ", 1)
        return f"{SIDES.get(head, analysis.outcome)}_{tail.replace(', ', ' ').replace(' ', '_')}"
    for kind in (
        "pretrend",
        "att_dynamic",
    ):  # the leads' joint test; the plain average over event times beside the one over cells
        if estimand.startswith(kind):
            return f"{kind.removeprefix('att_')}_{SIDES.get(estimand.replace(kind, 'att', 1), analysis.outcome)}"
    return SIDES.get(estimand, analysis.outcome)


def _null(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _failed(context: Context, analysis: Analysis, measure: str, group: str, reason: str) -> list[dict[str, Any]]:
    what = {"estimand": "effect of the contract", "measure_id": measure, "outcome": analysis.outcome, "group": group}
    return failed_rows(context, analysis, reason, **what)

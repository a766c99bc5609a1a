"""Leveling up or down: both effects of each question with bounds that hold together, shares of the change, probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.leveling import LEVELING_DOWN, LEVELING_UP, MIXED
from p4equity.disparity.leveling_probability import NO_GAIN, posterior, prior
from p4equity.errors import P4Error, StudyError
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context, base_row, failed_rows, no_arm
from p4equity.evaluation.pooled import pooled_base, stacked_data
from p4equity.evaluation.two_stage import ESTIMAND, ONE_TREATED, count_base, form_question, question_changes
from p4equity.inference.averaged_t import AveragedDesign, single_design, stacked_design
from p4equity.inference.fieller import fieller
from p4equity.inference.two_sides import TwoSides, two_sides
from p4equity.study import Analysis

Array = NDArray[np.float64]
Row = dict[str, Any]
POOLED = "pooled"
# Outcome of each row and what it says; bounds of the first three hold together.
BOUNDED = {
    "leveling_reference": f"{ESTIMAND}, reference group",
    "leveling_group": f"{ESTIMAND}, compared group",
    "leveling_gap": f"{ESTIMAND}, gap",
}
SHARES = {
    "share_from_reference": "part of the change of the gap that is the reference group's movement",
    "share_from_group": "part of the change of the gap that is the compared group's movement",
}
# Outcome of each kind of narrowing that has a probability; and of a narrowing without any gain of the group, a part of the first.
KIND_OUTCOMES = {
    LEVELING_DOWN: "probability_leveling_down", MIXED: "probability_mixed", LEVELING_UP: "probability_leveling_up",
    NO_GAIN: "probability_no_gain",
}  # fmt: skip
PROBABILITIES = {outcome: f"posterior probability of {kind}" for kind, outcome in KIND_OUTCOMES.items()}
OUTCOMES = BOUNDED | SHARES | PROBABILITIES
UNITS = dict.fromkeys(BOUNDED, "percentage points") | dict.fromkeys(SHARES | PROBABILITIES, "percent")
NO_GAP = "no group has a baseline gap above zero"
NO_OWN_GAP = "the group has no baseline gap above zero"
NOT_SHOWN = "the interval of the change of the gap includes zero, so any share fits the data"
PRIOR = "statistic is the probability before the data, percent"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """All outcomes of each question: a measure with its groups pooled (and each group), and all measures pooled."""
    size = len(OUTCOMES) * len(analysis.inference)
    groups = 1 + (len(context.study.groups.compared) if analysis.groups == "each" else 0)
    each = dict.fromkeys(context.study.measure_ids(analysis.measures), size * groups)
    return each | ({POOLED: size} if analysis.also_pooled else {})


def rows(context: Context, analysis: Analysis, measure: str) -> list[Row]:
    """The rows of one measure, groups pooled first, or of all measures pooled."""
    asked = analysis.model_copy(update={"outcome": "gap"})
    if measure == POOLED:
        return _together(context, analysis, _Asked(measure, POOLED, True), lambda m: _pooled(context, asked, m))
    behind = tuple(g for m, g in baseline_series(context, context.variant(analysis)) if m == measure)
    sets = [(_Asked(measure, POOLED, bool(behind)), behind)]
    if analysis.groups == "each":
        sets += [(_Asked(measure, g, g in behind), (g,)) for g in context.study.groups.compared]
    return [
        row for question, groups in sets
        for row in _together(context, analysis, question, lambda m, own=groups: _single(context, asked, measure, own, m))
    ]  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """A question: what it is about, and whether there is a baseline gap that could narrow."""

    measure: str
    group: str
    behind: bool


@dataclass(frozen=True)
class _Changes:
    """Changes of both sides in the cells of the gap's design, and what stands in the rows about them."""

    design: AveragedDesign
    reference: Array
    group: Array
    base: Row


def _together(context: Context, analysis: Analysis, asked: _Asked, changes: Any) -> list[Row]:
    identity = {
        "measure_id": asked.measure, "group": asked.group, "outcome_unit": "percentage points",
        "reference_group": context.study.groups.reference,
    }  # fmt: skip
    found: list[Row] = []
    for method in analysis.inference:
        try:
            made: _Changes = changes(method)
            sides = two_sides(made.design, made.reference, made.group)
        except (P4Error, np.linalg.LinAlgError) as error:
            reason = getattr(error, "problem", "too few systems for the joint answer")
            one = analysis.model_copy(update={"inference": (method,)})
            found += [
                {**failed_rows(context, one, reason, estimand=said, measure_id=asked.measure, group=asked.group, outcome=o)[0],
                 "outcome_unit": UNITS[o]}
                for o, said in OUTCOMES.items()
            ]  # fmt: skip
            continue
        common = base_row(context, analysis, **identity) | made.base | {"inference": method, "df": sides.df}
        found += [{**common, **own} for own in _answers(context, sides, asked.behind)]
    return found


def _answers(context: Context, sides: TwoSides, behind: bool) -> list[Row]:
    """The answers of one question, one an outcome."""
    plan, leveling = context.study.inference, context.study.leveling
    estimates = (*sides.estimate, sides.estimate[0] - sides.estimate[1])
    out: list[Row] = []
    for k, ((outcome, said), (low, high)) in enumerate(zip(BOUNDED.items(), sides.bounds(plan.conf_level), strict=True)):
        row = {"outcome": outcome, "estimand": said, "interval": "simultaneous"}
        out.append({**row, "estimate": float(estimates[k]), "std_error": sides.error(k), "conf_low": low, "conf_high": high})
    out += _shares(sides, plan.conf_level, behind)
    assert leveling is not None  # a plan without the block registers no such question
    before = prior(leveling.prior_sd, leveling.margin)
    after = posterior(sides.estimate, sides.covariance, sides.df, leveling.prior_sd, leveling.margin) if behind else {}
    for kind, outcome in KIND_OUTCOMES.items():
        row = {"outcome": outcome, "estimand": PROBABILITIES[outcome], "outcome_unit": UNITS[outcome]}
        known = {"estimate": 100 * after[kind], "statistic": 100 * before[kind], "reason": PRIOR} if behind else {}
        out.append({**row, **(known or _none(NO_OWN_GAP))})
    return out


def _shares(sides: TwoSides, conf_level: float, behind: bool) -> list[Row]:
    """Each side's part of the gap's change by Fieller's set; its critical value is that of the gap's own interval."""
    kinds = [{"outcome": o, "estimand": said, "outcome_unit": UNITS[o]} for o, said in SHARES.items()]
    gap, error = float(sides.estimate[0] - sides.estimate[1]), sides.error(2)
    low, high = sides.laws[2].quantile(np.array([(1 - conf_level) / 2, (1 + conf_level) / 2]))
    if not behind or low <= 0 <= high:
        return [{**kind, **_none(NOT_SHOWN if behind else NO_OWN_GAP)} for kind in kinds]
    critical = (high - gap if gap < 0 else gap - low) / error
    covariance = sides.covariance
    own = float(sides.estimate[0])
    found = fieller(own, gap, covariance[0, 0], error**2, covariance[0, 0] - covariance[0, 1], critical)
    ends = [(found.low, found.high), (1 - found.high, 1 - found.low)]
    return [
        {**kind, "estimate": 100 * share, "conf_low": 100 * bottom, "conf_high": 100 * top}
        for kind, share, (bottom, top) in zip(kinds, (own / gap, 1 - own / gap), ends, strict=True)
    ]


def _none(reason: str) -> Row:
    return {"status": "not_estimable", "reason": reason}


def _single(context: Context, analysis: Analysis, measure: str, groups: Sequence[str], method: str) -> _Changes:
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    reason = reason or (None if groups else NO_GAP)
    if reason:
        raise StudyError(reason)
    panel = context.panel(context.variant(analysis))
    changes = question_changes(context, analysis, panel, arms, measure, groups)
    question = form_question(context, analysis, changes, arms, measure)
    treated = question.treated
    if not treated.any() or treated.all():
        raise StudyError("no contracted or no comparison system has a change")
    members, cells, years = count_base(changes, panel, question.systems, [str(context.study.groups.reference)])
    base = {
        "sample": question.note, "n_clusters": len(question.systems), "n_treated_clusters": int(treated.sum()),
        "n_members": int(members), "n_cells": cells, "first_year": min(years, default=None),
        "last_year": max(years, default=None), "reason": ONE_TREATED if treated.sum() == 1 else None,
    }  # fmt: skip
    design = single_design(question.variances["gap"], treated, method == "averaged_t_varying")
    return _Changes(design, question.values["reference"], question.values["group"], base)


def _pooled(context: Context, analysis: Analysis, method: str) -> _Changes:
    data = stacked_data(context, analysis)
    design, mask = stacked_design(data.sides["gap"], method == "averaged_t_varying")
    return _Changes(design, data.sides["reference"].y[mask], data.sides["group"].y[mask], pooled_base(data))

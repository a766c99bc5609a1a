"""The primary question on other scales: ratios, log odds, gap to the best group, spread over all groups, worst group.

One place says which statistic answers which registered outcome (`OUTCOMES`); what follows is the primary's own two-stage engine:
a change in each system with its sampling variance, then the registered inferences.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import Changes
from p4equity.disparity.measures import named_group
from p4equity.disparity.panel import Array
from p4equity.disparity.scale_changes import TOO_SMALL, Asked, scale_changes
from p4equity.disparity.scales import LINEAR, LOG_FAILURE, LOG_ODDS, LOG_SUCCESS, THEIL, VARIANCE, Scale
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import Arms, Context, base_row, failed_rows, no_arm
from p4equity.evaluation.pooled import pooled_fits
from p4equity.evaluation.question import TOO_SMALL as DENOMINATOR
from p4equity.evaluation.question import Question, left_early, question_of
from p4equity.evaluation.two_stage import ESTIMAND, fit_columns, permutation_columns, question_answers
from p4equity.inference.stacked import Stacked
from p4equity.inference.stacked_permutation import stacked_permutation
from p4equity.study import Analysis

POOLED = "pooled"
NO_GAP = "no group has a baseline gap above zero"
MakeAsked = Callable[[Context, tuple[str, str], str], "Asked | None"]


def of_the_gap(context: Context, variant: tuple[str, str], measure: str) -> Asked | None:
    """The reference group against the groups of the primary gap, with its registered weights; None without such a group."""
    pairs = [p for p in baseline_series(context, variant) if p[0] == measure]
    if not pairs:
        return None
    weights = group_weights(context, pairs, variant)
    shares = np.array([weights[i] for i in range(len(pairs))])
    own = np.array([1.0, *(-shares / shares.sum())])
    groups = (str(context.study.groups.reference), *(g for _, g in pairs))
    return Asked(measure, groups, np.tile(own, (len(context.panel(variant).systems), 1)))


def of_best(context: Context, variant: tuple[str, str], measure: str) -> Asked:
    """The group that is best over all systems at baseline, against the mean of the other groups."""
    groups, best = _named(context, variant, measure, worst=False)
    return Asked(measure, groups, (1 + 1 / (len(groups) - 1)) * best - 1 / (len(groups) - 1))


def of_worst(context: Context, variant: tuple[str, str], measure: str) -> Asked:
    """The rate of the group that is worst off over all systems at baseline."""
    return Asked(measure, *_named(context, variant, measure, worst=True))


def of_members(context: Context, variant: tuple[str, str], measure: str) -> Asked:
    """The reference group against all compared groups, each by its members in the system, frozen at the weights years."""
    shares = _frozen_shares(context, variant, measure, context.study.groups.compared)
    groups = (str(context.study.groups.reference), *context.study.groups.compared)
    return Asked(measure, groups, np.hstack([np.where(shares.any(axis=1, keepdims=True), 1.0, 0.0), -shares]))


def of_all(context: Context, variant: tuple[str, str], measure: str) -> Asked:
    """All groups of the study, each by its members in the system, frozen at the weights years."""
    groups = context.study.group_ids
    return Asked(measure, groups, _frozen_shares(context, variant, measure, groups))


def _frozen_shares(context: Context, variant: tuple[str, str], measure: str, groups: Sequence[str]) -> Array:
    """(S, G) shares of members in the weights years; zeros in a system without any."""
    panel = context.panel(variant)
    years = np.isin(panel.years, context.study.baseline.weights_years)
    members = np.stack([panel.den[:, panel.index(measure, g)][:, years].sum(axis=1) for g in groups], axis=1)
    total = members.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(members, total, out=np.zeros_like(members), where=total > 0))


def _named(context: Context, variant: tuple[str, str], measure: str, *, worst: bool) -> tuple[tuple[str, ...], Array]:
    """Groups, and 1 (S, G) for the one that the systems of both arms together name by their rates in the baseline years."""
    study, panel, groups = context.study, context.panel(variant), context.study.group_ids
    years = np.isin(panel.years, study.baseline.pre_years)
    known = np.isin(panel.systems, [s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)])
    columns = [panel.index(measure, g) for g in groups]
    den, num = (x[known][:, columns][:, :, years].sum(axis=2) for x in (panel.den, panel.num))
    return groups, np.tile(np.eye(len(groups))[named_group(den, num, worst=worst)], (len(panel.systems), 1))


@dataclass(frozen=True)
class Statistic:
    """How one outcome is made: the scale, the groups and weights it takes, and whether it is about the reference group.

    names: the column of a measure's rows that holds the group of the largest weight, where the data name that group.
    """

    scale: Scale
    asked: MakeAsked
    referred: bool = False
    names: str | None = None


# Registered outcome -> what its rows are about; the ratio of success never comes without that of failure.
OUTCOMES: dict[str, dict[str, Statistic]] = {
    "ratio": {
        "success_ratio": Statistic(LOG_SUCCESS, of_the_gap, referred=True),
        "failure_ratio": Statistic(LOG_FAILURE, of_the_gap, referred=True),
    },
    "log_odds_gap": {"log_odds_gap": Statistic(LOG_ODDS, of_the_gap, referred=True)},
    "weighted_mean_gap": {"weighted_mean_gap": Statistic(LINEAR, of_members, referred=True)},
    "gap_to_best": {"gap_to_best": Statistic(LINEAR, of_best, names="reference_group")},
    "between_group_variance": {"between_group_variance": Statistic(VARIANCE, of_all)},
    "theil": {"theil": Statistic(THEIL, of_all)},
    "worst_group_rate": {"worst_group_rate": Statistic(LINEAR, of_worst, names="group")},
}


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """One answer a measure, statistic and inference; over all measures, where the plan asks for it, the first inference alone.

    A permutation of whole contract rows takes as long as all other rows of a scale together, and the primary question has one.
    """
    statistics = len(OUTCOMES[analysis.outcome])
    measures = () if analysis.pooled else context.study.measure_ids(analysis.measures)
    each = dict.fromkeys(measures, len(analysis.inference) * statistics)
    return each | ({POOLED: statistics} if analysis.pooled or analysis.also_pooled else {})


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """The rows of one measure, or of all of them pooled, for each statistic of the outcome."""
    answer = _pooled_rows if measure == POOLED else _measure_rows
    if measure == POOLED:
        analysis = analysis.model_copy(update={"inference": analysis.inference[:1]})
    found: list[dict[str, Any]] = []
    for name, statistic in OUTCOMES[analysis.outcome].items():
        identity = {
            "estimand": f"{ESTIMAND}, {name}", "measure_id": measure, "outcome": name, "group": POOLED,
            "outcome_unit": statistic.scale.unit,
            "reference_group": context.study.groups.reference if statistic.referred else None,
        }  # fmt: skip
        found += answer(context, analysis, statistic, identity)
    return found


def _failed(context: Context, analysis: Analysis, reason: str, identity: dict[str, Any]) -> list[dict[str, Any]]:
    given = {k: v for k, v in identity.items() if k != "outcome_unit"}
    return [{**row, "outcome_unit": identity["outcome_unit"]} for row in failed_rows(context, analysis, reason, **given)]


def _changes(context: Context, analysis: Analysis, scale: Scale, series: Sequence[Asked], arms: Arms) -> Changes:
    panel = context.panel(context.variant(analysis))
    windows = dict.fromkeys(panel.systems, ((), ())) | context.windows(analysis, arms)
    return scale_changes(panel, scale, series, windows, arms.comparison, context.study.inference.minimum_denominator)


def _measure_rows(context: Context, analysis: Analysis, statistic: Statistic, identity: dict[str, Any]) -> list[dict[str, Any]]:
    measure = identity["measure_id"]
    arms = context.arms(analysis, measure)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    asked = None if reason else statistic.asked(context, context.variant(analysis), measure)
    if reason or asked is None:
        return _failed(context, analysis, reason or NO_GAP, identity)
    changes = _changes(context, analysis, statistic.scale, [asked], arms)
    question = _question(changes, arms, statistic.scale, left_early(context.windows(analysis, arms)))
    treated = question.treated
    if statistic.names:
        identity = identity | {statistic.names: asked.groups[int(asked.weights[0].argmax())]}
    common = base_row(
        context, analysis, **identity, sample=question.note, n_clusters=len(treated), n_treated_clusters=int(treated.sum()),
        **_base(context, analysis, changes, [asked], {s: [0] for s in question.systems}),
    )  # fmt: skip
    return question_answers(context, analysis, question, common)


def _question(changes: Changes, arms: Arms, scale: Scale, early: Collection[str]) -> Question:
    """The changes of the systems that have one, in the scale's reporting units; the note names the others."""
    small = {system for system, _, _, reason in changes.dropped if reason == TOO_SMALL}

    def why(lost: Sequence[str]) -> str:
        return DENOMINATOR if small.issuperset(lost) else f"{DENOMINATOR} or a rate of 0 or 100%"

    sides = {"gap": (scale.factor * changes.gap[:, 0], scale.factor**2 * changes.gap_covariance[:, 0, 0])}
    return question_of(changes.systems, arms, sides, scale.unit, why, early)


def _base(
    context: Context, analysis: Analysis, changes: Changes, series: Sequence[Asked], used: dict[str, list[int]]
) -> dict[str, Any]:
    """Members, cells and years behind the changes of these systems in these series (positions)."""
    panel = context.panel(context.variant(analysis))
    cells: set[tuple[int, int, int]] = set()
    for system, positions in used.items():
        s = panel.systems.index(system)
        for j in positions:
            years = np.flatnonzero(np.nan_to_num(changes.contrasts[s, j]))
            groups = [g for g, w in zip(series[j].groups, series[j].weights[s], strict=True) if w]
            cells |= {(s, panel.index(series[j].measure, g), int(t)) for g in groups for t in years}
    times = [panel.years[t] for *_, t in cells]
    members = sum(float(panel.den[cell]) for cell in cells)
    first, last = min(times, default=None), max(times, default=None)
    return {"n_members": int(members), "n_cells": len(cells), "first_year": first, "last_year": last}


def _pooled_rows(context: Context, analysis: Analysis, statistic: Statistic, identity: dict[str, Any]) -> list[dict[str, Any]]:
    plan, variant = context.study.inference, context.variant(analysis)
    wanted = [m for m in context.study.measure_ids(analysis.measures) if m in context.measures]
    series = [asked for m in wanted if (asked := statistic.asked(context, variant, m)) is not None]
    if not series:
        return _failed(context, analysis, NO_GAP, identity)
    stacked, changes, systems = _stacked(context, analysis, statistic.scale, series)
    base = base_row(context, analysis, **identity | {"estimand": f"{identity['estimand']}, contracted measures pooled"})
    found = []
    try:
        mask = stacked.included(stacked.contracts) if stacked.estimable else np.zeros_like(stacked.contracts)
        used = {s: np.flatnonzero(row).tolist() for s, row in zip(systems, mask, strict=True)}
        base |= _base(context, analysis, changes, series, used)
        base |= {"n_clusters": int(mask.any(axis=1).sum())}
        base |= {"n_treated_clusters": int((mask & stacked.contracts).any(axis=1).sum())}
        for method in analysis.inference:
            if method == "permutation":
                result = stacked_permutation(stacked, plan.conf_level, plan.permutation_limit, context.seed(analysis.id))
                found.append({**base, **permutation_columns(result)})
                continue
            fit = pooled_fits(context, {"gap": stacked}, method, plan.conf_level, ("gap",))["gap"]
            found.append({**base, **fit_columns(fit, method), "inference": method})
    except (P4Error, np.linalg.LinAlgError) as error:
        reason = error.problem if isinstance(error, P4Error) else "too few systems for the pooled regression"
        return _failed(context, analysis, reason, identity)
    return found


def _stacked(
    context: Context, analysis: Analysis, scale: Scale, series: Sequence[Asked]
) -> tuple[Stacked, Changes, tuple[str, ...]]:
    """Changes of all measures side by side, as for the pooled primary question, and the systems that are its rows."""
    panel = context.panel(context.variant(analysis))
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None)
    changes = _changes(context, analysis, scale, series, arms)
    systems = tuple(s for s in arms.systems if s in panel.systems)
    at: NDArray[np.int64] = np.array([panel.systems.index(s) for s in systems], np.int64)
    treated = [context.arms(analysis, a.measure).treated for a in series]
    contracts = np.array([[s in own for own in treated] for s in systems], bool).reshape(len(systems), len(series))
    y, V = scale.factor * changes.gap[at], scale.factor**2 * changes.gap_covariance[at]
    return Stacked(y, contracts, V, context.strata(systems), _cell_weights(context, analysis, series, at)), changes, systems


def _cell_weights(context: Context, analysis: Analysis, series: Sequence[Asked], at: NDArray[np.int64]) -> Array | None:
    """(S, M) registered weights of contracted cells: equal (None), or members of the groups in the weights years."""
    if context.study.inference.group_weights == "equal":
        return None
    panel, reference = context.panel(context.variant(analysis)), context.study.groups.reference
    years = np.isin(panel.years, context.study.baseline.weights_years)
    return np.stack(
        [
            sum(
                (panel.den[at, panel.index(a.measure, g)][:, years].sum(axis=1) for g in a.groups if g != reference),
                np.zeros(len(at)),
            )
            for a in series
        ],
        axis=1,
    )

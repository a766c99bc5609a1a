"""The gap of an arm's members, before and under the contract, as gaps within systems and where groups are treated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from p4equity.disparity.decomposition import coefficients
from p4equity.disparity.panel import Array, Panel, rate_covariance
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Context, base_row, failed_rows, no_arm
from p4equity.study import Analysis

ESTIMAND = "gap of all members of an arm by Kitagawa's decomposition"
ARMS = ("contracted", "comparison")
PERIODS = ("before", "after", "change")
PARTS = ("network_gap", "within_system_gap", "between_system_gap")
NO_GAP = "no group has a baseline gap above zero"
ONE_SYSTEM = "a single system: nothing lies between systems"


def sample(arm: str, period: str) -> str:
    """What a row's `sample` says."""
    return f"{arm}, {period}"


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """The gap and its two parts in each arm, before, after, and the change."""
    found = len(analysis.inference) * len(ARMS) * len(PERIODS) * len(PARTS)
    return dict.fromkeys(context.study.measure_ids(analysis.measures), found)


@dataclass(frozen=True)
class Counts:
    """What each yearly rate counts for in the parts of one arm's gap, averaged over the groups: (S, T) of every group.

    parts: for PARTS, group -> (S, T). systems: those that enter in some year.
    """

    parts: dict[str, dict[str, Array]]
    systems: tuple[str, ...]


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Both parts of the gap of one measure, averaged over its groups with a baseline gap as the primary answer is.

    A year holds the systems whose window it belongs to, with their shares of the members of that year; a system that leaves
    moves the part between systems. Shares are taken as known, so both parts are linear in rates and their sampling variance is
    exact given the covariance of the rates.
    """
    arms, variant = context.arms(analysis, measure), context.variant(analysis)
    reason = no_arm(arms, measure) or (None if measure in context.measures else f"no cells for {measure}")
    pairs = [] if reason else [p for p in baseline_series(context, variant) if p[0] == measure]
    reason = reason or (None if pairs else NO_GAP)
    found = []
    for arm, members in zip(ARMS, (tuple(arms.treated), arms.comparison), strict=True):
        made = None
        if reason is None:
            windows = context.windows(analysis, arms)
            weights = group_weights(context, pairs, variant)
            shares = {g: weights[i] / sum(weights.values()) for i, (_, g) in enumerate(pairs)}
            made = _counts(context, context.panel(variant), measure, shares, members, windows)
        found += _arm_rows(context, analysis, measure, arm, made, reason)
    return found


def _counts(
    context: Context,
    panel: Panel,
    measure: str,
    shares: dict[str, float],
    members: Sequence[str],
    windows: dict[str, tuple[Sequence[int], Sequence[int]]],
) -> dict[str, Counts]:
    """What rates count for before and after; an arm's year counts where at least one of its systems enters."""
    reference, minimum = str(context.study.groups.reference), max(context.study.inference.minimum_denominator, 1)
    inside = np.isin(panel.systems, list(members))
    den = {g: panel.den[:, panel.index(measure, g)] for g in (reference, *shares)}
    enough = inside[:, None] & np.all([n >= minimum for n in den.values()], axis=0)
    found = {}
    for at, period in enumerate(PERIODS[:2]):
        window = np.array([[t in windows.get(s, ((), ()))[at] for t in panel.years] for s in panel.systems])
        enters = enough & window
        years = enters.any(axis=0)
        share = {g: _shares(np.where(enters, n, 0.0)) / max(int(years.sum()), 1) for g, n in den.items()}
        parts: dict[str, dict[str, Array]] = {name: {reference: np.zeros(den[reference].shape)} for name in PARTS}
        for group, weight in shares.items():
            counts = coefficients(share[reference], share[group])
            for name, of_reference, of_group in (
                (PARTS[0], share[reference], -share[group]),
                (PARTS[1], counts.within, -counts.within),
                (PARTS[2], counts.between, counts.between),
            ):
                parts[name][reference] = parts[name][reference] + weight * of_reference
                parts[name][group] = weight * of_group
        systems = tuple(s for s, used in zip(panel.systems, enters.any(axis=1), strict=True) if used)
        found[period] = Counts(parts, systems)
    return found


def _shares(members: Array) -> Array:
    """(S, T) share of each year's members."""
    total = members.sum(axis=0, keepdims=True)
    return np.asarray(np.divide(members, total, out=np.zeros_like(members), where=total > 0))


def _arm_rows(
    context: Context, analysis: Analysis, measure: str, arm: str, made: dict[str, Counts] | None, reason: str | None
) -> list[dict[str, Any]]:
    panel = context.panel(context.variant(analysis))
    systems = made[PERIODS[0]].systems if made else ()
    if made and reason is None:
        reason = ONE_SYSTEM if len(systems) == 1 else None
        reason = reason or (None if all(c.systems for c in made.values()) else "no year with the minimum denominator")
    found = []
    for period in PERIODS:
        for part in PARTS:
            what = {
                "estimand": ESTIMAND, "measure_id": measure, "outcome": part, "group": "pooled", "sample": sample(arm, period),
                "reference_group": context.study.groups.reference,
            }  # fmt: skip
            if reason or made is None:
                found += failed_rows(context, analysis, str(reason), **what)
                continue
            before, after = (made[p].parts[part] for p in PERIODS[:2])
            counts = {"before": before, "after": after, "change": {g: after[g] - before[g] for g in after}}[period]
            row = base_row(context, analysis, **what, outcome_unit="percentage points", inference=analysis.inference[0])
            found.append(row | _answer(context, panel, measure, counts) | _base(panel, measure, counts, arm))
    return found


def _answer(context: Context, panel: Panel, measure: str, counts: dict[str, Array]) -> dict[str, float]:
    """Estimate, sampling error and interval of a linear combination of rates, in points."""
    rate, value, variance = np.nan_to_num(panel.rate), 0.0, 0.0
    for group, weight in counts.items():
        value += float((weight * rate[:, panel.index(measure, group)]).sum())
        for s in np.flatnonzero(weight.any(axis=1)):
            variance += float(weight[s] @ rate_covariance(panel, int(s), group, measure, measure) @ weight[s])
    error = POINTS * float(np.sqrt(variance))
    half = float(stats.norm.ppf(0.5 + context.study.inference.conf_level / 2)) * error
    estimate = POINTS * value
    return {"estimate": estimate, "std_error": error, "conf_low": estimate - half, "conf_high": estimate + half}


def _base(panel: Panel, measure: str, counts: dict[str, Array], arm: str) -> dict[str, Any]:
    used = {g: w != 0 for g, w in counts.items()}
    any_group = np.any(list(used.values()), axis=0)
    years = [t for t, seen in zip(panel.years, any_group.any(axis=0), strict=True) if seen]
    members = sum(float(panel.den[:, panel.index(measure, g)][u].sum()) for g, u in used.items())
    systems = int(any_group.any(axis=1).sum())
    return {
        "n_clusters": systems, "n_treated_clusters": systems if arm == ARMS[0] else 0, "n_members": int(members),
        "n_cells": int(sum(u.sum() for u in used.values())), "first_year": min(years), "last_year": max(years),
    }  # fmt: skip

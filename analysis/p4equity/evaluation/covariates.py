"""Facts about systems that may explain a change beside the contract: grant dose, Medicaid share, quality before, distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import ALL, Panel
from p4equity.evaluation.context import POINTS, Context
from p4equity.study import Analysis
from p4equity.study.roster import near_contracted

Array = NDArray[np.float64]
MONTHS = 12


def covariate_values(context: Context, analysis: Analysis, systems: Sequence[str]) -> Array:
    """(S,) value of the analysis's covariate for each system, NaN where it is not known.

    grant_per_member: USD of all grants over attributed members, the mean of the weights years. medicaid_share: percent, from the
    study. baseline_quality: mean rate of all members over the baseline years in measures that no contract pays for, points.
    near_contracted: 1 for a comparison system that shares a county with a contracted one, else 0; since contracted systems have 0
    too, the effect is that against comparison systems far away.
    """
    panel = context.panel(context.variant(analysis))
    if analysis.covariate == "grant_per_member":
        return _grants(context, panel, systems)
    if analysis.covariate == "medicaid_share":
        shares = [context.study.system(s).medicaid_share for s in systems]
        return np.array([np.nan if share is None else POINTS * share for share in shares])
    if analysis.covariate == "baseline_quality":
        return _quality(context, panel, analysis, systems)
    return _near(context, analysis, systems)


def _grants(context: Context, panel: Panel, systems: Sequence[str]) -> Array:
    """A system without a grant has a dose of zero; one with a grant of unknown amount has none that is known."""
    study, measure = context.study, context.study.measure_sets.spending
    if not study.grants or measure not in context.measures:  # member-months stand in the spending cells alone
        return np.full(len(systems), np.nan)
    years = np.isin(panel.years, study.baseline.weights_years)
    at = [panel.systems.index(s) for s in systems]
    members = panel.den[at, panel.index(str(measure), ALL)][:, years].mean(axis=1) / MONTHS
    amounts = [[np.nan if g.amount is None else g.amount for g in study.grants if g.system_id == s] for s in systems]
    total = np.array([sum(own) for own in amounts], float)
    return np.asarray(np.divide(total, members, out=np.full(len(systems), np.nan), where=members > 0))


def _quality(context: Context, panel: Panel, analysis: Analysis, systems: Sequence[str]) -> Array:
    """Other measures than those asked about: the errors of a baseline would otherwise move with those of its change."""
    measures = [m for m in context.study.measure_sets.not_incentivized if m in context.measures]
    if not measures:
        return np.full(len(systems), np.nan)
    years = np.isin(panel.years, analysis.pre_years)
    at = [panel.systems.index(s) for s in systems]
    found = np.stack([panel.rate[at, panel.index(m, ALL)][:, years].mean(axis=1) for m in measures])
    return np.asarray(POINTS * found.mean(axis=0))


def _near(context: Context, analysis: Analysis, systems: Sequence[str]) -> Array:
    arms = context.arms(analysis.model_copy(update={"contracts": "any"}), None)
    near = near_contracted(context.study.systems, arms.treated)
    unknown = [not context.study.system(s).counties for s in systems]
    return np.where(unknown, np.nan, np.array([s in near and s in arms.comparison for s in systems], float))

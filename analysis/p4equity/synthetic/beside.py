"""What moves rates beside contracts in force: grants, contracts nearby, effort taken from unpaid measures, what contracted
systems did before; and shocks of owners."""

from __future__ import annotations

import numpy as np

from p4equity.study import Study
from p4equity.study.roster import near_contracted, owners
from p4equity.synthetic.draws import FloatArray
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.truth import Planted

STEP = 10.0  # USD a member


def grant_doses(study: Study) -> FloatArray:
    """(S,) USD of grants over the members of real size that the study assumes of each system; 0 without a grant."""
    amounts = [sum(g.amount or 0.0 for g in study.grants if g.system_id == s.id) for s in study.systems]
    return np.array(amounts) / np.maximum(real_sizes(study), 1.0)


def grant_effects(study: Study, planted: Planted, groups: tuple[str, ...]) -> FloatArray:
    """(S+1, K, Y) points on the rate of each group from the first full year after a system's first grant on, by its dose."""
    result = np.zeros((len(study.systems) + 1, len(groups), len(study.years)))
    model = planted.truth.grant_effect
    if not planted.on("grant_effect") or model is None:
        return result
    points = np.array([model.points.get(g, 0.0) for g in groups])
    for i, (system, dose) in enumerate(zip(study.systems, grant_doses(study), strict=True)):
        awarded = min((g.awarded.year for g in study.grants if g.system_id == system.id), default=None)
        if awarded is not None:
            result[i] = points[:, None] * dose / STEP * (np.array(study.years) > awarded)
    return result


def spillover_effects(study: Study, planted: Planted, effect: FloatArray) -> FloatArray:
    """(S+1, K, Y) points at comparison systems near contracted ones: a share of the contracts' effect.

    effect: (S+1, K, Y) of the contracts on one stream; its mean over systems with a contract in force is what spills over.
    """
    result = np.zeros_like(effect)
    model = planted.truth.spillover
    if not planted.on("spillover") or model is None:
        return result
    contracted = [c.system_id for c in study.contracts if c.cohort == study.launch_cohort]
    near = near_contracted(study.systems, contracted)
    rows = [i for i, s in enumerate(study.systems) if s.id in near and s.arm == "comparison"]
    on = (effect != 0).any(axis=1)  # (S+1, Y)
    result[rows] = model.share * effect.sum(axis=0) / np.maximum(on.sum(axis=0), 1)
    return result


def diverted_effects(
    study: Study, planted: Planted, sharing: tuple[str, ...], groups: tuple[str, ...], treated: FloatArray
) -> FloatArray:
    """(S+1, K, Y) points on the rate of each group where no contract pays for the measures of a stream (`sharing`).

    treated: (S+1, Y) 1 where a contract on any measure is in force.
    """
    model = planted.truth.effort_diversion
    unpaid = set(sharing) & set(study.measure_sets.not_incentivized)
    if not planted.on("effort_diversion") or model is None or not unpaid:
        return np.zeros((len(treated), len(groups), treated.shape[1]))
    points = np.array([model.points.get(g, 0.0) for g in groups])
    return np.asarray(points[None, :, None] * treated[:, None, :])


def prior_effects(study: Study, planted: Planted, groups: tuple[str, ...], effect: FloatArray) -> FloatArray:
    """(S+1, K, Y) points at contracted systems that their contracts do not cause: a trend of their own, and what they anticipate.

    effect: (S+1, K, Y) of the contracts on one stream; a part of what it is in its first year comes in the years before.
    """
    result = np.zeros_like(effect)
    trend, early = planted.truth.prior_trend, planted.truth.anticipation
    if planted.on("prior_trend") and trend is not None:
        contracted = {c.system_id for c in study.contracts}
        points = np.array([trend.points.get(g, 0.0) for g in groups])
        since = np.array(study.years) - study.baseline.reference_year
        result[[s.id in contracted for s in study.systems] + [False]] = points[:, None] * since
    if planted.on("anticipation") and early is not None:
        for i in np.flatnonzero((effect != 0).any(axis=(1, 2))):
            first = int(np.flatnonzero((effect[i] != 0).any(axis=0))[0])
            result[i, :, max(first - early.years, 0) : first] += early.share * effect[i, :, first, None]
    return result


def by_owner(study: Study, planted: Planted, shocks: FloatArray) -> FloatArray:
    """Shocks (S+1, ...) as they are, or those of an owner's first system for all its systems."""
    if not planted.on("owner_shocks"):
        return shocks
    at, result = {s.id: i for i, s in enumerate(study.systems)}, shocks.copy()
    for kinds in owners(study.systems, study.contracts).values():
        ids = [at[i] for kind in kinds for i in kind]
        result[ids] = shocks[ids[0]]
    return result

"""Members of some groups leave contracted systems: those who do worse, or any of them. Off unless a scenario switches it on."""

from __future__ import annotations

import numpy as np

from p4equity.study import Study
from p4equity.synthetic.draws import FloatArray, IntArray, stream
from p4equity.synthetic.plan import ChurnPlan, Plan
from p4equity.synthetic.population import Members
from p4equity.synthetic.rates import treated_years
from p4equity.synthetic.truth import Planted


def build_churn(study: Study, planted: Planted) -> ChurnPlan | None:
    """The plan of leaving, None where it does not happen: of those who do worse, else of whole groups."""
    worse, picked = planted.truth.differential_churn, planted.truth.cherry_picking
    if study.scheme is None:
        return None
    contracted = treated_years(study, study.measure_sets.contracted) > 0
    if worse is not None and planted.on("differential_churn"):
        groups = np.array([g in worse.groups for g in study.scheme.ids])
        return ChurnPlan(groups, contracted, worse.low, worse.trait, worse.leave)
    if picked is not None and planted.on("cherry_picking"):
        groups = np.array([g in picked.groups for g in study.scheme.ids])
        return ChurnPlan(groups, contracted, 1.0, 0.0, picked.leave)
    return None


def performance(plan: Plan, members: Members, block: int) -> FloatArray:
    """A lasting uniform of each member: a result is met while it is below the rate, so the highest do worst."""
    return stream(plan.seed, "performance", block).random(members.n)


def leave(plan: Plan, members: Members, practice: IntArray, block: int) -> IntArray:
    """Practices (n, Y) after members who do worse have left contracted systems: none from the year of leaving on."""
    churn = plan.churn
    if churn is None:
        return practice
    worse = churn.groups[members.group] & (performance(plan, members, block) >= 1 - churn.low)
    draws = stream(plan.seed, "churn", block).random(practice.shape)
    here = plan.places.owner[practice, np.arange(len(plan.years))[None, :]]
    contracted = churn.contracted[here, np.arange(len(plan.years))[None, :]] & (practice >= 0)
    gone = np.maximum.accumulate(worse[:, None] & contracted & (draws < churn.leave), axis=1)
    return np.where(gone, -1, practice)


def lasting_results(plan: Plan, members: Members, who: IntArray, drawn: FloatArray, name: str, block: int) -> FloatArray:
    """The uniforms behind results, a part of them that of the member for good; each stays uniform."""
    churn = plan.churn
    if churn is None:
        return drawn
    own = stream(plan.seed, f"trait:{name}", block).random(len(who)) < churn.trait
    return np.where(own, performance(plan, members, block)[who], drawn)

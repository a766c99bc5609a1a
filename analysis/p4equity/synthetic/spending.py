"""Spending of one block by member and year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.synthetic.draws import FloatArray, IntArray, stream
from p4equity.synthetic.placement import Placement
from p4equity.synthetic.plan import OLDEST, Plan, SpendingPlan
from p4equity.synthetic.population import Members

_LARGEST_CENTS = 5_000_000_00


@dataclass(frozen=True)
class Spending:
    """Rows by member, then year: amounts in cents, `allowed = plan + member`."""

    member: IntArray
    year: IntArray
    months: IntArray
    allowed: IntArray
    plan_paid: IntArray
    member_paid: IntArray
    risk: FloatArray


def draw_spending(plan: Plan, model: SpendingPlan, members: Members, placed: Placement, block: int) -> Spending:
    """Log-normal amounts with a lasting part, some zeros, and exactly the model's mean per member-month."""
    rng = stream(plan.seed, "spending", block)
    who, year = np.nonzero(members.months > 0)
    age = np.clip(np.array(plan.years)[year] - members.birth_year[who], 0, OLDEST)
    home, owner, group = placed.home[who, year], placed.owner[who, year], members.group[who]
    mean = model.mean[home, group, year] * model.age[age] + model.effect[owner, year]
    lasting = rng.standard_normal(members.n)
    z = np.sqrt(model.persistence) * lasting[who] + np.sqrt(1 - model.persistence) * rng.standard_normal(len(who))
    some = rng.random(len(who)) >= model.zero_share
    months = members.months[who, year]
    amount = some * months * mean / (1 - model.zero_share) * np.exp(model.log_sd * z - model.log_sd**2 / 2)
    allowed = np.minimum(np.round(100 * amount), _LARGEST_CENTS).astype(np.int64)
    plan_paid = np.round(allowed * model.plan_share).astype(np.int64)
    risk = model.age[age] * np.exp(0.45 * lasting[who] - 0.45**2 / 2)
    return Spending(who, year, months, allowed, plan_paid, allowed - plan_paid, np.round(risk, 2))
